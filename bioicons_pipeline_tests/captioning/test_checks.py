"""Each check finds its fault, and nothing in a clean set."""

import pytest

from bioicons_pipeline.captioning import caption_icon
from bioicons_pipeline.captioning.checks import check_captions, check_duplicates, check_unknown, clip_tokens

CLEAN = {"a": ["bioicons style, a mouse"], "b": ["bioicons style, a rat, side view"]}


def kinds(captions, families=None, unknown=None, listed=()):
    return [finding.kind for finding in check_captions(captions, families or {}, unknown, listed)]


def test_a_clean_set_has_no_findings():
    assert kinds(CLEAN) == []


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("bioicons style, a mouse_lab", "artefact"),
        ("bioicons style, a mouse.svg", "artefact"),
        ("bioicons style, a mouse (2)", "artefact"),
        ("bioicons style, a receptor3", "artefact"),
        ("bioicons style, a mouse, , zoology", "artefact"),
        ("bioicons style, " + "oligodendrocyte " * 12, "too-long"),
    ],
)
def test_each_fault_is_found(text, kind):
    assert kind in kinds({**CLEAN, "c": [text]})


def test_duplicates_are_allowed_within_a_family_only():
    first = {"a": "same", "b": "same", "c": "other"}
    assert check_duplicates(first, {"a": "f1", "b": "f1", "c": "f2"}) == []
    found = check_duplicates(first, {"a": "f1", "b": "f2", "c": "f2"})
    assert [finding.icon_id for finding in found] == ["a", "b"]
    assert len(check_duplicates(first, {})) == 2  # no family: each its own


def test_an_unknown_word_is_found_until_it_is_listed():
    unknown = {"a": caption_icon("fibrblast_xqzzle", "Tissues").unknown}
    found = check_unknown(unknown)
    assert len(found) == 2 and "'fibroblast'" in found[0].message
    assert check_unknown(unknown, listed=["Fibrblast", "xqzzle"]) == []


def test_token_bound_is_above_known_counts():
    # Counts by CLIP's published vocabulary (49,408 entries), start and end included.
    assert clip_tokens("a mouse") >= 4
    assert clip_tokens("oligodendrocyte") >= 8
    assert clip_tokens("细胞") >= 4
