"""The licence table, the presets, authors, and the credits."""

import csv
import io

import pytest

from bioicons_pipeline.library import credits
from bioicons_pipeline.library.authors import author_name, author_urls, read_authors
from bioicons_pipeline.library.licences import (
    BY_FOLDER,
    BY_SPDX,
    PRESETS,
    TABLE,
    LicenceError,
    licence_of_folder,
    policy_for,
    stricter,
)
from bioicons_pipeline_tests.library.library_of import BEAKER, FISH, LEAF, STAR, drawing, manifest_of


def test_the_table_knows_every_folder_of_upstream():
    assert set(BY_FOLDER) == {"bsd", "cc-0", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "mit"}
    assert all(licence.url.startswith("https://") for licence in TABLE)
    for smaller, larger in zip(list(PRESETS)[:-1], list(PRESETS)[1:], strict=True):
        assert PRESETS[smaller] < PRESETS[larger]
    assert licence_of_folder("None") is None


@pytest.mark.parametrize("spdx", [None, "", "None", float("nan"), "GPL-3.0", 7])
def test_no_policy_allows_what_it_does_not_know(spdx):
    assert not any(policy_for(preset).allows(spdx) for preset in PRESETS)
    with pytest.raises(LicenceError, match="choose one of"):
        policy_for("everything")


def test_a_preset_allows_its_own_licences_and_no_other():
    assert policy_for("attribution").allows("CC-BY-4.0")
    assert not policy_for("attribution").allows("CC-BY-SA-4.0")
    assert policy_for("public-domain").allows("CC0-1.0") and not policy_for("public-domain").allows("MIT")
    for preset, allowed in PRESETS.items():
        assert {licence.spdx for licence in TABLE if policy_for(preset).allows(licence.spdx)} == allowed


def test_the_stricter_of_two_licences():
    assert stricter(BY_SPDX["CC0-1.0"], BY_SPDX["CC-BY-4.0"]) is BY_SPDX["CC-BY-4.0"]
    assert stricter(BY_SPDX["CC-BY-SA-3.0"], BY_SPDX["MIT"]) is BY_SPDX["CC-BY-SA-3.0"]
    assert stricter(None, BY_SPDX["MIT"]) is None


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("Simon_Dürr", "Simon Dürr"),
        ("Simon_Du\u0308rr", "Simon Dürr"),
        ("dbs-sticky", "dbs-sticky"),
        ("Marnie-Maddock", "Marnie Maddock"),
        ("David-Eccles--gringer-", "David Eccles (gringer)"),
        ("ewaoz", "Ewa Oz"),
        ("fang-fangyang", "Fang-fang Yang"),
        ("Д.Ильин", "Д.Ильин"),
        ("_", None),
        (None, None),
    ],
)
def test_author_names(folder, name):
    assert author_name(folder) == name


def test_author_pages_are_web_pages_only():
    table = read_authors(
        b'{"A B":"https://a.example/x","C":"javascript:alert(1)","D":"www.d.example","E":"http://e.example",'
        b'"F":"https://f.example/\\" onclick=","G":7,"H":"ftp://h.example","I":"https://localhost"}'
    )
    assert author_urls(table) == {"ab": "https://a.example/x", "e": "http://e.example"}
    assert read_authors(None) == read_authors(b"not json") == read_authors(b"[1]") == {}


FILES = {
    "cc-by-3.0/Animals/Ann_Lee/red_fish.svg": drawing(FISH),
    "mit/Animals/Bo/star.svg": drawing(STAR),
    "bsd/Animals/Cy/leaf.svg": drawing(LEAF),
    "cc-0/Animals/=cmd()/[x](javascript:1)<b>.svg": drawing(BEAKER),
}


def test_credits_name_author_licence_source_and_changes():
    df = manifest_of(FILES, authors={"Ann Lee": "https://ann.example"})
    text = credits.attribution_markdown(df, changes="rasterised at 512 px, cropped")
    assert (
        "- red fish icon by Ann Lee https://ann.example is licensed under CC BY 3.0 "
        "https://creativecommons.org/licenses/by/3.0/. Source: "
        "https://github.com/o/r/blob/c/static/icons/cc-by-3.0/Animals/Ann_Lee/red_fish.svg. "
        "Changes: rasterised at 512 px, cropped." in text
    )
    assert "Bo (no address given)" in text
    assert "<b>" not in text.replace("\\<b\\>", "")
    assert "[x](" not in text.replace("\\[x\\](", "")
    table = list(csv.DictReader(io.StringIO(credits.attribution_csv(df))))
    assert len(table) == len(FILES)
    assert [line["author"] for line in table if "cmd" in line["author"]] == ["'=cmd()"]
    assert all(line["spdx"] and line["changes"] for line in table)


def test_notices_are_kept_in_full_under_the_authors_name():
    df = manifest_of(FILES)
    texts = credits.licence_texts(df)
    assert set(texts) == {"CC-BY-3.0.txt", "MIT.txt", "BSD-3-Clause.txt", "CC0-1.0.txt"}
    assert "Copyright 2021 Bo" in texts["MIT.txt"]
    assert "The above copyright notice and this permission notice shall be included" in texts["MIT.txt"]
    assert "Copyright 2021 Cy" in texts["BSD-3-Clause.txt"]
    assert "Neither the name of the copyright holder" in texts["BSD-3-Clause.txt"]
    assert credits.licence_mix(df) == {"BSD-3-Clause": 1, "CC-BY-3.0": 1, "CC0-1.0": 1, "MIT": 1}
    assert "name the author" in credits.obligations(df)
