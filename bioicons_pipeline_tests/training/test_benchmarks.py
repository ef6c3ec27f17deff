"""The benchmarks of training run, at a size for tests: what they measure is not judged here."""

import importlib.util
import io
import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image

from bioicons_pipeline.store import Store
from bioicons_pipeline.training.base_models import resolve_base

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def load(name):
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", BENCHMARKS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_step_of_the_scaled_down_flux_dev():
    """Time, operations and estimate of two variants; checkpointing is more work by formula."""
    flux = load("flux_dev_gpu")
    assert {"512 px", "1024 px", "1024 px, checkpointing, compile", "512 px, nf4, checkpointing"} <= set(
        flux.VARIANTS
    )
    found = {
        name: flux.measure(flux.VARIANTS[name], small=True, steps=2, warmup=1)
        for name in ("512 px", "512 px, checkpointing")
    }
    assert all(one["ms"] > 0 and one["estimated_gib"] > 0 for one in found.values())
    assert found["512 px, checkpointing"]["tflop"] > 1.3 * found["512 px"]["tflop"]
    text = flux.table({**found, "1024 px": {"failed": "CUDA out of memory"}}, 0.1)
    assert text.count("\n") == 3 and "not run: CUDA out of memory" in text


@pytest.mark.parametrize(
    "name",
    ["512 px, int8, checkpointing", "512 px, fp8, checkpointing", "512 px, nf4, checkpointing, adamw8bit"],
)
def test_a_step_on_a_quantized_scaled_down_flux_dev(name):
    flux = load("flux_dev_gpu")
    assert flux.measure(flux.VARIANTS[name], small=True, steps=1, warmup=1)["ms"] > 0


@pytest.mark.slow
def test_the_gpu_benchmark_as_a_program(tmp_path):
    """A process a variant, a table, a JSON that says where it ran; full size is refused without a GPU."""
    program = [sys.executable, str(BENCHMARKS / "flux_dev_gpu.py"), "--out", str(tmp_path / "r.json")]
    brief = ["--scaled-down", "--steps", "1", "--warmup", "1", "--only", "512 px", "1024 px, checkpointing"]
    done = subprocess.run([*program, *brief], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "r.json").read_text())
    assert set(written["results"]) == {"512 px", "1024 px, checkpointing"} and written["scaled_down"]
    assert all("failed" not in found for found in written["results"].values())
    import torch

    if not torch.cuda.is_available():
        done = subprocess.run(program, capture_output=True, text=True, timeout=300)
        assert done.returncode == 2 and "there is no GPU here" in done.stderr


@pytest.mark.slow
def test_the_training_benchmark_as_a_program(tmp_path):
    program = [sys.executable, str(BENCHMARKS / "training.py"), "--out", str(tmp_path / "r.json")]
    brief = ["--blocks", "1", "--block", "1", "--icons", "8", "--steps", "1"]
    done = subprocess.run([*program, *brief], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "r.json").read_text())
    assert set(written["side_by_side"]["step_ms"]) == {"bare", "ours", "plain"}
    assert all(value > 0 for value in written["side_by_side"]["step_ms"].values())
    assert "peak memory, 8 icons" in done.stdout


def icon_table(count: int):
    """Icons of families of one to three, each caption naming its icon."""
    families = [f"f{number // 3 if number % 2 else number}" for number in range(count)]
    return pa.table(
        {
            "icon_id": [f"i{number:02d}" for number in range(count)],
            "family_id": families,
            "author": ["A" if number % 3 else "B" for number in range(count)],
            "caption": [f"icon {number}" for number in range(count)],
            "captions": [[f"icon {number}", f"{number}"] for number in range(count)],
        }
    )


def test_every_icon_is_held_out_by_one_fold_and_no_family_is_on_both_sides():
    bench = load("nano_lora")
    icons = icon_table(40)
    seen = []
    for fold in range(4):
        train, heldout = bench.dealt(icons.slice(0, 30), icons.slice(30), fold, 4)
        assert train.num_rows + heldout.num_rows == 40
        assert not set(train["family_id"].to_pylist()) & set(heldout["family_id"].to_pylist())
        seen += heldout["icon_id"].to_pylist()
    assert sorted(seen) == icons["icon_id"].to_pylist()


def test_shuffled_captions_are_the_same_ones_on_other_pictures():
    bench = load("nano_lora")
    icons = icon_table(40)
    other = bench.shuffled(icons, seed=0)
    assert other["icon_id"].equals(icons["icon_id"])
    own, given = icons["caption"].to_pylist(), other["caption"].to_pylist()
    assert sorted(given) == sorted(own) and sum(map(str.__eq__, own, given)) < 5
    assert [both[0] for both in other["captions"].to_pylist()] == given


def test_a_dataset_of_other_icons_has_their_weights_and_all_else(tmp_path):
    bench = load("nano_lora")
    store = Store(tmp_path)
    version = store.commit(
        {"data/train-x.parquet": b"old", "README.md": b"card", "sampling_weights.csv": b"-"}
    )
    icons = icon_table(12)
    made = store.version(bench.written(store, version, icons.slice(0, 9), icons.slice(9)))
    assert sorted(entry.path for entry in made.files) == [
        "README.md", "data/heldout-icons.parquet", "data/train-icons.parquet", "sampling_weights.csv",
    ]  # fmt: skip
    train, heldout = bench.tables(store, made)
    assert train.equals(icons.slice(0, 9)) and heldout.equals(icons.slice(9))
    lines = store.read(made, "sampling_weights.csv").decode().splitlines()[1:]
    assert [line.split(",")[0] for line in lines] == train["icon_id"].to_pylist()
    assert sum(float(line.split(",")[1]) for line in lines) == pytest.approx(1)


def drawn(colour):
    buffer = io.BytesIO()
    picture = Image.new("RGB", (64, 64), "white")
    picture.paste(colour, (12, 12, 52, 52))
    picture.save(buffer, "PNG")
    return {"image": {"bytes": buffer.getvalue()}, "icon_id": colour, "caption": f"a {colour} square"}


def test_what_words_are_worth_is_told_by_words_alone():
    """The same noise for all: without words there is no difference, and with them there is."""
    bench = load("nano_words")
    judge = bench.Judge(resolve_base("flux-nano", "."))
    icons = [drawn(colour) for colour in ("red", "green", "blue")]
    silent = bench.figures(judge, [icon | {"caption": ""} for icon in icons])
    assert silent["own_by_sigma"] == silent["another_by_sigma"] == [0.0] * 5
    told = bench.figures(judge, icons)
    assert told["without_caption"] == pytest.approx(silent["without_caption"])
    # flux-nano knows its colours: where the picture is still noise, another one harms more than the right one
    assert told["own_by_sigma"][-1] < told["another_by_sigma"][-1] - 0.1
    assert told["own_caption"] < told["another_icons_caption"]


def test_runs_are_kept_of_the_same_measurement_only(tmp_path):
    bench = load("nano_lora")
    given = {"dataset": "a", "config": {"eval_sigmas": (0.1, 0.9)}}
    result = tmp_path / "result.json"
    result.write_text(json.dumps({**given, "runs": [{"seed": 0}]}))
    assert bench.kept(result, given) == [{"seed": 0}]
    with pytest.raises(SystemExit, match="with another dataset: run without --append"):
        bench.kept(result, {**given, "dataset": "b"})


def test_the_summary_takes_changes_within_a_seed():
    bench = load("nano_lora")
    runs = [
        {"captions": kind, "base_loss": base, "lora_loss": lora, "lora_by_sigma": [lora, lora]}
        for kind, base, lora in [
            ("own captions", 0.5, 0.4), ("shuffled captions", 0.5, 0.41),
            ("own captions", 0.3, 0.22), ("shuffled captions", 0.3, 0.21),
        ]
    ]  # fmt: skip
    found = bench.summary(runs)
    assert found["gain_over_base"] == pytest.approx({"mean": 0.09, "spread": 0.02, "worst": 0.08})
    assert found["gain_over_shuffled"]["worst"] == pytest.approx(-0.01)
    assert found["gain_over_shuffled"]["mean"] == pytest.approx(0)
    assert found["gain_over_shuffled"]["standard_error"] == pytest.approx(0.01)
    assert bench.summary(runs[:2])["gain_over_shuffled"]["standard_error"] is None
