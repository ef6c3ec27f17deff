"""All captions of the icons: which other words an icon gets, and when they are made anew."""

import numpy as np
import pytest

from bioicons_pipeline.training.pretrain import said
from bioicons_pipeline.training.pretrain.icons import BaseIcon, BaseIcons

ICONS = BaseIcons(
    (
        BaseIcon("noto/heart", ("heart",)),
        BaseIcon("twemoji/heart", ("heart",)),
        BaseIcon("noto/bus", ("bus",)),
    ),
    np.full((3, 16, 16, 3), 90, dtype=np.uint8),
    {},
)
MEANT = {"heart": 0, "aorta": 0, "love": 0, "pink hearts": 0, "bus": 1, "kinetochore": 2}


def embeddings(texts, progress):
    """One direction a meaning; what is not in MEANT is far from all."""
    found = np.zeros((len(texts), 4), dtype=np.float32)
    found[np.arange(len(texts)), [MEANT.get(text, 3) for text in texts]] = 1
    return found


@pytest.fixture
def say(tmp_path, monkeypatch):
    monkeypatch.setattr(said, "sentence_embeddings", embeddings)
    monkeypatch.setattr(said, "science_words", lambda: ["aorta", "kinetochore", "pink hearts"])
    monkeypatch.setattr(said, "english_words", lambda known: ["love", "quick"])
    return lambda size=16: said.say(ICONS, size, tmp_path, lambda *_: None)


def test_near_words_are_the_right_icons(say):
    """One of science and one of English for what is near them; neither for what is not, nor other colours."""
    other = {icon.icon_id: [text.split(", ")[1] for text in icon.captions] for icon in say().other}
    for key in ("noto/heart", "twemoji/heart"):
        assert sum("aorta" in noun for noun in other[key]) == sum("love" in noun for noun in other[key]) == 1
    assert len(other["noto/bus"]) == 3
    told = " ".join(noun for nouns in other.values() for noun in nouns)
    assert not {"kinetochore", "quick", "pink"} & set(told.split())


def test_the_captions_of_a_stage_are_those_of_its_kinds(say):
    found = say()
    for own, other, doubted, both, every in zip(
        found.own, found.other, found.doubted, found.reworded, found.all, strict=True
    ):
        assert own.icon_id == other.icon_id == doubted.icon_id == both.icon_id == every.icon_id
        assert both.captions == own.captions + other.captions
        assert set(every.captions) == set(both.captions) | set(doubted.captions)


def test_the_first_sets_have_their_share_whatever_their_size(say):
    """Of three icons the first alone is drawn half of the time, and no caption changes place."""
    found = say()
    weighed = found.weighed([0], 0.5)
    assert [icon.weight for icon in weighed] == [1.0, 0.5, 0.5]
    assert all(icon.captions[:7] == own.captions for icon, own in zip(weighed, found.own, strict=True))
    assert {icon.weight for icon in found.weighed([0, 1, 2], 0.5)} == {1.0}


def test_what_was_made_is_read_until_something_else_decides(say, tmp_path, monkeypatch):
    first, original, made = say(), said.captioned, []
    monkeypatch.setattr(said, "captioned", lambda *given: (made.append(1), original(*given))[1])
    assert say() == first and not made
    say(32)
    monkeypatch.setattr(said, "NEAR_SCIENCE", 0.5)
    say()
    assert len(made) == 2 and len(list(tmp_path.iterdir())) == 3
