"""The table of synonyms is sound, and a broken one is refused by its row."""

import pytest

from bioicons_pipeline.captioning.tables import CaptionTableError
from bioicons_pipeline.generation.synonyms import SynonymTableError, parse_synonyms, synonyms

HEADER = "written,also,way,source\n"


def unit(table, words):
    (found,) = table.units_of(words.split())
    return found


def test_names_of_one_thing_reach_one_another_through_other_rows():
    table = parse_synonyms(f"{HEADER}nerve cell,neuron,both,x\nneuron,neurone,both,x\n")
    assert unit(table, "neurone").same == (("nerve", "cell"), ("neuron",))
    assert unit(table, "nerve cells").same == (("neuron",), ("neurone",))


def test_kinds_reach_down_only_and_through_other_names():
    table = parse_synonyms(f"{HEADER}cell,T cell; B cell,one,x\nT cell,T lymphocyte,both,x\n")
    assert unit(table, "cell").kinds == (("b", "cell"), ("t", "cell"), ("t", "lymphocyte"))
    assert unit(table, "t cell").kinds == () and unit(table, "b cell").same == ()


def test_the_longest_name_is_taken_and_other_words_stay_alone():
    words = ["dead", "white", "blood", "cells"]
    assert [one.words for one in synonyms().units_of(words)] == [("dead",), ("white", "blood", "cells")]


@pytest.mark.parametrize(
    "row", ["mouse,mice,two,x", "mouse,,both,x", "mouse,mice,both,", "mouse,mouse,both,x", "a,b;b,one,x"]
)
def test_a_row_that_says_nothing_is_refused(row):
    with pytest.raises(SynonymTableError, match=r"synonyms\.csv"):
        parse_synonyms(f"{HEADER}{row}\n")


def test_a_wrong_header_is_refused():
    with pytest.raises(CaptionTableError, match="first line"):
        parse_synonyms("written,also\nmouse,mice\n")
