"""Other words for subjects: near by the cosine, English and scientific ones, and ones that mean nothing."""

import numpy as np

from bioicons_pipeline.captioning.vocabulary import english
from bioicons_pipeline.training.pretrain.wording import (
    english_words,
    made_up,
    near,
    science_words,
)

ANGLES = {"worm": 0, "snake": 25, "cake": 90, "trichinella": 10, "eel": 40, "bread": 88, "gnu": 200}


def by_angle(texts):
    """Unit vectors in a plane, so that nearness can be read off."""
    turn = np.radians([ANGLES[text] for text in texts])
    return np.stack([np.cos(turn), np.sin(turn)], axis=1).astype(np.float32)


def test_a_word_goes_to_the_nearest_subjects():
    found = near(["cake", "snake", "worm"], ["trichinella", "eel", "bread", "gnu"], 0.8, by_angle)
    # 10 degrees from the worm and 15 from the snake, both near; the eel is too far behind at the worm's
    assert found == {"worm": ["trichinella"], "snake": ["trichinella", "eel"], "cake": ["bread"]}
    assert near(["cake"], ["trichinella"], 0.8, by_angle) == {}
    assert near(["cake"], [], 0.8, by_angle) == near([], ["eel"], 0.8, by_angle) == {}


def test_a_subject_is_no_other_word_for_itself():
    assert near(["worm", "snake"], ["worm"], 0.99, by_angle) == {}


def test_words_are_of_the_frequent_english_and_of_the_tables():
    words = english_words({"house"})
    assert {"pineapple", "lung"} <= set(words) and "house" not in words
    rare = min(english(), key=lambda word: english()[word])
    assert rare not in words
    assert {"trichinella", "Erlenmeyer flask with a label"} <= set(science_words())


def test_made_up_words_are_many_and_mostly_not_english():
    random = np.random.default_rng(0)
    words = {made_up(random) for _ in range(2000)}
    assert len(words) > 1500 and all(word.isalpha() and word.islower() for word in words)
    assert sum(word in english() for word in words) < len(words) / 20
