"""Every materialization says in a link from which upstream commit it was made."""

import dagster as dg
import pytest

from bioicons_pipeline.library import tree
from bioicons_pipeline.orchestration.looks import upstream_link
from bioicons_pipeline.orchestration.stages import weights
from bioicons_pipeline.orchestration.stages.base import SNAPSHOT
from bioicons_pipeline_tests.orchestration.conftest import CATEGORIES, Place

OF_A_CATEGORY = (
    *("icon_manifest", "rasterized_icons", "icon_captions", "icon_dataset", "training_plan"),
    *("lora_weights", "sample_grid", "evaluation_report"),
)
OF_THE_LIBRARY = ("icon_dataset", "training_plan", "lora_weights", "sample_grid", "evaluation_report")


def execute(place: Place, job: str, category: str | None, *only: str, **ops: dict) -> None:
    """Run a job on flux-tiny; ops: config of steps by name."""
    from bioicons_pipeline.definitions import defs

    resources = place.resources | {"base": {"config": {"name": "flux-tiny"}}}
    result = defs.resolve_job_def(job).execute_in_process(
        instance=place.instance,
        tags={"dagster/partition": category} if category else {},
        run_config={
            "resources": resources,
            "ops": {name: {"config": config} for name, config in ops.items()},
        },
        asset_selection=[dg.AssetKey(name) for name in only] or None,
    )
    assert result.success


def plan(place: Place, *categories: str) -> None:
    """Materialize the plans, which no job of ours runs."""
    from bioicons_pipeline.definitions import defs

    for name, category in (*(("training_plan", one) for one in categories), ("library/training_plan", None)):
        key = dg.AssetKey(name.split("/"))
        resources = place.resources | {"base": {"config": {"name": "flux-tiny"}}}
        defs.get_repository_def().get_implicit_job_def_for_assets([key]).execute_in_process(
            instance=place.instance,
            asset_selection=[key],
            tags={"dagster/partition": category} if category else {},
            run_config={"resources": resources},
        )


def link(place: Place, name: str, category: str | None) -> dg.MetadataValue | None:
    """The link on the newest materialization of an asset."""
    key = dg.AssetKey(name.split("/"))
    partitions = [category] if category else None
    records = place.instance.fetch_materializations(
        dg.AssetRecordsFilter(key, asset_partitions=partitions), limit=1
    ).records
    materialization = records[0].asset_materialization
    assert materialization is not None
    return materialization.metadata.get("upstream commit")


def page_of(place: Place) -> dg.MetadataValue:
    """The link to the upstream commit that the store has now."""
    commit = place.store.get_ref(SNAPSHOT).info["commit"]
    return dg.MetadataValue.url(f"https://github.com/lab/icons/tree/{commit}/static/icons")


@pytest.fixture
def on_github(monkeypatch):
    """A folder of icons, taken for a repository on GitHub."""
    monkeypatch.setattr(tree, "github_page", lambda source: "https://github.com/lab/icons")


def build(place: Place) -> None:
    assert place.run("refresh_library").success
    assert place.run("build_datasets", *CATEGORIES).success
    assert place.run("build_library_dataset").success


def test_the_link_of_every_asset_of_the_flow(built, on_github):
    """Also where there are too few icons: the record "not trained" is of a commit, too."""
    build(built)
    plan(built, "Good")
    execute(built, "train_category", "Good")
    execute(built, "evaluate_category", "Good")
    execute(built, "train_library", None)
    execute(built, "evaluate_library", None)
    expected = page_of(built)
    assert link(built, "svg_snapshot", None) == expected
    assert {name: link(built, name, "Good") for name in OF_A_CATEGORY} == dict.fromkeys(
        OF_A_CATEGORY, expected
    )
    twins = {name: link(built, f"library/{name}", None) for name in OF_THE_LIBRARY}
    assert twins == dict.fromkeys(OF_THE_LIBRARY, expected)


@pytest.mark.timeout(900)
def test_what_is_made_of_a_lora_links_to_the_commit_of_its_dataset(built, on_github, monkeypatch):
    """A real training; then upstream redraws an icon of the category."""
    monkeypatch.setattr(weights, "MINIMUM_ICONS", 4)
    build(built)
    first = page_of(built)
    execute(
        built,
        "train_category",
        "Good",
        lora_weights={"steps": 2, "preset": "tiny"},
        sample_grid={"steps": 1},
    )
    icon = built.root / "icons/static/icons/cc-0/Good/Ann/Good-0.svg"
    icon.write_text(icon.read_text().replace("#c33", "#0c3"))
    build(built)
    second = page_of(built)
    assert second != first
    execute(built, "train_category", "Good", "sample_grid", sample_grid={"steps": 2})
    below = ("icon_manifest", "rasterized_icons", "icon_captions", "icon_dataset")
    assert {name: link(built, name, "Good") for name in below} == dict.fromkeys(below, second)
    assert {name: link(built, name, "Bad") for name in below} == dict.fromkeys(below, first)
    assert link(built, "lora_weights", "Good") == link(built, "sample_grid", "Good") == first


def test_a_source_that_is_not_on_github_is_named_by_its_commit():
    assert upstream_link("c0ffee", "/srv/icons") == dg.MetadataValue.text("c0ffee")
    shown = upstream_link("c0ffee", "https://github.com/duerrsimon/bioicons")
    assert shown == dg.MetadataValue.url("https://github.com/duerrsimon/bioicons/tree/c0ffee/static/icons")
