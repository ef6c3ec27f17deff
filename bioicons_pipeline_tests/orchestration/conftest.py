"""A data folder of its own and an instance on it, for tests that run jobs; and a small library for them."""

from pathlib import Path

import dagster as dg
import pytest

from bioicons_pipeline.settings import Settings, get_settings
from bioicons_pipeline.store import Store

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

    def __init__(self, root: Path) -> None:
        self.root, self.instance = root, dg.DagsterInstance.ephemeral()
        self.store = Store(root / "data" / "store")

    def run(self, job: str, *categories: str, only: tuple[str, ...] = (), config: dict | None = None):
        """Run a job for no, one or, as a single run, several categories; `only`: of its assets."""
        from bioicons_pipeline.definitions import defs

        tags = {"dagster/partition": categories[0]} if categories else {}
        if len(categories) > 1:
            tags = {
                "dagster/asset_partition_range_start": categories[0],
                "dagster/asset_partition_range_end": categories[-1],
            }
        return defs.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            tags=tags,
            run_config=config or {},
            asset_selection=[dg.AssetKey(name) for name in only] or None,
            raise_on_error=False,
        )

    def checks(self, result) -> dict[str, dg.AssetCheckEvaluation]:
        """The evaluations of a run by the check's name."""
        return {found.check_name: found for found in result.get_asset_check_evaluations()}


@pytest.fixture
def place(tmp_path, monkeypatch) -> Place:
    """A library of two categories with four icons each, snapshot and manifest made, nothing rendered."""
    for number, category in enumerate(CATEGORIES):
        for index, shape in enumerate(SHAPES):
            file = (
                tmp_path
                / "icons"
                / "static"
                / "icons"
                / "cc-0"
                / category
                / "Ann"
                / f"{category}-{index}.svg"
            )
            file.parent.mkdir(parents=True, exist_ok=True)
            body = shape.format(20 + 9 * number + index)
            file.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">{body}</svg>')
    monkeypatch.setenv("BIOICONS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("BIOICONS_RENDER_SIZE", "64")
    monkeypatch.setenv("BIOICONS_SOURCE", str(tmp_path / "icons"))
    get_settings.cache_clear()
    made = Place(tmp_path)
    upstream = {
        "source": str(tmp_path / "icons"), "licence_preset": "attribution", "render_size": 64, "workers": 1,
    }  # fmt: skip
    # the resources took their values when the definitions were loaded, for whichever test came first
    where = {
        "artifacts": {"root": str(made.store.root), "cache_dir": str(tmp_path / "cache"),
                      "work_dir": str(tmp_path / "work")},
        "upstream": upstream,
    }  # fmt: skip
    made.config = {"resources": {name: {"config": values} for name, values in where.items()}}
    assert made.run("refresh_library", config=made.config).success
    assert made.run("build_datasets", *CATEGORIES, only=("icon_manifest",), config=made.config).success
    yield made
    get_settings.cache_clear()
