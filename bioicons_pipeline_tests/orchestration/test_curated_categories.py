"""Categories that only curation.yaml has: made by `bioicons run`, alone or with the whole library."""

import json
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
import yaml

from bioicons_pipeline import cli_sweep
from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.orchestration import launch
from bioicons_pipeline.orchestration.pipeline import Options, Summary, run_pipeline
from bioicons_pipeline.orchestration.stages import manifest
from bioicons_pipeline.orchestration.stages.base import DATASET, MANIFEST
from bioicons_pipeline.settings import Settings
from bioicons_pipeline.store import Store
from bioicons_pipeline_tests.end_to_end.conftest import bioicons
from bioicons_pipeline_tests.orchestration.conftest import Place, write_library

SOME, ALL = "cc-0/Bad/Ann/Bad-0.svg", "cc-0/Bad/Ann/*.svg"


def curated(folder: Path, icon: str, category: str = "New_things") -> Path:
    """A curation.yaml that puts `icon` in another category."""
    decision = {"icon": icon, "action": "category", "value": category, "reason": "kin", "reviewer": "test"}
    file = folder / "curation.yaml"
    file.write_text(yaml.safe_dump({"version": 1, "decisions": [decision]}))
    return file


class Runs:
    """`run_pipeline` up to the dataset on a library of two categories, its jobs in this process."""

    def __init__(self, root: Path, monkeypatch) -> None:
        write_library(root / "icons")
        self.place, self.jobs = Place(root / "data"), []
        monkeypatch.setattr(launch, "execute", self._execute)

    def _execute(self, instance, job, run_config, *, tags=None, listener=None, only=()) -> None:
        from bioicons_pipeline.definitions import defs

        self.jobs.append(f"{job}: {', '.join(only)}" if only else job)
        resources = {"artifacts": self.place.resources["artifacts"], **run_config["resources"]}
        done = defs.resolve_job_def(job).execute_in_process(
            instance=instance,
            tags=tags,
            run_config={"resources": resources},
            asset_selection=[dg.AssetKey(name) for name in only] or None,
            raise_on_error=False,
        )
        if not done.success:
            raise launch.failure_of(instance, done.run_id)

    def run(self, curation: Path, category: str | None = None, until: str = "icon_dataset") -> Summary:
        self.jobs.clear()
        settings = Settings(data_dir=self.place.root, curation=curation, render_size=64, workers=1)
        source = str(self.place.root.parent / "icons")
        return run_pipeline(
            settings, Options(source, None, category, "flux-tiny", until=until), self.place.instance
        )

    def icons(self) -> dict[str, int]:
        refs = self.place.store.list_refs("icon_dataset")
        return {name: ref.info["icons"] for name, ref in refs.items() if name != "__all__"}


@pytest.fixture
def runs(tmp_path, monkeypatch) -> Runs:
    return Runs(tmp_path, monkeypatch)


def test_the_library_has_it_from_the_first_run(runs, tmp_path):
    summary = runs.run(curated(tmp_path, SOME))
    assert runs.icons() == {"Bad": 3, "Good": 4, "New_things": 1}
    assert summary.facts["icon_dataset"]["categories"] == runs.icons()
    first = ["refresh_library", "build_datasets: icon_manifest", "build_datasets", "build_library_dataset"]
    assert runs.jobs == first
    runs.run(curated(tmp_path, SOME))  # Dagster knows it by now
    assert runs.jobs == [job for job in first if ":" not in job]


def test_a_category_that_the_library_has_costs_no_further_job(runs, tmp_path):
    runs.run(curated(tmp_path, SOME, "Good"))
    assert runs.jobs == ["refresh_library", "build_datasets", "build_library_dataset"]
    assert runs.icons() == {"Bad": 3, "Good": 5}


def test_all_icons_of_a_category_may_go_to_another(runs, tmp_path):
    runs.run(curated(tmp_path, ALL))
    assert runs.icons()["New_things"] == 4


def test_it_can_be_run_alone(runs, tmp_path):
    summary = runs.run(curated(tmp_path, SOME), "New_things")
    assert summary.facts["icon_dataset"]["icons"] == 1 and runs.icons() == {"New_things": 1}
    runs.run(curated(tmp_path, SOME), "Good")
    assert runs.jobs == ["refresh_library", "build_datasets"]


def test_nothing_goes_further_than_it_was_asked_to(runs, tmp_path):
    for category in (None, "New_things"):
        runs.run(curated(tmp_path, SOME), category, until="svg_snapshot")
        assert runs.jobs == ["refresh_library"]


@pytest.mark.parametrize(
    ("until", "made"),
    [
        ("icon_manifest", {"icon_manifest"}),
        ("icon_captions", {"icon_manifest", "rasterized_icons", "icon_captions"}),
    ],
)
@pytest.mark.parametrize("category", [None, "Good"])
def test_nothing_below_the_last_stage_is_made(runs, tmp_path, until, made, category):
    runs.run(curated(tmp_path, SOME, "Good"), category, until)
    stages = ("icon_manifest", "rasterized_icons", "icon_captions", "icon_dataset")
    refs = {stage: set(runs.place.store.list_refs(stage)) for stage in stages}
    wanted = {"Bad", "Good"} if category is None else {"Good"}
    assert {stage for stage, of in refs.items() if of} == made
    # the manifest is computed over the whole library, and keeps that as well
    assert all(refs[stage] - {"__all__"} == wanted for stage in made)


@pytest.mark.parametrize(
    ("icon", "category", "jobs"),
    [
        (SOME, "New_thing", 1),  # a slip: said at once, with the nearest name
        ("cc-0/Bad/Ann/gone.svg", "New_things", 2),  # no icon is in it: only the manifest can tell
    ],
)
def test_one_that_there_will_not_be_is_refused(runs, tmp_path, icon, category, jobs):
    with pytest.raises(BioiconsError, match=f"no category '{category}': (did you mean New_things|there are)"):
        runs.run(curated(tmp_path, icon), category)
    assert len(runs.jobs) == jobs and not runs.icons()


def test_a_sweep_takes_it_too(tmp_path, monkeypatch):
    settings, asked = Settings(data_dir=tmp_path), []
    monkeypatch.setattr(launch, "execute", lambda instance, job, config, tags, listener: asked.append(tags))
    with pytest.raises(BioiconsError, match="bioicons run"):
        cli_sweep._run(settings, "New_things", "flux-tiny", {})
    store = Store(settings.resolved_store_root)
    empty = store.commit({"manifest.parquet": manifest.to_parquet(pd.DataFrame())}).id
    store.set_ref(manifest.LIBRARY, empty, info={"categories": ["Good", "New_things"]})
    with pytest.raises(BioiconsError, match="--category New_things --until icon_dataset"):
        cli_sweep._run(settings, "New_things", "flux-tiny", {})
    store.set_ref(DATASET, empty, partition="New_things")
    cli_sweep._run(settings, "New_things", "flux-tiny", {})
    assert asked == [{"dagster/partition": "New_things"}]
    with pytest.raises(BioiconsError, match="did you mean New_things"):
        cli_sweep._run(settings, "New_thing", "flux-tiny", {})


def test_from_the_command_line(tmp_path):
    """In processes of their own, as people run it."""
    write_library(tmp_path / "icons")
    curation = str(curated(tmp_path, SOME))
    options = ("--source", str(tmp_path / "icons"), "--category", "New_things", "--until", MANIFEST)
    done = bioicons("run", *options, "--json", data=tmp_path / "data", BIOICONS_CURATION=curation)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["facts"][MANIFEST]["icons"] == 1
