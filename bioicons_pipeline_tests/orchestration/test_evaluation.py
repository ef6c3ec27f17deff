"""The evaluation from a store: a trained adapter becomes a report, and what cannot be evaluated says why."""

import dataclasses
import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from bioicons_pipeline.cli import app
from bioicons_pipeline.evaluation import evaluate as evaluation
from bioicons_pipeline.evaluation.evaluate import EvaluationError, NothingHeldOutError, labels
from bioicons_pipeline.evaluation.icons import RealIcon
from bioicons_pipeline.evaluation.vectorizability import VectorFacts
from bioicons_pipeline.generation import copies
from bioicons_pipeline.generation.adapters import Adapter, AdapterError
from bioicons_pipeline.orchestration.stages.base import DATASET, EVALUATION, GRID, WEIGHTS
from bioicons_pipeline.orchestration.stages.evaluation import (
    DATA,
    NOT_EVALUATED,
    PAGE,
    Plan,
    compare,
    report,
    shown,
    unseen,
)
from bioicons_pipeline.orchestration.stages.weights import ref_name
from bioicons_pipeline.orchestration.workshop import Stock, named_adapter, what_is_missing
from bioicons_pipeline.settings import get_settings
from bioicons_pipeline.store import Store
from bioicons_pipeline.training.base_models import resolve_base
from bioicons_pipeline.training.presets import preset
from bioicons_pipeline.training.request import TrainingRequest
from bioicons_pipeline.training.run import train
from bioicons_pipeline.training.tiny_base import build_tiny_base
from bioicons_pipeline_tests.training.conftest import MINI
from bioicons_pipeline_tests.training.making import commit_dataset, make_rows

CATEGORY = "Cell_types"


def named_rows(count: int, start: int = 0) -> list[dict]:
    rows = make_rows(count, size=32, start=start)
    return [{**row, "name": row["captions"][1].split(": ")[1].replace(" ", "_")} for row in rows]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(stock, base, work folder) with an adapter of ten steps on twelve icons, six held out."""
    root = tmp_path_factory.mktemp("evaluation")
    store = Store(root / "store")
    version = commit_dataset(store, named_rows(12), named_rows(6, start=12))
    folder = build_tiny_base(root / "bases", MINI)
    base = resolve_base(str(folder), root)
    config = preset("tiny", resolution=32, rank=4, steps=10, batch_size=2, warmup_steps=0, t5_length=40,
                    eval_every=0, eval_icons=2, eval_sigmas=(0.5,), tensorboard=False)  # fmt: skip
    request = TrainingRequest(
        store_root=str(root / "store"), dataset_version=version, base=str(folder), config=config,
        partition=CATEGORY, work_dir=str(root / "work"),
    )  # fmt: skip
    adapter = train(request, quiet=True).version_id
    info = {"status": "trained", "dataset_version": version}
    store.set_ref(WEIGHTS, adapter, partition=CATEGORY, base=ref_name(base), info=info)
    return Stock(store, root / "cache"), base, root / "work"


@pytest.fixture
def quick(monkeypatch):
    """Vectorising and looking closely for copies take a second a picture, and have their own tests."""
    facts = lambda pictures, progress=None: [VectorFacts(3, 900, 1.0)] * len(pictures)  # noqa: E731
    monkeypatch.setattr(evaluation, "vector_facts", facts)
    monkeypatch.setattr(copies, "CLOSER", 1)


PLAN = Plan(CATEGORY, count=6, sampling={"steps": 2})


def test_a_report_from_the_store_is_kept_and_not_made_again(trained, quick):
    stock, base, work = trained
    phases = set()
    done = report(stock, work, base, PLAN, lambda phase, done, total: phases.add(phase))
    assert done.changed and done.facts["status"] == "evaluated"
    version = stock.store.version(done.version_id)
    names = {entry.path for entry in version.files}
    assert {PAGE, DATA, "plots/loss.png"} <= names
    data = json.loads(stock.store.read(version, DATA))
    assert data["models"] == ["base", CATEGORY] and data["facts"]["heldout_icons"] == 6
    assert data["facts"]["adapters"][0]["version"] == done.facts["adapter"]
    assert {"held-out loss, base", "drawing, Cell_types", "looking for copies"} <= phases
    assert not report(stock, work, base, PLAN, lambda *_: None).changed
    visible = shown(stock.store, done)
    assert visible["loss"].startswith(b"\x89PNG") and "| base |" in visible["figures"]


def test_what_a_name_of_a_lora_means(trained, tmp_path, monkeypatch):
    stock, base, _work = trained
    ours = named_adapter(stock, base, CATEGORY)
    monkeypatch.chdir(tmp_path)
    deep = tmp_path / "runs" / "rank=8"
    deep.mkdir(parents=True)
    files = ("runs/rank=8/x.safetensors", "lr=3.safetensors", "plain")
    for name in files:
        (tmp_path / name).write_bytes(ours.path.read_bytes())
        for text, scale in ((name, 1.0), (f"{name}=0.5", 0.5)):
            found = named_adapter(stock, base, text)
            assert (found.path, found.scale) == (Path(name), scale)
    with pytest.raises(AdapterError, match=r"rank=8/y\.safetensors cannot be read"):
        named_adapter(stock, base, "runs/rank=8/y.safetensors")
    (tmp_path / CATEGORY).write_bytes(b"something else")
    assert named_adapter(stock, base, CATEGORY) == ours
    assert named_adapter(stock, base, f"{CATEGORY}=0.5").version == ours.version
    ref = stock.store.get_ref(WEIGHTS, partition=CATEGORY, base=ref_name(base))
    place = {"partition": "pH=7", "base": ref_name(base)}
    stock.store.set_ref(WEIGHTS, ref.version_id, info=ref.info, **place)
    scales = [named_adapter(stock, base, text).scale for text in ("pH=7", "pH=7=0.5")]
    stock.store.delete_ref(WEIGHTS, **place)
    assert scales == [1.0, 0.5]


def test_the_losses_are_the_trainers_own(trained, quick):
    """An adapter at scale 0 has exactly the base's loss, and at scale 1 another."""
    stock, base, work = trained
    adapters = [named_adapter(stock, base, f"{CATEGORY}{scale}") for scale in ("=0", "")]
    found = compare(stock, work, base, adapters, PLAN, lambda *_: None)
    assert found.models == ("base", f"{CATEGORY} × 0", CATEGORY)
    assert found.losses[f"{CATEGORY} × 0"].change.value == pytest.approx(0, abs=1e-7)
    assert abs(found.losses[CATEGORY].change.value) > 1e-4
    idle = next(row for row in found.rows)
    assert idle.drawn["base"] == idle.drawn[f"{CATEGORY} × 0"] != idle.drawn[CATEGORY]


def test_what_was_not_trained_or_has_nothing_held_out_is_a_record(trained, tmp_path):
    stock, base, work = trained
    store = Store(tmp_path / "store")
    here = Stock(store, tmp_path / "cache")
    version = store.commit({"not_trained.json": b"{}"}).id
    info = {"status": "not trained", "reason": "n < 12"}
    store.set_ref(WEIGHTS, version, partition="Small", base=ref_name(base), info=info)
    done = report(here, work, base, Plan("Small"), lambda *_: None)
    assert done.facts["status"] == "not evaluated" and done.facts["reason"] == "n < 12"
    assert [entry.path for entry in store.version(done.version_id).files] == [NOT_EVALUATED]
    assert shown(store, done) == {"reason": "n < 12"}
    with pytest.raises(NothingHeldOutError, match="No icon is held out"):
        adapter = named_adapter(stock, base, CATEGORY)
        compare(stock, work, base, [adapter], Plan("Another"), lambda *_: None)


def test_icons_that_any_adapter_was_trained_on_are_not_held_out():
    def icon(name, family, category="A"):
        return RealIcon(name, name, category, "", "", "", family, "", b"")

    heldout = [icon("1", "f1"), icon("2", "f2"), icon("3", "f3", "B"), icon("4", "f4")]
    seen = [icon("9", "f2"), icon("4", "moved")]
    assert [one.icon_id for one in unseen(heldout, seen, None)] == ["1", "3"]
    assert [one.icon_id for one in unseen(heldout, seen, "B")] == ["3"]


def test_labels_tell_adapters_apart(tmp_path):
    def adapter(name, sha, scale=1.0):
        return Adapter(name, tmp_path, scale, sha * 64)

    assert labels([adapter("a", "1"), adapter("a", "1", 0.5), adapter("b", "2")]) == ["a", "a × 0.5", "b"]
    assert labels([adapter("a", "1"), adapter("a", "2")]) == ["a (11111111)", "a (22222222)"]
    assert labels([adapter("base", "3")]) == ["base (33333333)"]
    with pytest.raises(EvaluationError, match="twice at the same scale"):
        labels([adapter("a", "1"), adapter("copy of a", "1")])


def test_a_lora_that_does_not_say_what_it_was_trained_on_is_refused(trained, tmp_path):
    stock, base, work = trained
    stranger = Adapter("stranger", tmp_path / "x.safetensors", 1.0, "0" * 64)
    with pytest.raises(EvaluationError, match="does not say which icons it was trained on"):
        compare(stock, work, base, [stranger], PLAN, lambda *_: None)
    ours = named_adapter(stock, base, CATEGORY)
    larger = dataclasses.replace(ours, header={**ours.header, "config": '{"resolution": 64}'})
    with pytest.raises(EvaluationError, match="trained at different sizes"):
        compare(stock, work, base, [ours, larger], PLAN, lambda *_: None)


def test_the_grid_of_this_adapter_is_on_the_page_and_of_another_is_not(trained, quick):
    stock, base, work = trained
    place = {"partition": CATEGORY, "base": ref_name(base)}
    adapter = stock.store.get_ref(WEIGHTS, **place).version_id
    grid = stock.store.commit({"grid.png": (b"\x89PNG grid")}).id
    for of, there in ((adapter, True), ("another", False)):
        stock.store.set_ref(GRID, grid, **place, info={"adapter": of})
        done = report(stock, work, base, PLAN, lambda *_: None)
        page = stock.store.read(stock.store.version(done.version_id), PAGE).decode()
        assert ("The same subjects in every report" in page) is there
    stock.store.delete_ref(GRID, **place)
    assert stock.store.get_ref(EVALUATION, **place) is not None


@pytest.fixture
def command(trained, monkeypatch, tmp_path):
    """Run `bioicons evaluate` on the store of `trained`; returns (result, output folder)."""
    stock, base, _work = trained
    monkeypatch.setenv("BIOICONS_STORE_ROOT", str(stock.store.root))
    monkeypatch.setenv("BIOICONS_DATA_DIR", str(tmp_path / "data"))
    get_settings.cache_clear()
    yield lambda *arguments: CliRunner().invoke(
        app, ["evaluate", "--base", str(base.path), "--out", str(tmp_path / "out"), *arguments]
    )
    get_settings.cache_clear()


def test_the_command_writes_page_and_data_and_says_what_it_found(command, quick, tmp_path):
    done = command("--lora", CATEGORY, "--lora", f"{CATEGORY}=0.5", "--count", "6", "--steps", "2")
    assert done.exit_code == 0, done.output
    assert "Report:" in done.output and f"{CATEGORY} × 0.5" in done.output
    assert (tmp_path / "out" / PAGE).is_file() and (tmp_path / "out" / "plots" / "loss.png").is_file()
    models = json.loads((tmp_path / "out" / DATA).read_bytes())["models"]
    assert models == ["base", CATEGORY, f"{CATEGORY} × 0.5"]


def test_the_command_refuses_in_one_sentence(command, tmp_path):
    for arguments, says in (
        (("--lora", "Unicorns"), "There is no LoRA 'Unicorns'"),
        (("--lora", f"{CATEGORY}=nine"), "is no number"),
        ((), "nothing to evaluate. There is no LoRA"),
        (("--lora", CATEGORY, "--embeddings", str(tmp_path)), "No model for embeddings can be loaded"),
    ):
        done = command(*arguments)
        assert says in str(done.exception), (arguments, done.output, done.exception)
    assert not (tmp_path / "out").exists()


def test_what_is_missing_names_what_is_there_and_a_command_that_works(trained):
    stock, base, _work = trained
    said = what_is_missing(stock, base, "Viruses", "my bases/mine")
    assert f"There is no LoRA of Viruses or the library on {base.name}" in said
    assert f"(there are {CATEGORY}: --lora NAME)" in said
    assert (
        "`bioicons run --category Viruses --base 'my bases/mine'`" in said
    )  # the base's own name is no path
    dataset = stock.store.commit({"dataset.json": b"{}"}).id
    stock.store.set_ref(DATASET, dataset, partition="Viruses", info={"icons": 8})
    said = what_is_missing(stock, base, "Viruses", "mine")
    stock.store.delete_ref(DATASET, partition="Viruses")
    assert "Viruses has 8 icons, too few for one of its own" in said and "--category" not in said


def test_ctrl_c_leaves_nothing_half_written(command, monkeypatch, tmp_path):
    def stop(*_arguments, **_how):
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluation, "sample", stop)
    done = command("--lora", CATEGORY, "--count", "6")
    assert "Stopped, nothing was written" in str(done.exception) and done.exception.exit_code == 130
    assert not (tmp_path / "out").exists()


def test_pictures_of_the_page_are_small():
    from bioicons_pipeline.evaluation.records import SHOWN, png_of

    assert len(png_of(Image.effect_noise((1024, 1024), 50))) < 100_000
    assert SHOWN == 256
