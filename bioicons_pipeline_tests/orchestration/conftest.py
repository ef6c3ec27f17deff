"""A data folder of its own and an instance on it, for tests that run jobs; and a small library for them."""

import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from bioicons_pipeline.settings import Settings, get_settings
from bioicons_pipeline.store import Store

pytest.register_assert_rewrite("bioicons_pipeline_tests.orchestration.backend_rows")

CATEGORIES = ("Bad", "Good")
SHAPES = (
    '<circle cx="50" cy="50" r="{0}" fill="#c33"/>',
    '<rect x="10" y="{0}" width="80" height="20" fill="#36c"/>',
    '<path d="M10 90 L50 {0} L90 90 Z" fill="#393"/>',
    '<path d="M10 {0} h80 v10 h-35 v30 h-10 v-30 h-35 z" fill="#963"/>',
)


@pytest.fixture
def settings(tmp_path, monkeypatch) -> Settings:
    """Settings whose data folder is the test's own; child processes see them through the environment."""
    monkeypatch.setenv("BIOICONS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("BIOICONS_RENDER_SIZE", "128")
    monkeypatch.setenv("BIOICONS_SOURCE", "starter")
    get_settings.cache_clear()
    yield get_settings()
    get_settings.cache_clear()


class Place:
    """A data folder with its Dagster history: runs jobs as they are defined, in this process."""

    def __init__(self, root: Path, store_root: str | None = None) -> None:
        self.root, self.instance = root, dg.DagsterInstance.ephemeral()
        self.store = Store(store_root or root / "store")
        # the resources took their values when the definitions were loaded, for whichever test came first
        values = {
            "artifacts": {
                "root": str(self.store.root),
                "cache_dir": str(root / "cache"),
                "work_dir": str(root / "work"),
            },
            "upstream": {
                "source": str(root / "icons"),
                "licence_preset": "attribution",
                "render_size": 64,
                "workers": 1,
            },
            "base": {"name": "flux-nano"},
        }
        self.resources = {name: {"config": value} for name, value in values.items()}

    def run(self, job: str, *categories: str, only: tuple[str, ...] = (), **upstream: Any):
        """Run a job for no, one or, as a single run, several categories; `only`: of its assets; upstream:
        values of that resource that differ."""
        from bioicons_pipeline.definitions import defs

        tags = {"dagster/partition": categories[0]} if categories else {}
        if len(categories) > 1:
            tags = {
                "dagster/asset_partition_range_start": categories[0],
                "dagster/asset_partition_range_end": categories[-1],
            }
        definition = defs.resolve_job_def(job)
        config = {name: self.resources[name] for name in ("artifacts", "upstream")}
        config["upstream"] = {"config": {**config["upstream"]["config"], **upstream}}
        return definition.execute_in_process(
            instance=self.instance,
            tags=tags,
            run_config={"resources": config},
            asset_selection=[dg.AssetKey(name) for name in only] or None,
            raise_on_error=False,
        )

    def check(self, definition: dg.AssetChecksDefinition, category: str | None) -> dg.AssetCheckEvaluation:
        """Run one check by itself, of one category or of all."""
        from bioicons_pipeline.definitions import defs
        from bioicons_pipeline.orchestration.assets import ALL_ASSETS

        (key,) = definition.check_keys
        job = dg.define_asset_job("only_the_check", selection=dg.AssetSelection.checks(key))
        made = dg.Definitions(
            assets=ALL_ASSETS, asset_checks=[definition], jobs=[job], resources=defs.resources
        )
        needed = definition.required_resource_keys
        result = made.resolve_job_def(job.name).execute_in_process(
            instance=self.instance,
            tags={"dagster/partition": category} if category else {},
            run_config={"resources": {name: self.resources[name] for name in needed & set(self.resources)}},
            raise_on_error=False,  # a blocking check fails its run
        )
        (found,) = result.get_asset_check_evaluations()
        return found


def write_library(folder: Path) -> None:
    """Two categories with four plain icons each, in the upstream layout."""
    for number, category in enumerate(CATEGORIES):
        for index, shape in enumerate(SHAPES):
            file = folder / "static" / "icons" / "cc-0" / category / "Ann" / f"{category}-{index}.svg"
            file.parent.mkdir(parents=True, exist_ok=True)
            body = shape.format(20 + 9 * number + index)
            file.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">{body}</svg>')


@pytest.fixture
def place(tmp_path) -> Place:
    """A library of two categories, snapshot and manifest made, nothing rendered."""
    write_library(tmp_path / "icons")
    made = Place(tmp_path)
    assert made.run("refresh_library").success
    assert made.run("build_datasets", *CATEGORIES, only=("icon_manifest",)).success
    return made


@pytest.fixture(scope="session")
def built_once(tmp_path_factory) -> Path:
    """The same with datasets of both categories and of the library; whoever changes it takes a copy."""
    root = tmp_path_factory.mktemp("built")
    write_library(root / "icons")
    made = Place(root)
    assert made.run("refresh_library").success
    assert made.run("build_datasets", *CATEGORIES).success
    assert made.run("build_library_dataset").success
    return root


@pytest.fixture
def built(built_once, tmp_path) -> Place:
    """A copy of its own of what was built, and a history that knows the categories."""
    shutil.copytree(built_once, tmp_path, dirs_exist_ok=True)
    made = Place(tmp_path)
    made.instance.add_dynamic_partitions("category", list(CATEGORIES))
    return made
