"""Each question of a whole manifest finds its planted fault, and nothing in a sound one."""

import pandas as pd
import pytest

from bioicons_pipeline.library import findings
from bioicons_pipeline.library.licences import policy_for


@pytest.fixture
def sound():
    """Five icons in four families; one left out."""
    return pd.DataFrame(
        {
            "icon_id": ["a", "b", "c", "d", "e"],
            "source_path": [f"cc-0/Animals/X/{name}.svg" for name in "abcde"],
            "included": [True, True, True, True, False],
            "exclusion_reason": [None, None, None, None, "empty_file"],
            "family_id": ["f1", "f1", "f2", "f3", "f4"],
            "split": ["train", "train", "heldout", "train", None],
            "author": ["X"] * 5,
            "spdx": ["CC0-1.0", "MIT", "CC-BY-4.0", "CC0-1.0", None],
            "licence_url": ["https://example.org"] * 5,
            "source_url": ["https://example.org/x"] * 5,
        }
    )


def test_a_sound_manifest_has_no_findings(sound):
    assert findings.outside_preset(sound, policy_for("attribution")) == []
    assert findings.duplicate_ids(sound) == findings.without_credit(sound) == []
    assert findings.torn_families(sound) == []
    assert findings.withdrawn({"a": "CC0-1.0", "c": "CC-BY-4.0"}, sound) == {}


def test_a_licence_outside_the_preset_is_named(sound):
    assert findings.outside_preset(sound, policy_for("public-domain")) == [
        "cc-0/Animals/X/b.svg",
        "cc-0/Animals/X/c.svg",
    ]


def test_an_icon_id_that_two_icons_have_is_named(sound):
    sound.loc[4, "icon_id"] = "a"
    assert findings.duplicate_ids(sound) == ["cc-0/Animals/X/a.svg", "cc-0/Animals/X/e.svg"]


@pytest.mark.parametrize("column", findings.CREDIT_COLUMNS)
@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_credit_is_named(sound, column, value):
    sound.loc[2, column] = value
    assert findings.without_credit(sound) == ["cc-0/Animals/X/c.svg"]


def test_a_family_on_both_sides_is_named(sound):
    sound.loc[1, "split"] = "heldout"
    assert findings.torn_families(sound) == ["f1"]


def test_icons_that_went_away_are_named_with_the_reason(sound):
    used = {"a": "CC0-1.0", "b": "CC0-1.0", "e": "CC0-1.0", "gone": "MIT"}
    assert findings.withdrawn(used, sound) == {
        "b": "its licence is MIT now, it was CC0-1.0",
        "e": "left out now (empty_file)",
        "gone": "deleted upstream",
    }
    icons = pd.DataFrame(
        {"icon_id": ["gone", "a"], "name": ["cat", "dog"], "author": "Ann", "spdx": "CC0-1.0"}
    )
    assert findings.withdrawn_icons(icons, sound) == ["cat by Ann: deleted upstream"]
    assert findings.in_short(["a", "b", "c"], most=2) == "a; b and 1 more" and findings.in_short(["a"]) == "a"
