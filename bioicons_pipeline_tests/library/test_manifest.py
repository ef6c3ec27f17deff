"""The manifest: gate, curator, rules, duplicates; pure and in the declared form."""

import io

import pandas as pd
import pytest

from bioicons_pipeline.library.curation import Curation, CurationRules
from bioicons_pipeline.library.licences import policy_for
from bioicons_pipeline.library.records import COLUMNS, ExclusionReason, Probe, icon_id, path_facts
from bioicons_pipeline.library.schema import ManifestError, counts, manifest_schema, validate_manifest
from bioicons_pipeline_tests.library.drawings import icon_of
from bioicons_pipeline_tests.library.library_of import BEAKER, FISH, LEAF, STAR, drawing, manifest_of, row

FILES = {
    "cc-0/Lab_apparatus/Ann_Lee/beaker.svg": drawing(BEAKER),
    "cc-by-4.0/Animals/Bo/fish.svg": drawing(FISH),
    "cc-by-sa-4.0/Animals/Bo/star.svg": drawing(STAR),
    "mit/Animals/Cy/leaf.svg": drawing(LEAF),
}
ALL = {"public-domain": 1, "permissive": 2, "attribution": 3, "share-alike": 4}


def curated(*decisions: dict) -> Curation:
    return Curation.model_validate(
        {"decisions": [{"reason": "because", "reviewer": "rev", **decision} for decision in decisions]}
    )


@pytest.mark.parametrize(("preset", "expected"), ALL.items())
def test_presets_include_what_they_say(preset, expected):
    df = manifest_of(FILES, preset=preset)
    assert df["included"].sum() == expected
    assert set(df.loc[df["included"], "spdx"]) <= policy_for(preset).allowed
    assert len(df) == len(FILES)


@pytest.mark.parametrize("preset", ALL)
@pytest.mark.parametrize("folder", ["None", "none", "cc-by-nc-4.0", "CC-0", "unknown", "cc-0 "])
def test_unknown_licence_is_out_under_every_preset_and_no_curator_can_change_that(preset, folder):
    path = f"{folder}/Animals/Bo/fish.svg"
    df = manifest_of({path: drawing(FISH)}, preset=preset, curation=curated({"icon": path, "action": "keep"}))
    assert row(df, path)["exclusion_reason"] == "unlicensed"
    assert row(df, path)["spdx"] is None
    assert df.attrs["notes"] == [f"{path}: cannot be kept, it is unlicensed."]


def test_an_icon_without_author_is_kept_out():
    path = "cc-by-4.0/General_items/scientific-article.svg"
    assert row(manifest_of({path: drawing(FISH)}), path)["exclusion_reason"] == "author_missing"
    assert path_facts(path).author_folder is None


def probe(refusal=None, **report) -> Probe:
    from bioicons_pipeline_tests.library.drawings import probe_of

    if refusal:
        return Probe("0" * 64, None, None, refusal, {})
    return probe_of(drawing(FISH), **report)


@pytest.mark.parametrize(
    ("path", "probed", "reason", "switch"),
    [
        ("cc-0/A/Bo/x.svg", probe("empty"), "empty_file", "drop_empty"),
        ("cc-0/A/Bo/x.svg", probe("not_xml"), "malformed", "drop_malformed"),
        ("cc-0/A/Bo/x.svg", probe("too_costly"), "malformed", "drop_malformed"),
        ("cc-0/A/Bo/x.svg", probe("nothing_drawn"), "blank", "drop_blank"),
        ("cc-0/A/Bo/x.svg", probe(near_white=True), "blank", "drop_blank"),
        ("cc-0/A/Bo/x.svg", probe(embedded_raster_share=0.7), "embedded_raster", "drop_embedded_raster"),
        ("cc-0/A/Bo/x.svg", probe(content_box=[0, 0, 90, 10]), "extreme_aspect", "drop_extreme_aspect"),
        ("cc-0/A/Bo/x.svg", probe(content_box=[0, 0, 10, 90]), "extreme_aspect", "drop_extreme_aspect"),
        ("cc-0/A/UNECE/corrosive.svg", probe(), "safety_symbol", "drop_safety_symbols"),
        ("cc-0/Safety_symbols/Bo/x.svg", probe(), "safety_symbol", "drop_safety_symbols"),
        ("cc-0/A/Bo/GEO_logo.svg", probe(), "trademark_logo", "drop_logos"),
        ("cc-0/Machine_Learning/Bo/PyTorch.svg", probe(), "trademark_logo", "drop_logos"),
        ("cc-0/Scientific_graphs/Bo/x.svg", probe(), "chart_or_diagram", "drop_charts"),
        ("cc-0/A/Bo/density-plot.svg", probe(), "chart_or_diagram", "drop_charts"),
        ("cc-0/A/Bo/growth_curve.svg", probe(), "chart_or_diagram", "drop_charts"),
        ("cc-0/Machine_Learning/Bo/neural-network-1.svg", probe(), "chart_or_diagram", "drop_charts"),
        ("cc-0/A/Bo/Warning_sign-3.svg", probe(), "safety_symbol", "drop_safety_symbols"),
        ("cc-0/A/Bo/GHS06.svg", probe(), "safety_symbol", "drop_safety_symbols"),
        ("cc-0/A/Bo/x.svg", probe(label_chars=4), "contains_text", "drop_text"),
    ],
)
def test_each_rule_gives_its_reason_and_can_be_switched_off(path, probed, reason, switch):
    files = {path: drawing(FISH)}
    assert row(manifest_of(files, probes={path: probed}), path)["exclusion_reason"] == reason
    lenient = manifest_of(files, probes={path: probed}, rules=CurationRules(**{switch: False}))
    assert row(lenient, path)["included"]
    kept = curated({"icon": path, "action": "keep"})
    overruled = row(manifest_of(files, probes={path: probed}, curation=kept), path)
    assert overruled["included"] == (probed.refusal is None)  # else there is no picture
    assert overruled["all_reasons"] == reason


def test_a_curator_cannot_keep_a_blank_that_has_no_picture():
    path = "cc-0/A/Bo/ghost.svg"
    kept = curated({"icon": path, "action": "keep"})
    df = manifest_of({path: drawing(FISH)}, probes={path: probe("nothing_drawn")}, curation=kept)
    assert row(df, path)["exclusion_reason"] == "blank"
    assert df.attrs["notes"] == [f"{path}: cannot be kept, it is blank."]


@pytest.mark.parametrize("asked", ["cc-0/A/Bo/M\u00fcller.svg", "cc-0/A/Bo/M\u00fcll*.svg"])
def test_a_decision_typed_on_a_keyboard_is_about_a_path_that_is_decomposed(asked):
    path = "cc-0/A/Bo/Mu\u0308ller.svg"
    df = manifest_of({path: drawing(FISH)}, curation=curated({"icon": asked, "action": "withdraw"}))
    assert row(df, path)["exclusion_reason"] == "withdrawn_by_curator" and not df.attrs["notes"]


def test_an_address_with_a_capital_scheme_is_one():
    df = manifest_of(FILES, authors={"Bo": "Https://Bo.example/A"})
    validate_manifest(df, policy_for("attribution"))
    assert row(df, "cc-by-4.0/Animals/Bo/fish.svg")["author_url"] == "https://Bo.example/A"


def test_text_and_white_on_white_are_seen_in_the_drawing_itself():
    files = {
        "cc-0/A/Bo/label.svg": drawing(FISH, extra='<text x="9" y="9">Fig</text>'),
        "cc-0/A/Bo/hidden.svg": drawing(FISH, extra='<g style="display:none"><text x="9" y="9">F</text></g>'),
        "cc-0/A/Bo/white.svg": b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9">'
        b'<rect width="9" height="9" fill="#fff"/></svg>',
    }
    path = f'd="{STAR}" fill="#123"'
    outlined = {
        "inkscape": f'<g id="g1"><path aria-label="LN 2" {path}/></g>',
        "older-inkscape": f'<g id="text123"><path {path}/></g>',
        "flowed": f'<g id="flowRoot9-7"><path {path}/></g>',
        "matplotlib": f'<g id="text_1"><path {path}/></g>',
        "pdf": f'<symbol id="glyph0-1"><path {path}/></symbol><use xlink:href="#glyph0-1"/>',
    }
    silent = f'<g id="texture" aria-label="" ><path id="textile-3" {path}/></g>'
    files |= {f"cc-0/A/Bo/{name}.svg": drawing(BEAKER, extra=extra) for name, extra in outlined.items()}
    files |= {"cc-0/A/Bo/no-words.svg": drawing(BEAKER, extra=silent)}
    files = {
        name: svg.replace(
            b"<svg ", b'<svg aria-label="An icon" xmlns:xlink="http://www.w3.org/1999/xlink" ', 1
        )
        for name, svg in files.items()
    }
    df = manifest_of(files)
    assert row(df, "cc-0/A/Bo/inkscape.svg")["text_chars"] == 3
    for name in ("label", *outlined):
        assert row(df, f"cc-0/A/Bo/{name}.svg")["exclusion_reason"] == "contains_text", name
    assert row(df, "cc-0/A/Bo/no-words.svg")["included"]
    assert row(df, "cc-0/A/Bo/hidden.svg")["included"]
    assert row(df, "cc-0/A/Bo/white.svg")["exclusion_reason"] == "blank"


def test_names_with_nearly_a_rules_word_are_no_victims():
    for name in (
        "paragraph",
        "plotter",
        "chartreuse_frog",
        "biologogram",
        "flow-cytometer",
        "graphite",
        "neural_network",
        "skull",
        "curved_needle",
        "radio-tag",
        "hedgehog_signalling",
    ):
        path = f"cc-0/A/Bo/{name}.svg"
        assert row(manifest_of({path: drawing(FISH)}), path)["included"], name


def test_exact_duplicates_keep_one_that_may_be_used():
    same = drawing(FISH)
    files = {"cc-0/A/Bo/a.svg": same, "cc-0/A/Bo/b.svg": same, "None/A/Bo/0.svg": drawing(STAR)}
    df = manifest_of(files)
    assert [row(df, p)["exclusion_reason"] for p in files] == [None, "exact_duplicate", "unlicensed"]
    df = manifest_of(files, curation=curated({"icon": "cc-0/A/Bo/b.svg", "action": "keep"}))
    assert [row(df, p)["exclusion_reason"] for p in files] == ["exact_duplicate", None, "unlicensed"]


def test_the_curator_overrules_and_is_told_what_had_no_effect():
    path = "cc-0/Lab_apparatus/Ann_Lee/beaker.svg"
    df = manifest_of(
        FILES,
        curation=curated(
            {"icon": path, "action": "rename", "value": "erlenmeyer"},
            {"icon": path, "action": "caption", "value": "a flask, empty"},
            {"icon": icon_id(path), "action": "category", "value": "Chemistry"},
            {"icon": "cc-by-4.0/Animals/Bo/*", "action": "drop"},
            {"icon": "cc-0/Lab_apparatus/*", "action": "drop"},
        ),
    )
    found = row(df, path)
    assert (found["name"], found["caption"], found["category"]) == (
        "erlenmeyer",
        "a flask, empty",
        "Chemistry",
    )
    assert found["included"]  # a star does not cross folders
    assert "because (rev)" in found["curation"]
    assert row(df, "cc-by-4.0/Animals/Bo/fish.svg")["exclusion_reason"] == "dropped_by_curator"
    assert df.attrs["notes"] == [
        "cc-0/Lab_apparatus/*: no icon matches this decision (drop); is it misspelt, or was it renamed or "
        "deleted upstream?"
    ]


def test_a_curators_withdrawal_is_told_from_a_drop_and_the_last_decision_holds():
    fish = "cc-by-4.0/Animals/Bo/fish.svg"
    for actions, reason in (
        (("drop", "withdraw"), "withdrawn_by_curator"),
        (("withdraw", "drop"), "dropped_by_curator"),
    ):
        decisions = [
            {"icon": icon, "action": action}
            for icon, action in zip(("*/*/*/fish.svg", fish), actions, strict=True)
        ]
        df = manifest_of(FILES, curation=curated(*decisions))
        assert row(df, fish)["exclusion_reason"] == reason and not df.attrs["notes"]


def test_what_is_withdrawn_is_out_under_every_path_and_preset():
    """Else its twin, a duplicate until then, would take its place in the training set."""
    paths = [f"cc-by-4.0/{category}/Bo/fish.svg" for category in ("Animals", "Food", "Water")]
    star = "cc-by-sa-4.0/Animals/Bo/star.svg"
    files = {path: drawing(FISH) for path in paths} | {star: drawing(STAR)}
    decisions = [{"icon": icon, "action": "withdraw"} for icon in (paths[0], star)]
    df = manifest_of(files, curation=curated(*decisions, {"icon": paths[1], "action": "keep"}))
    assert set(df["exclusion_reason"]) == {"withdrawn_by_curator"}
    assert df.attrs["notes"] == [f"{paths[1]}: cannot be kept, it is withdrawn by curator."]
    # a matter of taste is of that one file
    dropped = manifest_of(files, curation=curated({"icon": paths[0], "action": "drop"}))
    assert row(dropped, paths[1])["included"]


def test_a_category_of_one_family_is_trained_on():
    """Some names fall on the held-out side by their hash: nothing was left to learn from."""
    for name in ("fish", "star", "leaf", "beaker", *(f"cell{letter}" for letter in "abcdefghijklmnopqrst")):
        files = {f"cc-0/{name}/Bo/{name}-{n}.svg": drawing(FISH, fill=f"#{n}c3") for n in range(3)}
        df = manifest_of(files)
        assert df["family_id"].nunique() == 1 and set(df["split"]) == {"train"}


def test_one_person_spelt_three_ways_is_one_author():
    files = {
        f"cc-0/A/{spelling}/{n}.svg": drawing(path)
        for n, (spelling, path) in enumerate(
            zip(["ewaoz", "EwaOz", "Ewa-Oz", "Fang-fang-yang-"], [FISH, STAR, LEAF, BEAKER], strict=True)
        )
    }
    df = manifest_of(files, authors={"Ewa-Oz": "https://linktr.ee/ehvah", "fang-fang-yang": "javascript:1"})
    assert sorted(set(df["author"])) == ["Ewa Oz", "Fang-fang Yang"]
    assert set(df.loc[df["author"] == "Ewa Oz", "author_url"]) == {"https://linktr.ee/ehvah"}
    assert df.loc[df["author"] == "Fang-fang Yang", "author_url"].isna().all()


def test_unicode_forms_of_a_path_are_two_icons_with_one_spelling():
    nfc, nfd = "cc-0/Zellen/Zoë/zelle.svg", "cc-0/Zellen/Zoe\u0308/zelle.svg"
    df = manifest_of({nfc: drawing(FISH), nfd: drawing(STAR)})
    assert df["icon_id"].nunique() == 2
    assert set(df["author"]) == {"Zoë"}
    assert icon_id(nfc) != icon_id(nfd)


def test_the_table_is_pure_sorted_and_survives_parquet():
    forward, backward = manifest_of(FILES), manifest_of(dict(reversed(FILES.items())))
    pd.testing.assert_frame_equal(forward, backward)
    buffers = [io.BytesIO(), io.BytesIO()]
    for frame, buffer in zip((forward, backward), buffers, strict=True):
        frame.to_parquet(buffer, index=False)
    assert buffers[0].getvalue() == buffers[1].getvalue()
    assert list(forward["source_path"]) == sorted(FILES, key=str.encode)
    back = pd.read_parquet(buffers[0])
    validate_manifest(back, policy_for("attribution"))
    assert list(back.columns) == list(COLUMNS)
    assert back.attrs["notes"] == []
    with pytest.raises(ValueError, match="listed twice"):
        from bioicons_pipeline.library.manifest import build_manifest

        icon = icon_of("cc-0/A/B/x.svg", b"")
        rules = {"policy": policy_for("attribution"), "rules": CurationRules(), "curation": None}
        build_manifest([icon, icon], {}, **rules, authors={}, permalink=str)


def test_an_empty_library_gives_an_empty_table():
    df = manifest_of({})
    assert len(df) == 0
    validate_manifest(df)


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("icon_id", "xyz", "icon_id"),
        ("spdx", "WTFPL", "spdx"),
        ("author", None, "author, licence and source link"),
        ("exclusion_reason", "blank", "exactly if it has no exclusion_reason"),
        ("author_url", "javascript:alert(1)", "author_url"),
        ("split", "test", "split"),
    ],
)
def test_the_schema_refuses_a_broken_table(column, value, says):
    df = manifest_of(FILES)
    df.loc[0, column] = value
    with pytest.raises(ManifestError, match=says):
        validate_manifest(df)


def test_the_schema_guards_ids_families_and_the_preset():
    df = manifest_of(FILES, preset="share-alike")
    with pytest.raises(ManifestError, match="outside the preset attribution"):
        validate_manifest(df, policy_for("attribution"))
    torn = df.assign(family_id="f", split=["train", "heldout", "train", "train"])
    torn = torn.astype({"family_id": "string", "split": "string"})
    with pytest.raises(ManifestError, match="one side"):
        validate_manifest(torn)
    with pytest.raises(ManifestError):
        validate_manifest(pd.concat([df, df.head(1)], ignore_index=True))
    assert set(manifest_schema().columns) == set(COLUMNS)
    assert all(column.description for column in COLUMNS.values())
    assert counts(df)["icons"].sum() == len(df)
    assert {reason.value for reason in ExclusionReason} >= set(df["exclusion_reason"].dropna())
