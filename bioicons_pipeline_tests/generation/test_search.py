"""Search finds what a person would, says how it understood a query, shows nothing that nobody may use."""

import numpy as np
import pandas as pd
import pytest

from bioicons_pipeline.generation.search import IconSearch, SearchError

ICONS = [
    # name, category, author, spdx, exclusion_reason
    ("mast_cell-2", "Blood_Immunology", "Servier", "CC-BY-3.0", None),
    ("mast-cell-degranulated", "Blood_Immunology", "Servier", "CC-BY-3.0", None),
    ("tcell", "Blood_Immunology", "DBCLS", "CC-BY-4.0", None),
    ("myocardial_infarction", "Human_physiology", "Servier", "CC-BY-3.0", None),
    ("mouse", "Animals", "DBCLS", "CC-BY-4.0", None),
    ("computer_mouse", "Lab_apparatus", "DBCLS", "CC-BY-4.0", None),
    ("unlicensed mast cell", "Blood_Immunology", "Nobody", "", "unlicensed"),
    ("mast_cell_copy", "Blood_Immunology", "Servier", "CC-BY-3.0", "exact_duplicate"),
    ("platelet", "Blood_Immunology", "Servier", "CC-BY-SA-4.0", "licence_not_in_preset"),
    ("blank platelet", "Blood_Immunology", "Servier", "CC-BY-SA-4.0", "licence_not_in_preset"),
]
BROKEN = {"blank platelet": "licence_not_in_preset;blank"}


@pytest.fixture(scope="module")
def manifest():
    rows = [
        {
            "icon_id": f"{number:04d}", "sha256": f"{number:064d}", "name": name, "category": category,
            "author": author, "author_url": "https://example.org", "spdx": spdx, "exclusion_reason": reason,
            "all_reasons": BROKEN.get(name, reason),
            "source_path": f"{category}/{name}.svg", "source_url": f"https://example.org/{number}",
        }
        for number, (name, category, author, spdx, reason) in enumerate(ICONS)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def names(found):
    return [hit.row["name"] for hit in found.hits]


def test_what_has_all_words_comes_first(manifest):
    found = names(IconSearch(manifest).find("mast cell"))
    assert set(found) == {"mast_cell-2", "mast-cell-degranulated"}


def test_where_nothing_has_all_words_some_are_enough(manifest):
    assert set(names(IconSearch(manifest).find("mast giraffe"))) == {"mast_cell-2", "mast-cell-degranulated"}


def test_nothing_is_shown_that_nobody_may_use(manifest):
    found = names(IconSearch(manifest).find("mast cell", most=50))
    assert "unlicensed mast cell" not in found and "mast_cell_copy" not in found


def test_an_icon_outside_the_preset_is_found_for_a_person_may_use_it(manifest):
    assert names(IconSearch(manifest).find("platelet")) == ["platelet"]  # but not one that shows nothing


def test_a_misspelt_word_is_replaced_and_said(manifest):
    found = IconSearch(manifest).find("myocardal infarction")
    assert names(found)[0] == "myocardial_infarction" and found.query == "myocardial infarction"


def test_plural_and_unfinished_words_are_found(manifest):
    search = IconSearch(manifest)
    assert names(search.find("platelets")) == ["platelet"]
    assert "myocardial_infarction" in names(search.find("myocard"))


def test_a_category_narrows_the_search(manifest):
    assert names(IconSearch(manifest).find("mouse", category="Animals")) == ["mouse"]


def test_captions_are_searched_too(manifest):
    search = IconSearch(manifest, {"0004": "bioicons style, a gray mouse (Mus musculus)"})
    assert names(search.find("musculus"))[0] == "mouse"


def test_meaning_finds_what_no_word_does(manifest):
    """The model's place is taken by vectors that know one synonym."""

    def embed(texts):
        near = [("heart" in text or "infarction" in text) for text in texts]
        return np.array([[1.0, 0.0] if one else [0.0, 1.0] for one in near], dtype=np.float32)

    found = IconSearch(manifest, embed=embed).find("heart attack")
    assert [(hit.row["name"], hit.why) for hit in found.hits] == [("myocardial_infarction", "meaning")]
    assert names(IconSearch(manifest).find("heart attack")) == []


def test_every_hit_can_be_cited(manifest):
    hit = IconSearch(manifest).find("mouse", category="Animals").hits[0]
    assert "DBCLS" in hit.citation and "CC BY 4.0" in hit.citation and "https://example.org/4" in hit.citation


@pytest.mark.parametrize(
    "query", ['"', "mast AND", "mast*", "NEAR(mast cell)", "name:mast", "'; DROP TABLE icons"]
)
def test_a_query_is_only_ever_words(manifest, query):
    search = IconSearch(manifest)
    try:
        search.find(query)
    except SearchError:
        assert query == '"'
    assert names(search.find("mouse", category="Animals")) == ["mouse"]


@pytest.mark.parametrize(("query", "said"), [("  ", "nothing to search for"), ("x" * 301, "at most 300")])
def test_queries_that_cannot_be_answered(manifest, query, said):
    with pytest.raises(SearchError, match=said):
        IconSearch(manifest).find(query)


def test_a_library_without_usable_icons_is_said(manifest):
    with pytest.raises(SearchError, match="no icon that can be used"):
        IconSearch(manifest.loc[manifest["exclusion_reason"] == "unlicensed"])
