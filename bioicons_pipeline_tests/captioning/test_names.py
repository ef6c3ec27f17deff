"""Reading names: corrections, glued words, abbreviations, Latin, states; and the tables they come from."""

import pytest

from bioicons_pipeline.captioning.names import read_name
from bioicons_pipeline.captioning.tables import KINDS, CaptionTableError, parse_words, tables
from bioicons_pipeline.captioning.vocabulary import known, split_glued, suggestion


@pytest.mark.parametrize(
    ("name", "category", "subject", "latin", "state"),
    [
        ("platetelet-3", "Blood_Immunology", "platelet", None, None),
        ("emybroid_bodies", "Cell_culture", "embryoid bodies", None, None),
        ("tubescrewcap", "Microbiology", "tube with screw cap", None, None),
        ("tube-screwcap-open-green", "Microbiology", "screw-cap tube", None, "open"),
        ("vldl-3", "Blood_Immunology", "very-low-density lipoprotein (VLDL)", None, None),
        ("camp", "Nucleic_acids", "cyclic AMP molecule", None, None),
        ("gdp", "Nucleic_acids", "GDP molecule", None, None),
        ("nucleotide-a-ul", "Nucleic_acids", "adenine nucleotide block", None, "without letter"),
        ("Xenopus_laevis", "Animals", "African clawed frog", "Xenopus laevis", None),
        ("trichuris-eggs-2", "Parasites", "whipworm eggs", "Trichuris", None),
        ("Bacillus_subtilis", "Microbiology", "bacterium", "Bacillus subtilis", None),
        ("mouse-fat", "Animals", "fat mouse", None, None),
        ("Anterior_view_of_knee_joint", "Human_physiology", "knee joint", None, "anterior view"),
        ("area", "Scientific_graphs", "area chart", None, None),
        ("area", "Animals", "area", None, None),
        ("spleen-3", "human_physiology", "spleen", None, None),
        ("0.5ml_tube", "Lab_apparatus", "0.5 mL tube", None, None),
        ("tube-1,5 ml", "Lab_apparatus", "tube 1,5 mL", None, None),
        ("vitamin_B12", "Chemistry", "vitamin B12", None, None),
        ("O2", "Chemistry", "O2", None, None),
        ("fruitfly_drosophila-redeyes", "Animals", "fruit fly with red eyes", None, None),
    ],
)
def test_names_are_read(name, category, subject, latin, state):
    read = read_name(name, category)
    assert (read.subject, read.latin, read.state) == (subject, latin, state)
    assert read.unknown == ()


def test_a_word_nobody_knows_is_reported_and_kept():
    read = read_name("mouse_xqzzle")
    assert read.unknown == ("xqzzle",) and "xqzzle" in read.subject


BIOLOGY = (
    "cardiomyocytes",
    "oligodendrocyte",
    "keratinocyte",
    "megakaryoblast",
    "lipopolysaccharide",
    "osteoclast",
    "chondrocytes",
    "glycoprotein",
    "neuroblastoma",
    "thrombocyte",
)


@pytest.mark.parametrize("word", BIOLOGY)
def test_words_of_biology_stay_whole(word):
    assert known(word) and split_glued(word) == (word,)


@pytest.mark.parametrize(
    ("glued", "parts"),
    [
        ("petridish", ("petri", "dish")),
        ("waterbath", ("water", "bath")),
        ("mousebrain", ("mouse", "brain")),
        ("plasmaxyzcell", ("plasmaxyzcell",)),
        ("xqzzle", ("xqzzle",)),
    ],
)
def test_glued_words_come_apart_only_into_words(glued, parts):
    assert split_glued(glued) == parts


def test_a_long_name_of_parts_that_come_apart_in_two_ways_is_read():
    """Twenty of them took 37 seconds, forty would take years."""
    assert not known("oligodendro" * 20 + "qase")


def test_suggestion_names_the_word_that_was_meant():
    assert suggestion("fibrblast") == "fibroblast"
    assert suggestion("xqzzlewq") is None


def test_every_table_entry_has_a_source_and_a_known_kind():
    words = tables().words
    assert len(words) > 400 and {word.kind for word in words.values()} == set(KINDS)
    assert len(tables().subjects) > 500 and len(tables().latin) > 80


HEAD = "written,meaning,kind,source\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("written,meaning\n", "first line"),
        (HEAD + "a,b,typo\n", "4 cells"),
        (HEAD + "a,b,nonsense,me\n", "nonsense"),
        (HEAD + "a,b,typo,\n", "source"),
        (HEAD + "a,b,typo,me\nA,c,typo,me\n", "twice"),
    ],
)
def test_a_damaged_table_is_named(text, message):
    with pytest.raises(CaptionTableError, match=message):
        parse_words(text)
