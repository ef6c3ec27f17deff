"""`bioicons plan` by what the datasets were made from: settings, edited files, code, runs cut short."""

import pytest

from bioicons_pipeline.library.drift import Thresholds
from bioicons_pipeline.orchestration.stages import captions, made_from, manifest, outlook
from bioicons_pipeline.orchestration.stages.base import DATASET
from bioicons_pipeline.orchestration.stages.made_from import Inputs
from bioicons_pipeline.orchestration.stages.training_plan import PlannedBase
from bioicons_pipeline_tests.orchestration.conftest import CATEGORIES

BOTH = set(CATEGORIES)
DROP = """
version: 1
decisions:
  - {icon: cc-0/Bad/Ann/Bad-1.svg, action: drop, reason: not nice, reviewer: test}
"""


def foretold(place, **changed) -> list[outlook.Prospect]:
    upstream = {"preset": "attribution", "curation": None, "render_size": 64} | changed
    inputs = Inputs(source=str(place.root / "icons"), ref=None, **upstream)
    base = PlannedBase("flux-nano", "nano")
    return outlook.prospects(place.store, inputs, place.root / "cache", base, Thresholds())


def rebuilt(place, **changed) -> dict[str, str]:
    """Category, or library → why, of all that would be rebuilt."""
    return {one.category or "library": one.reason for one in foretold(place, **changed) if one.rebuild}


def redraw(place, category: str) -> None:
    icon = place.root / f"icons/static/icons/cc-0/{category}/Ann/{category}-0.svg"
    icon.write_text(icon.read_text().replace("#c33", "#0c3"))


def test_nothing_where_all_is_as_it_was(built):
    assert rebuilt(built) == {}


def test_a_library_of_too_few_icons_is_not_said_to_be_trained(built, monkeypatch):
    """Its asset only says so, as a small category's does."""
    assert foretold(built)[-1].reason == "too few icons: 8 < 12"
    assert not any(one.train for one in foretold(built))
    # so many icons upstream, and fewer of them in the dataset
    ref = built.store.get_ref(DATASET)
    built.store.set_ref(DATASET, ref.version_id, info=ref.info | {"icons": 3})
    monkeypatch.setattr(outlook, "MINIMUM_ICONS", 8)
    library = foretold(built)[-1]
    assert not library.train and library.reason == "too few icons: 3 < 12"


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        ({"preset": "public-domain"}, made_from.PRESET),
        ({"render_size": 128}, made_from.RENDER_SIZE),
    ],
)
def test_another_setting_rebuilds_all(built, changed, cause):
    """A preset that leaves no icon out too: it stands on the cards."""
    found = rebuilt(built, **changed)
    assert found.keys() == BOTH | {"library"} and all(cause in why for why in found.values())


def test_edited_caption_tables_and_new_code_are_causes(built, monkeypatch):
    for module in (captions, made_from):
        monkeypatch.setattr(module, "GRAMMAR_VERSION", "edited")
    found = rebuilt(built)
    assert found.keys() == BOTH | {"library"} and all(made_from.TABLES in why for why in found.values())
    monkeypatch.setattr(manifest, "CODE_VERSION", "next")
    assert all(made_from.CODE in why for why in rebuilt(built).values())


def test_an_edit_of_the_curation_file_rebuilds_whom_it_is_about(built):
    file = built.root / "curation.yaml"
    file.write_text(DROP)
    found = rebuilt(built, curation=str(file))
    assert found.keys() == {"Bad", "library"} and "1 edited in the curation file" in found["Bad"]
    assert built.run("build_datasets", *CATEGORIES, curation=str(file)).success
    assert rebuilt(built, curation=str(file)).keys() <= {"library"}


def test_what_a_run_that_was_cut_short_has_left_is_still_to_be_done(built):
    redraw(built, "Good")
    assert built.run("refresh_library").success  # and nothing more
    assert "1 redrawn" in rebuilt(built)["Good"] and rebuilt(built).keys() == {"Good", "library"}
    assert built.run("build_datasets", "Bad", only=("icon_manifest",)).success
    assert made_from.MANIFEST_NEWER in rebuilt(built)["Good"]
    assert built.run("build_datasets", "Good", only=("icon_manifest",)).success
    assert made_from.OTHER in rebuilt(built)["Good"]
    assert built.run("build_datasets", *CATEGORIES).success  # Bad's manifest was made again, too
    assert rebuilt(built).keys() <= {"library"}
