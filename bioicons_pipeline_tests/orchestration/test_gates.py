"""A bad partition is stopped and a good one passes: in a backfill of one run, a manual run, automation."""

from dataclasses import replace

import dagster as dg
import pandas as pd
import pytest
from PIL import Image

from bioicons_pipeline.evaluation.records import png_of
from bioicons_pipeline.orchestration.stages import captions, dataset, images, manifest
from bioicons_pipeline.orchestration.stages.base import CAPTIONS, DATASET, IMAGES, MissingInputError
from bioicons_pipeline.orchestration.stages.gates import BLOCKED, BlockedError

BLANK = png_of(Image.new("RGB", (64, 64), "white"))


@pytest.fixture
def blank_pictures(monkeypatch):
    """The renderer loses one picture of the category Bad; returns the switch."""
    real, broken = images.render_many, [True]

    def render_many(icons, *arguments, **how):
        known = {"Bad": False}

        def seen():
            for key, svg in icons:
                known["Bad"] = known["Bad"] or b"M10 90 L50 22" in svg
                yield key, svg

        for place, result in enumerate(real(seen(), *arguments, **how)):
            lost = broken[0] and known["Bad"] and place == 0
            yield type(result)(**{**_fields(result), "png": BLANK}) if lost else result

    monkeypatch.setattr(images, "render_many", render_many)
    return broken


def _fields(result) -> dict:
    return {name: getattr(result, name) for name in result.__dataclass_fields__}


def categories_of(place, icons) -> set[str]:
    """The categories that these icon_ids are of."""
    frame = pd.concat([manifest.read_manifest(place.store, name) for name in ("Bad", "Good")])
    return set(frame[frame["icon_id"].isin(list(icons))]["category"])


def versions(place, asset: str) -> dict[str, str]:
    """The data version that Dagster shows for each category."""
    found = {}
    for category in ("Bad", "Good"):
        records = place.instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[category]), limit=1
        ).records
        if records:
            found[category] = records[0].asset_materialization.tags["dagster/data_version"]
    return found


def test_single_run_backfill(place, blank_pictures):
    result = place.run("build_datasets", "Bad", "Good")
    assert result.success
    assert place.store.get_ref(IMAGES, partition="Bad").info[BLOCKED][0].endswith("nothing can be seen on it")
    for asset in (CAPTIONS, DATASET):
        assert place.store.get_ref(asset, partition="Bad") is None
        good = place.store.get_ref(asset, partition="Good")
        shown = versions(place, asset)
        assert shown["Good"] == good.version_id and shown["Bad"].startswith("stopped-")
    found = {one.check_name: one for one in result.get_asset_check_evaluations()}["every_picture_is_sound"]
    assert not found.passed and found.severity == dg.AssetCheckSeverity.ERROR


def test_a_later_manual_run_is_stopped_too_and_a_mended_one_goes_on(place, blank_pictures):
    assert place.run("build_datasets", "Bad", "Good").success
    later = place.run("build_datasets", "Bad", only=(CAPTIONS, DATASET))
    assert not later.success
    (failure,) = [event for event in later.all_events if event.is_step_failure]
    assert "rasterized_icons of Bad is stopped" in failure.step_failure_data.user_failure_data.description
    assert place.run("build_datasets", "Good", only=(CAPTIONS, DATASET)).success
    alone = place.run("build_datasets", "Bad")
    assert not alone.success and place.store.get_ref(DATASET, partition="Bad") is None
    blank_pictures[0] = False
    assert place.run("build_datasets", "Bad").success
    assert BLOCKED not in place.store.get_ref(IMAGES, partition="Bad").info
    assert versions(place, DATASET)["Bad"] == place.store.get_ref(DATASET, partition="Bad").version_id


def test_what_was_built_before_stays(place, blank_pictures):
    blank_pictures[0] = False
    assert place.run("build_datasets", "Bad", "Good").success
    before = place.store.get_ref(DATASET, partition="Bad").version_id
    blank_pictures[0] = True
    assert place.run("build_datasets", "Bad", "Good", render_size=96).success
    assert place.store.get_ref(DATASET, partition="Bad").version_id == before
    assert place.store.get_ref(DATASET, partition="Good").info["render_size"] == 96


def test_an_empty_caption_stops_its_category_alone(place, monkeypatch):
    real = captions.distinguish

    def distinguish(made, *others):
        said = real(made, *others)
        if "Bad" in categories_of(place, said):
            first = min(said)
            said[first] = replace(said[first], text=" ", variants=(" ",))
        return said

    monkeypatch.setattr(captions, "distinguish", distinguish)
    assert place.run("build_datasets", "Bad", "Good").success
    assert BLOCKED in place.store.get_ref(CAPTIONS, partition="Bad").info
    assert place.store.get_ref(DATASET, partition="Bad") is None
    assert place.store.get_ref(DATASET, partition="Good") is not None
    later = place.run("build_datasets", "Bad", only=(DATASET,))
    assert not later.success and place.store.get_ref(DATASET, partition="Bad") is None
    monkeypatch.setattr(captions, "distinguish", real)
    assert place.run("build_datasets", "Bad").success
    assert place.store.get_ref(DATASET, partition="Bad") is not None


def test_the_library_goes_on_without_a_stopped_category_and_says_so(place, blank_pictures):
    assert place.run("build_datasets", "Bad", "Good").success
    result = place.run("build_library_dataset")
    assert result.success
    whole = place.store.get_ref(DATASET)
    assert whole.info["categories"] == {"Good": 4}
    (event,) = result.get_asset_materialization_events()
    assert event.materialization.metadata["left out"].value == "Bad"
    blank_pictures[0] = False
    assert place.run("build_datasets", "Bad").success and place.run("build_library_dataset").success
    assert place.store.get_ref(DATASET).info["categories"] == {"Bad": 4, "Good": 4}
    blank_pictures[0] = True  # what was built before stays in its category, and out of the library
    assert place.run("build_datasets", "Bad", "Good", render_size=96).success
    assert place.store.get_ref(DATASET, partition="Bad") is not None
    assert place.run("build_library_dataset").success
    assert place.store.get_ref(DATASET).info["categories"] == {"Good": 4}


def test_a_library_of_stopped_categories_alone_is_refused(place, blank_pictures):
    assert not place.run("build_datasets", "Bad").success
    with pytest.raises(BlockedError, match="Every category is stopped"):
        dataset.build_library(place.store, ["Bad"], "attribution")
    with pytest.raises(MissingInputError):  # one that was never made is no stopped one
        dataset.build_library(place.store, ["Bad", "Good"], "attribution")


def test_under_automation(place, blank_pictures):
    """The assets' own conditions, evaluated and run partition by partition as the daemon does."""
    from bioicons_pipeline.definitions import defs
    from bioicons_pipeline.orchestration.assets import ALL_ASSETS

    watched = dg.Definitions(assets=ALL_ASSETS, resources=defs.resources)
    place.instance = dg.DagsterInstance.ephemeral()  # without history: the manifests are news to it
    place.instance.add_dynamic_partitions("category", ["Bad", "Good"])
    names = ("rasterized_icons", CAPTIONS, DATASET)
    cursor = dg.evaluate_automation_conditions(watched, place.instance).cursor  # nothing is new yet
    assert place.run("build_datasets", "Bad", "Good", only=("icon_manifest",)).success
    asked = []
    for _ in range(6):
        found = dg.evaluate_automation_conditions(watched, place.instance, cursor=cursor)
        cursor = found.cursor
        wanted = [(name, key) for name in names for key in found.get_requested_partitions(dg.AssetKey(name))]
        for name, category in wanted:
            place.run("build_datasets", category, only=(name,))
        asked += wanted
    assert (DATASET, "Good") in asked and ("rasterized_icons", "Bad") in asked
    assert place.store.get_ref(DATASET, partition="Good") is not None
    assert place.store.get_ref(CAPTIONS, partition="Bad") is None
    assert place.store.get_ref(DATASET, partition="Bad") is None
