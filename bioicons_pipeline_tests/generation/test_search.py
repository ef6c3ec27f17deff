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
    return planted(ICONS)


def planted(icons):
    rows = [
        {
            "icon_id": f"{number:04d}", "sha256": f"{number:064d}", "name": name, "category": category,
            "author": author, "author_url": "https://example.org", "spdx": spdx, "exclusion_reason": reason,
            "all_reasons": BROKEN.get(name, reason),
            "source_path": f"{category}/{name}.svg", "source_url": f"https://example.org/{number}",
        }
        for number, (name, category, author, spdx, reason) in enumerate(icons)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def library(*icons):
    """The search over icons of these names; `name/category` puts one elsewhere than among the animals."""
    rows = [(*f"{icon}/Animals".split("/")[:2], "DBCLS", "CC-BY-4.0", None) for icon in icons]
    return IconSearch(planted(rows))


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


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("mice", "mouse"), ("fungi", "fungus-2"), ("leaf", "oak_leaves"), ("nuclei", "nucleus"),
        ("red blood cell", "erythrocyte-1"), ("RBC", "erythrocyte-1"), ("erythrocytes", "RBC"),
        ("white blood cells", "leucocyte"), ("t cell", "t-lymphocyte"), ("nerve cell", "neuron"),
        ("covid", "SARS-CoV-2"), ("COVID-19", "SARS-CoV-2"), ("PCR machine", "thermalcycler-2"),
    ],
)  # fmt: skip
def test_another_name_of_the_same_thing_is_found(query, name):
    """Beside an icon that is near by its letters or by one of its words, and is not meant."""
    found = library(name, "nucleic_acid", "tube_with_blood", "cell-19", "ai-cognition/Machine_Learning")
    assert [(hit.row["name"], hit.why) for hit in found.find(query).hits] == [(name, "name")]


@pytest.mark.parametrize(
    ("query", "own", "other"),
    [
        ("bacterium", "round_bacterium", "gut_bacteria"), ("tumour", "big_tumour", "tumor"),
        ("mitochondria", "old_mitochondria", "mitochondrium-4"), ("b lymphocyte", "b-lymphocyte", "B-cell_2"),
        ("haemoglobin", "haemoglobin_chain", "hemoglobin"),
        ("neuron culture", "neuron_culture", "nerve_cell_culture"),
    ],
)  # fmt: skip
def test_a_name_and_another_name_of_the_same_thing_are_both_found_its_own_first(query, own, other):
    assert names(library(other, own, "kidney").find(query)) == [own, other]


def test_a_kind_is_found_by_what_it_is_and_not_the_other_way_round():
    search = library("zebrafish", "Common_carp", "fish_eggs", "monocyte")
    first, *others = names(search.find("fish"))
    assert first == "fish_eggs" and set(others) == {"Common_carp", "zebrafish"}
    assert names(search.find("zebrafish")) == ["zebrafish"]
    assert names(search.find("leukocyte")) == ["monocyte"] and names(search.find("monocyte")) == ["monocyte"]


def test_what_is_called_as_was_asked_comes_before_its_synonyms():
    search = library(
        "erythrocyte", "old_red_blood_cell_in_a_big_tube", "mitochondrion", "mitochondria_in_a_row"
    )
    assert names(search.find("red blood cell")) == ["old_red_blood_cell_in_a_big_tube", "erythrocyte"]
    assert names(search.find("erythrocyte")) == ["erythrocyte", "old_red_blood_cell_in_a_big_tube"]
    assert names(search.find("mitochondria")) == ["mitochondria_in_a_row", "mitochondrion"]


def test_nearness_in_meaning_lifts_no_synonym_above_what_is_called_as_was_asked():
    """The model's place is taken by vectors to which only the synonym is near."""

    def embed(texts):
        near = ["erythrocyte" in text or text == "red blood cell" for text in texts]
        return np.array([[1.0, 0.0] if one else [0.0, 1.0] for one in near], dtype=np.float32)

    rows = [(name, "Animals", "DBCLS", "CC-BY-4.0", None) for name in ("erythrocyte", "rough_red_blood_cell")]
    found = IconSearch(planted(rows), embed=embed).find("red blood cell")
    assert names(found) == ["rough_red_blood_cell", "erythrocyte"]


def test_a_term_of_several_words_is_not_found_by_words_of_other_fields():
    rows = [("E_coli_dish", "Cell_culture", "B--Gideon", "CC-BY-4.0", None)]
    rows += [("b-lymphocyte", "Blood_Immunology", "Servier", "CC-BY-3.0", None)]
    assert names(IconSearch(planted(rows)).find("b cell")) == ["b-lymphocyte"]


@pytest.mark.parametrize("query", ["a tardigrade, side view", "giraffe icon", "drawing of a red giraffe"])
def test_how_a_thing_is_shown_makes_no_find(query):
    search = library("leg-side", "side_view_of_a_knee", "drawing_board", "icon_of_a_cat", "cell-red")
    assert names(search.find(query)) == []


def test_how_a_thing_is_shown_may_be_missing():
    found = library("tardigrade", "tardigrade_from_a_lateral_view", "leg-side").find(
        "a tardigrade, front view"
    )
    assert {(hit.row["name"], hit.why) for hit in found.hits} == {
        ("tardigrade", "name"),
        ("tardigrade_from_a_lateral_view", "name"),
    }


def test_a_manner_that_the_caption_says_comes_first():
    rows = [(f"rabbit-{number}", "Animals", "DBCLS", "CC-BY-4.0", None) for number in (1, 2)]
    search = IconSearch(planted(rows), {"0000": "a small rabbit", "0001": "a large red rabbit, an old breed"})
    assert names(search.find("red rabbit")) == ["rabbit-2", "rabbit-1"]


def test_a_category_alone_makes_no_find_where_words_are_missing():
    search = library("PyTorch/Machine_Learning", "washing_machine/Lab_apparatus", "pcr_tube/Lab_apparatus")
    assert set(names(search.find("sewing machine"))) == {"washing_machine"}
    assert set(names(search.find("learning giraffe"))) == set()
    assert names(search.find("machine learning")) == ["PyTorch"]  # all words: it is what was asked for


def test_a_number_or_a_letter_alone_makes_no_find():
    search = library("monocyte-19", "T_maze", "chromosome_3")
    assert names(search.find("giraffe 19")) == [] and names(search.find("t giraffe")) == []
    assert names(search.find("chromosome 3")) == ["chromosome_3"]


def test_what_has_only_some_of_the_words_is_marked(manifest):
    (first, *_), whole = (
        IconSearch(manifest).find("mast giraffe").hits,
        IconSearch(manifest).find("mast").hits[0],
    )
    assert (first.why, first.note) == ("part", "some of the words") and (whole.why, whole.note) == (
        "name",
        "",
    )


@pytest.mark.parametrize(
    "query",
    [
        "goat", "ATP", "wheat", "bone marrow", "GPCR", "thorax", "musculus",
        "miRNA", "electrode", "forceps", "scalpel", "filter", "sponge", "whale",
    ],
)  # fmt: skip
def test_a_word_that_is_right_is_not_corrected_into_another(query):
    """All of these were: the library has words that differ in a letter or two."""
    near = ("bee_hive", "oat", "cat", "heart", "test", "arrow", "pcr", "borax", "muscles")
    nearer = ("mrna_vaccine", "electron", "force", "scale", "file", "song", "whole")
    found = library(*near, *nearer).find(query)
    assert found.query == "" and not found.hits


@pytest.mark.parametrize("query", ["HIV", "ROS", "ice", "bus", "IL-6", "Na+"])
def test_a_short_word_is_no_beginning_of_another(query):
    icons = ("honey_bee_hive", "glass_rod", "robot", "icon", "bubble", "illustration", "nanoparticle")
    assert not library(*icons).find(query).hits


def test_after_other_words_a_shorter_beginning_is_enough():
    search = library("mast_cell_1", "mast", "centrifuge")
    assert [(hit.row["name"], hit.why) for hit in search.find("mast cel").hits] == [("mast_cell_1", "name")]
    assert names(search.find("centri")) == ["centrifuge"]


@pytest.mark.parametrize("query", ["CD4+ T cell", "regulatory T cell", "CAR T cell"])
def test_of_a_term_with_another_word_the_term_comes_first(query):
    found = library("cell-MDCK", "Apicomplexa_cells", "t-lymphocyte").find(query)
    assert names(found)[0] == "t-lymphocyte" and found.hits[0].why == "part"


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("Mus musculus", "mouse"), ("D. melanogaster", "fruitfly"), ("Drosophila melanogaster", "fruitfly"),
        ("S. cerevisiae", "Yeast"), ("zebrafsh", "zebrafish"), ("erythrocite", "erythrocyte"),
    ],
)  # fmt: skip
def test_latin_names_and_misspellings_find_what_is_meant(query, name):
    icons = ("mouse", "fruitfly", "Yeast", "zebrafish", "erythrocyte", "C-DNA", "melanoma")
    assert names(library(*icons).find(query))[:1] == [name]
