"""What flux-nano's icons are called: in the form of a bioicons caption, without its words."""

import numpy as np
import pytest

from bioicons_pipeline.captioning.grammar import BACKGROUND, TRIGGER, caption_icon
from bioicons_pipeline.captioning.tables import tables
from bioicons_pipeline.training.pretrain import captions, said, stages
from bioicons_pipeline.training.pretrain.captions import (
    NOTHING,
    PREFIXES,
    captions_of,
    doubted,
    parts_of,
    reworded,
)
from bioicons_pipeline.training.pretrain.icons import BaseIcon
from bioicons_pipeline_tests.training.pretrain.conftest import TINY

CONTEXTS = set(tables().categories.values())


def red(size=32):
    pixels = np.full((size, size, 3), 255, dtype=np.uint8)
    pixels[8:24, 8:24] = (210, 30, 30)
    return pixels


def parts(key="twemoji/heart"):
    return parts_of(BaseIcon(key, ("heart",)), red())


@pytest.fixture
def heart():
    return captions_of(parts())


def test_the_words_come_in_the_order_of_the_grammar(heart):
    """One caption is part for part what a bioicon's fullest caption is: style, noun, context, sub-style."""
    ours = [part for part in heart if part.startswith(PREFIXES) and part.endswith(BACKGROUND)]
    style, noun, context, drawn, background = ours[0].split(", ")
    assert style in PREFIXES and noun == "a red heart" and context in CONTEXTS
    assert (drawn, background) == ("plain flat shapes", BACKGROUND)
    theirs = caption_icon("heart", "Human_physiology", author="Servier").text.split(", ")
    assert theirs[0] == TRIGGER and theirs[2] in CONTEXTS and theirs[-1] == BACKGROUND


def test_the_trigger_is_left_to_the_lora(heart):
    assert not [text for text in heart if "bioicons" in text]


def test_the_fullest_is_first_and_the_bare_words_are_last(heart):
    assert heart[0] == f"a red heart, plain flat shapes, {BACKGROUND}"
    assert heart[1] == f"a red heart, {BACKGROUND}"
    assert heart[-1] == "a heart" and len(set(heart)) == len(heart) == 7


def test_a_context_says_nothing_of_what_is_drawn():
    """The same drawing under other keys has other contexts, evenly; the same key has the same."""
    drawn = [captions_of(parts(f"noto/{number}")) for number in range(60)]
    contexts = {text.split(", ")[2] for icon in drawn for text in icon if len(text.split(", ")) == 5}
    assert len(contexts) > len(CONTEXTS) / 2
    assert captions_of(parts("noto/7")) == drawn[7]


def test_in_other_words_the_rest_of_the_caption_stays_true():
    """The colour and, mostly, the style are the icon's; the subject is near, beside a word, or unknown."""
    found = [reworded(parts(f"twemoji/{n}"), [["aorta"], ["love", "valentine"]]) for n in range(40)]
    split = [[text.split(", ") for text in icon] for icon in found]
    assert {len(icon) for icon in found} == {5} and {len(text) for icon in split for text in icon} == {5}
    assert all("red" in text[1].split()[:2] and text[4] == BACKGROUND for icon in split for text in icon)
    own, science, english, beside, unknown = zip(*split, strict=True)
    assert {text[1] for text in own} == {"a red heart"} and not {text[0] for text in own} & set(PREFIXES)
    assert {text[1] for text in science} == {"a red aorta"}
    assert {text[1] for text in english} == {"a red love", "a red valentine"}
    assert all("heart" in text[1].split() and len(text[1].removeprefix("a ").split()) == 3 for text in beside)
    assert not [text for text in unknown if {"heart", "aorta", "love", "valentine"} & set(text[1].split())]
    assert 0.6 < np.mean([text[3] == "plain flat shapes" for icon in split for text in icon]) < 0.95
    assert not [text for icon in found for text in icon if "bioicons" in text]


def test_a_doubted_name_may_be_another_but_its_colour_is_the_pictures():
    """Half keep the icon's name, the rest say a near, another, a made-up one or none; all say red."""
    found = [doubted(parts(f"twemoji/{n}"), [["aorta"]], ["bus", "tree"]) for n in range(60)]
    nouns = [text.split(", ")[1] for icon in found for text in icon]
    assert all("red" in noun.split()[:2] for noun in nouns)
    said = [noun.split(" ", 1)[1].removeprefix("red ") for noun in nouns]
    assert 0.4 < np.mean([noun == "heart" for noun in said]) < 0.6
    assert 0.05 < np.mean([noun == "aorta" for noun in said]) < 0.15
    assert 0.1 < np.mean([noun in {"bus", "tree"} for noun in said]) < 0.25
    assert 0.05 < np.mean([noun in NOTHING for noun in said]) < 0.15
    assert not [text for icon in found for text in icon if "bioicons" in text]
    assert doubted(parts(), [], []) == doubted(parts(), [], [])


def test_the_look_is_in_the_words_of_the_grammar():
    assert parts("twemoji/heart").look == "flat colors without outlines"
    assert parts("noto/heart").look == "soft shading without outlines"
    assert parts("icon-park/heart").look == "dark outlines and flat colors"
    black = np.full((32, 32, 3), 255, dtype=np.uint8)
    black[8:24, 8:24] = 0
    assert parts_of(BaseIcon("noto/heart", ("heart",)), black).look == "black silhouette"


def test_without_a_near_word_there_are_unknown_ones_only():
    assert len(reworded(parts(), [])) == 3
    assert reworded(parts(), []) == reworded(parts(), [])
    assert reworded(parts(), []) != reworded(parts("noto/heart"), [])


def test_other_captions_are_not_taken_from_disk(work, monkeypatch):
    """They are kept by their version; the text encoders, whose tokenizers come from them, begin anew."""
    stages.train_all(TINY, work, quiet=True, until="text")
    monkeypatch.setattr(said, "CAPTIONS_VERSION", captions.CAPTIONS_VERSION + 1)
    monkeypatch.setattr(captions, "PREFIXES", ("mosaic style", "relief style", "engraving style"))
    stages.train_all(TINY, work, quiet=True, until="text")
    assert len(list(work.glob("captions-*.json"))) == 2
    assert len(list((work / "text").iterdir())) == 2
