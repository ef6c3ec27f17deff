"""What `bioicons plan` knows of times, from a history with much in it that says nothing."""

import json
import time
from collections.abc import Mapping

import dagster as dg
import pytest
from typer.testing import CliRunner

from bioicons_pipeline.cli import app
from bioicons_pipeline.cli_plan import _row
from bioicons_pipeline.orchestration.durations import STORED_AS, Measured, measured
from bioicons_pipeline.orchestration.instance import shared_instance
from bioicons_pipeline.orchestration.partitions import CATEGORIES, register
from bioicons_pipeline.orchestration.stages.outlook import Changes, Prospect
from bioicons_pipeline.orchestration.stages.training_plan import planned_base
from bioicons_pipeline.training.tiny_base import build_tiny_base
from bioicons_pipeline_tests.training.conftest import MINI

NAMES = [f"Category_{number:02d}" for number in range(37)]
"""As many as the real library has."""
NANO = {"base": "flux-nano", STORED_AS: "flux-nano"}


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as history:
        register(history, NAMES)
        yield history


def record(instance, name: str, category: str | None, **metadata) -> None:
    """A materialization without a step."""
    key = dg.AssetKey(name.split("/"))
    instance.report_runless_asset_event(
        dg.AssetMaterialization(asset_key=key, partition=category, metadata=metadata)
    )


def run(instance, name: str, by_category: Mapping[str | None, dict], seconds: float = 0.0) -> None:
    """A run with a step that takes `seconds` and makes these of an asset, as a single-run backfill does."""
    key = dg.AssetKey(name.split("/"))
    whole = None in by_category

    @dg.asset(key=key, partitions_def=None if whole else CATEGORIES)
    def made():
        time.sleep(seconds)
        if whole:
            yield dg.MaterializeResult(metadata=by_category[None])
            return
        yield dg.MaterializeResult()
        for category, metadata in by_category.items():
            yield dg.AssetMaterialization(asset_key=key, partition=category, metadata=metadata)

    partition = None if whole else str(next(iter(by_category)))
    assert dg.materialize([made], instance=instance, partition_key=partition).success


def test_a_training_stays_known_however_often_the_library_was_backfilled_since(instance):
    for number, name in enumerate(NAMES):
        record(instance, "lora_weights", name, seconds=100.0 + number, **NANO)
    record(instance, "library/lora_weights", None, seconds=900.0, **NANO)
    for _ in range(2):  # nothing changed: no training, and no seconds
        for name in NAMES:
            record(instance, "lora_weights", name, changed=False, **NANO)
    record(instance, "lora_weights", NAMES[3], seconds=7.0, base="flux1-dev")
    found = measured(instance, "flux-nano")
    assert found.training == {name: 100.0 + number for number, name in enumerate(NAMES)} | {
        "": 118.0,
        "library": 900.0,
    }
    assert measured(instance, "flux1-dev").training == {NAMES[3]: 7.0, "": 7.0}


def test_rates_count_every_icon_of_a_run_and_outlast_runs_that_made_nothing_new(instance):
    run(instance, "icon_dataset", {name: {"changed": True, "icons": 5} for name in NAMES}, seconds=0.5)
    for _ in range(2):
        for name in NAMES:
            record(instance, "icon_dataset", name, changed=False, icons=5)
    for name in NAMES:
        record(instance, "icon_dataset", name)  # as a stamp of a single-run backfill: no metadata
    rate = measured(instance, "flux-nano").per_icon["icon_dataset"]
    assert 0.5 <= rate * 5 * len(NAMES) < 1.5


def test_grids_reports_and_the_librarys_dataset_have_times(instance):
    new = {"changed": True, **NANO}
    run(instance, "sample_grid", {NAMES[0]: {"status": "sampled", **new}}, seconds=0.2)
    run(instance, "sample_grid", {NAMES[1]: {"status": "not trained", **new}})
    run(instance, "evaluation_report", {NAMES[0]: {"status": "evaluated", **new}}, seconds=0.3)
    run(instance, "library/evaluation_report", {None: {"status": "evaluated", **new}}, seconds=0.1)
    run(instance, "library/icon_dataset", {None: {"changed": True, "icons": 9}}, seconds=0.1)
    found = measured(instance, "flux-nano")
    assert set(found.grid) == {NAMES[0], ""} and set(found.evaluation) == {NAMES[0], "", "library"}
    assert 0.2 <= found.grid_and_report(NAMES[5], False) < 0.5 <= found.grid_and_report(NAMES[5], True)
    assert found.grid_and_report("library", True) is None  # its grid was never drawn here
    assert found.library_dataset is not None and found.library_dataset >= 0.1
    other = measured(instance, "model-c0ffee00")
    assert other.grid == other.evaluation == {}


@pytest.mark.parametrize(("evaluated", "shown"), [(False, 20.0), (True, 50.0)])
def test_what_is_rebuilt_of_the_library_is_counted(evaluated, shown):
    times = Measured(
        manifest=60.0,
        per_icon={},
        training={"library": 900.0},
        library_dataset=40.0,
        grid={"library": 20.0},
        evaluation={"library": 30.0},
    )
    row = _row(Prospect(None, Changes(added=3, icons=50), True, True, "3 added"), times, evaluated)
    assert (row["rebuild_seconds"], row["train_seconds"]) == (40.0, 900.0)
    assert row["grid_and_report_seconds"] == shown
    still = _row(Prospect(None, Changes(icons=50), False, False, "no icon changed"), times, evaluated)
    assert not any(still[f"{what}_seconds"] for what in ("rebuild", "train", "grid_and_report"))


def test_times_on_a_base_that_is_a_folder(settings, tmp_path):
    """Any folder may be called `model`; refs and times are kept under its name and content."""
    folder = build_tiny_base(tmp_path / "model", MINI)
    stored_as = planned_base(str(folder), settings.bases_dir).stored_as
    assert stored_as != folder.name
    with shared_instance(settings) as instance:
        register(instance, ["Animals"])
        record(instance, "lora_weights", "Animals", seconds=77.0, base=folder.name, **{STORED_AS: stored_as})
        record(instance, "lora_weights", "Animals", seconds=1.0, base=folder.name, **{STORED_AS: "other"})
    done = CliRunner().invoke(app, ["plan", "--json", "--base", str(folder)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    rows = {row["category"]: row for row in json.loads(done.stdout)["categories"]}
    assert rows["Animals"]["train"] and rows["Animals"]["train_seconds"] == 77.0
