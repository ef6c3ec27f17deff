"""The sweep: which trainings it makes, its table and grid; and, slow, a whole one through Dagster."""

import csv
import io
import json
import logging
import os
import subprocess
import sys
from math import inf
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import dagster as dg
import pandas as pd
import pytest
from PIL import Image

from bioicons_pipeline import cli_sweep
from bioicons_pipeline.cli_sweep import numbers
from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.orchestration.assets.lora_sweep import SweepRun, _sweep
from bioicons_pipeline.orchestration.backends.base import Ended
from bioicons_pipeline.orchestration.backends.local import LocalTraining
from bioicons_pipeline.orchestration.resources import ArtifactStore, Base, TrainingBackend
from bioicons_pipeline.orchestration.stages import sweep
from bioicons_pipeline.orchestration.stages.base import DATASET, MANIFEST, Outcome
from bioicons_pipeline.orchestration.stages.gates import BlockedError
from bioicons_pipeline.orchestration.stages.gone import WITHDRAWN, WithdrawnError
from bioicons_pipeline.orchestration.stages.manifest import LIBRARY, to_parquet
from bioicons_pipeline.settings import Settings
from bioicons_pipeline.store import Store
from bioicons_pipeline.training import base_models
from bioicons_pipeline.training.base_models import BaseLicence, BaseModel
from bioicons_pipeline.training.errors import DivergedError
from bioicons_pipeline.training.presets import preset

BASE = BaseModel("a-base", "/a-base", BaseLicence("x", None, None, "n"), "sha256:0123456789")
TINY = preset("tiny")


def test_every_combination_once_and_alpha_follows_the_rank():
    configs = sweep.Axes((1e-3, 2e-3, 1e-3), (20, 40), (4, 16)).configs(TINY)
    assert list(configs)[:3] == ["lr0.001-steps20-rank4", "lr0.001-steps20-rank16", "lr0.001-steps40-rank4"]
    assert len(configs) == 8
    for config in configs.values():
        assert config.alpha / config.rank == TINY.alpha / TINY.rank
        assert config.export == "last" and config.validation_every == config.steps
        assert config.warmup_steps < config.steps
        assert (config.seed, config.eval_icons) == (TINY.seed, TINY.eval_icons)


def test_without_values_the_learning_rate_is_looked_at():
    configs = sweep.Axes().configs(TINY)
    rates = [config.learning_rate / TINY.learning_rate for config in configs.values()]
    assert rates == [0.5, 1, 2] and {config.steps for config in configs.values()} == {TINY.steps}
    assert len(sweep.Axes(ranks=(4,)).configs(TINY)) == 1


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (sweep.Axes(tuple(range(1, 8)), tuple(range(1, 8))), "49 trainings: give fewer values, at most 48"),
        (sweep.Axes(ranks=(0,)), "rank: Input should be greater"),
        (sweep.Axes(steps=(0,)), "steps: Input should be greater"),
        (sweep.Axes(learning_rates=(-1.0,)), "learning_rate: Input should be greater"),
    ],
)
def test_what_no_training_can_be_is_one_sentence(axes, message):
    with pytest.raises(BioiconsError, match=message):
        axes.configs(TINY)


def test_numbers_of_an_option():
    assert numbers("1e-4, 3e-4,", float, "--learning-rates") == [1e-4, 3e-4] and numbers("", int, "-") == []
    with pytest.raises(BioiconsError, match=r"--ranks '8;16': write numbers with commas"):
        numbers("8;16", int, "--ranks")


def planted_manifest(store: Store, *left_out: str) -> pd.DataFrame:
    """Two icons; the library's manifest has both, without those that are `left_out`."""
    icons = pd.DataFrame(
        {"icon_id": ["1", "2"], "name": ["cell", "tube"], "author": "Ann", "spdx": "CC0-1.0"}
    )
    out = icons["name"].isin(left_out)
    rows = icons.assign(included=~out, exclusion_reason=out.map({True: "withdrawn_by_curator", False: None}))
    version = store.commit({"manifest.parquet": to_parquet(rows)})
    store.set_ref(LIBRARY, version.id, info={"categories": ["Animals"]})
    return icons


def picture(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), colour).save(buffer, "PNG")
    return buffer.getvalue()


def committed(store: Store, request, loss: float, colour: str) -> str:
    """A version as the trainer would leave it."""
    report = {
        "heldout_loss_before": 1.0,
        "heldout_loss_after": loss,
        "train_loss_after": loss / 2,
        "best_step": 2,
        "evaluations": [{"step": 2, "heldout": {"loss": loss - 0.1}}],
        "adapter": {"parameters": 10 * request.config.rank},
    }
    folder = f"validation/step-{request.config.steps:08d}"
    files = {
        "training_report.json": json.dumps(report).encode(),
        "pytorch_lora_weights.safetensors": colour.encode(),
        "validation/prompts.json": json.dumps({"prompts": ["a cell", "a tube"]}).encode(),
    }
    for number in range(2):
        files[f"validation/step-00000000/{number:02d}.png"] = picture("grey")
        files[f"{folder}/{number:02d}.png"] = picture(colour)
    return store.commit(files).id


@pytest.fixture
def swept(tmp_path):
    """(store, plan function, its plan, the finished outcome) of a sweep over two learning rates."""
    store = Store(tmp_path / "store")
    about = {
        "icons": 20,
        "commit": "c",
        "source_url": "u",
        "licence_preset": "attribution",
        "licence_mix": {},
    }
    icons = planted_manifest(store)
    files = {"dataset.json": json.dumps(about).encode(), "data/train-animals.parquet": to_parquet(icons)}
    store.set_ref(DATASET, store.commit(files).id, partition="Animals")

    def plan(axes=sweep.Axes((1e-3, 5e-3), (4,), (4,)), config=TINY):  # noqa: B008 (frozen)
        folders = {"work_dir": tmp_path / "work", "cache_dir": tmp_path / "cache"}
        return sweep.plan(store, "Animals", BASE, config, axes, base_argument="a-base", **folders)

    made = plan()
    rows = []
    for (name, request), loss, colour in zip(made.requests.items(), (0.7, 0.4), ("red", "blue"), strict=True):
        rows.append(sweep.row_of(store, name, request, committed(store, request, loss, colour), 12.345))
    return store, plan, made, sweep.finish(store, "Animals", BASE, made, rows)


def test_nothing_is_trained_on_an_icon_that_was_withdrawn_since(swept):
    """A sweep takes the dataset as it is, and so does a LoRA that is materialized by itself."""
    store, plan, *_ = swept
    planted_manifest(store, "tube")
    other = sweep.Axes((1e-3,), (5,), (4,))
    with pytest.raises(BlockedError, match=r"withdrawn tube by Ann: left out now \(withdrawn_by_curator\)"):
        plan(other)
    planted_manifest(store)
    assert len(plan(other).requests) == 1
    commit = store.commit({"manifest.parquet": b""})
    store.set_ref(MANIFEST, commit.id, partition="Animals", info={WITHDRAWN: "c0ffee"})
    with pytest.raises(WithdrawnError, match="Animals was withdrawn upstream"):
        plan(other)


def test_the_table_is_in_the_store_the_best_first(swept):
    store, _, _, outcome = swept
    rows = json.loads(sweep.read(store, outcome, "sweep.json"))
    assert [(row["learning_rate"], row["heldout_loss"]) for row in rows] == [(5e-3, 0.4), (1e-3, 0.7)]
    assert rows[0]["seconds"] == 12.35 and rows[0]["parameters"] == 40 and rows[0]["best_heldout_loss"] < 0.4
    table = list(csv.DictReader(io.StringIO(sweep.read(store, outcome, "sweep.csv").decode())))
    assert [row["name"] for row in table] == [row["name"] for row in rows]
    assert sweep.markdown(json.dumps(rows).encode()).count("\n") == 3
    assert outcome.facts["best"] == "lr0.005-steps4-rank4"
    name = "runs/lr0.001-steps4-rank4/pytorch_lora_weights.safetensors"
    assert sweep.read(store, outcome, name) == b"red"


def test_the_grid_has_base_and_trainings_in_the_order_of_the_table(swept):
    store, _, _, outcome = swept
    with Image.open(io.BytesIO(sweep.read(store, outcome, "grid.png"))) as grid:
        line = grid.convert("RGB").crop((0, 150, grid.width, 151)).getcolors(1 << 16)
        seen = [grid.convert("RGB").getpixel((x, 150)) for x in range(grid.width)]
    assert line is not None
    named = {(128, 128, 128): "base", (0, 0, 255): "blue", (255, 0, 0): "red"}
    order = list(dict.fromkeys(named[pixel] for pixel in seen if pixel in named))
    assert order == ["base", "blue", "red"]


def test_the_same_sweep_again_trains_nothing_and_another_one_does(swept):
    _, plan, _, outcome = swept
    again = plan()
    assert isinstance(again.done, Outcome) and again.done.version_id == outcome.version_id
    assert not again.requests
    assert len(plan(sweep.Axes((1e-3,), (4,), (4,))).requests) == 1
    assert len(plan(config=preset("tiny", seed=4)).requests) == 2


def test_too_few_icons_is_one_sentence(swept, tmp_path):
    store, plan, _, _ = swept
    few = store.commit({"dataset.json": json.dumps({"icons": 3}).encode()})
    store.set_ref(DATASET, few.id, partition="Animals")
    with pytest.raises(BioiconsError, match="Animals has 3 icons, and a training needs 12"):
        plan()


class Elsewhere(TrainingBackend):
    """Another machine that trains; the loss of what it commits is that of the learning rate in `losses`, of
    which infinity diverges, and 11 fails otherwise."""

    losses: dict[str, float]

    @property
    def elsewhere(self) -> bool:
        return True

    def train(self, context, request, lease):
        store, loss = Store(request.store_root), self.losses[f"{request.config.learning_rate:g}"]
        if loss == inf:
            raise DivergedError("The loss is not finite at step 3.")
        if loss > 10:
            raise BioiconsError("The disk is full.")
        return committed(store, request, loss, "red"), {"seconds": 1.0}


@pytest.fixture
def run_sweep(swept, tmp_path, monkeypatch):
    """Materialize the sweep of Animals on FLUX.1-dev, trained elsewhere; this machine has no token."""
    found = ("a" * 40, "hub:x@sha256:1")
    monkeypatch.setattr(base_models, "hub_content", lambda *a, **o: found)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "no token here"))
    context = SimpleNamespace(log=logging.getLogger(), run=SimpleNamespace(run_id="a-run"))
    artifacts = ArtifactStore(
        root=str(tmp_path / "store"), cache_dir=str(tmp_path / "cache"), work_dir=str(tmp_path / "work")
    )

    def run(losses: dict[str, float]):
        asked = SweepRun(learning_rates=[float(rate) for rate in losses], steps=[4])
        return _sweep(context, "Animals", asked, artifacts, Base(name="flux1-dev"), Elsewhere(losses=losses))

    return run


def test_trainings_elsewhere_need_no_token_here(run_sweep):
    assert run_sweep({"0.001": 0.5, "0.002": 0.4}).metadata["best"].startswith("lr0.002-steps4")


def test_one_that_diverges_is_a_row_of_the_table(run_sweep, tmp_path, capsys, monkeypatch):
    metadata = run_sweep({"0.005": inf, "0.001": 0.5, "0.002": 0.4}).metadata
    assert metadata["best"].startswith("lr0.002") and metadata["failed"] == 1
    assert "failed: The loss is not finite at step 3." in metadata["table"].value
    settings = Settings(data_dir=tmp_path)
    (ref,) = Store(settings.resolved_store_root).list_refs(sweep.SWEEP, "flux1-dev").values()
    monkeypatch.setenv("HF_TOKEN", "of the person who asks")
    cli_sweep._show(settings, "Animals", "flux1-dev", as_json=False)
    shown = capsys.readouterr().out
    cli_sweep._show(settings, "Animals", "flux1-dev", as_json=True)
    rows = json.loads(capsys.readouterr().out)["trainings"]
    assert [row["heldout_loss"] for row in rows] == [0.4, 0.5, None]
    assert [row["failed"] for row in rows] == [None, None, "The loss is not finite at step 3."]
    assert "failed: The loss is not finite at step 3." in shown and "None" not in shown
    paths = [entry.path for entry in Store(settings.resolved_store_root).version(ref.version_id).files]
    assert len({path.split("/")[1] for path in paths if path.startswith("runs/")}) == 2


@pytest.mark.parametrize(
    ("losses", "sentence"),
    [
        ({"0.001": 0.5, "0.005": 11}, "The disk is full"),
        ({"0.001": inf, "0.005": inf}, "None of the 2 trainings finished; the first: The loss is not finite"),
    ],
)
def test_a_run_fails_for_the_machine_or_where_nothing_is_left(run_sweep, tmp_path, losses, sentence):
    with pytest.raises(dg.Failure) as failure:
        run_sweep(losses)
    assert sentence in failure.value.description
    assert not Store(tmp_path / "store").list_refs(sweep.SWEEP, "flux1-dev")


class Said(TrainingBackend):
    """A trainer that ends with one message."""

    message: dict

    def run_entry(self, context, request):
        return Ended([self.message])


class Subprocess:
    """The same as a process on this machine: what it leaves in its file is all that is heard of it."""

    message: ClassVar[dict] = {}

    def run(self, env, **_):
        Path(env["BIOICONS_TRAINING_ERROR_FILE"]).write_text(json.dumps(self.message))
        raise dg.DagsterPipesExecutionError("exit code 2")


@pytest.mark.parametrize("diverged", [True, False])
@pytest.mark.parametrize("here", [True, False])
def test_every_backend_tells_the_two_apart(swept, monkeypatch, here, diverged):
    _, _, made, _ = swept
    message = {"error": "A sentence."} | ({"diverged": True} if diverged else {})
    monkeypatch.setattr(Subprocess, "message", message)
    monkeypatch.setattr(dg, "PipesSubprocessClient", Subprocess)
    context = SimpleNamespace(log=logging.getLogger(), retry_number=0, run=SimpleNamespace(run_id="a-run"))
    backend = LocalTraining() if here else Said(message=message)
    with pytest.raises(BioiconsError, match=r"^A sentence\.$") as failure:
        backend.train(context, next(iter(made.requests.values())), SimpleNamespace(claim=None))
    assert isinstance(failure.value, DivergedError) == diverged


@pytest.mark.slow
def test_a_sweep_from_the_command_line(tmp_path):
    """Through Dagster and the real trainer: a row a training, files under outputs; the same again."""

    def bioicons(*arguments):
        environment = {**os.environ, "BIOICONS_DATA_DIR": str(tmp_path / "data"), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "bioicons_pipeline.cli", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=500)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    start = ("--source", "starter", "--category", "Animals", "--size", "64", "--until", "icon_dataset")
    bioicons("run", *start)
    options = (
        "--category",
        "Animals",
        "--base",
        "flux-tiny",
        "--learning-rates",
        "1e-3,5e-3",
        "--steps",
        "3",
    )
    done = bioicons("sweep", *options)
    assert done.stdout.count("0.001") >= 1 and done.stdout.count("0.005") >= 1
    (folder,) = (tmp_path / "data" / "outputs" / "Animals").glob("sweep-*")
    rows = json.loads((folder / "sweep.json").read_text())
    assert len(rows) == 2 and (folder / "grid.png").is_file()
    for row in rows:
        assert (folder / "runs" / row["name"] / "pytorch_lora_weights.safetensors").is_file()
    assert bioicons("sweep", *options).stdout == done.stdout
    told = json.loads(bioicons("sweep", *options, "--json").stdout)
    assert told == {"trainings": rows, "folder": str(folder)}
