"""Other words for the subjects of the sets: near in meaning, and made up.

Belongs here: which words of English and of the caption tables mean about what an icon shows, and words that
mean nothing. Does not belong here: how a caption is put together (captions).

A base that only read the names of its icons is lost where a LoRA begins: "15 mL conical centrifuge tube" is
noise to it, and what noise does to a drawing is chance. all-MiniLM-L6-v2 (`captioning.sentences`) knows that
it is near a lab tube; and of a word that nobody knows the base learns to go by the rest of the caption. Words
only: no picture of bioicons comes in this way.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np

from bioicons_pipeline.captioning.tables import tables
from bioicons_pipeline.captioning.vocabulary import english

ENGLISH_WORDS = 20_000
"""The most frequent ones: rarer words are seldom in a prompt."""
NEAR_ENGLISH, NEAR_SCIENCE = 0.6, 0.45
"""Cosines from which a word counts as near. Looked at: of English at 0.55 half are far-fetched ("numbered" →
ten), at 0.6 few; what the tables hold are phrases ("15 mL conical centrifuge tube" → lab tube), whose cosines
are lower."""
_MARGIN = 0.08
"""Further subjects are taken up to this below the nearest: "calf" is a leg (0.67) and a cow (0.61)."""
_MOST = 3
_STARTS = (*"bcdfgklmnprstvz", "ph", "th", "tr", "pl", "cr", "gl")
_VOWELS = (*"aeiou", "ae", "io")
_ENDS = ("", "", "n", "s", "x", "in", "ase", "um", "us", "cyte", "oid", "al", "ic")

Embed = Callable[[Sequence[str]], np.ndarray]


def english_words(known: Collection[str]) -> list[str]:
    """The most frequent English words of three letters and more without `known`, sorted."""
    frequent = sorted(english().items(), key=lambda item: (-item[1], item[0]))
    long = [word for word, _ in frequent if len(word) > 2 and word.isascii() and word.isalpha()]
    return sorted(set(long[:ENGLISH_WORDS]) - set(known))


def science_words() -> list[str]:
    """Words and whole subjects of the caption tables, sorted; none with a comma, which ends a part of one."""
    subjects = {subject for subject, _ in tables().subjects.values() if "," not in subject}
    return sorted(subjects | tables().biology)


def near(subjects: Sequence[str], words: Sequence[str], least: float, embed: Embed) -> dict[str, list[str]]:
    """For every subject that has any, the words that mean about the same.

    embed: texts → (N, D) unit vectors. A word goes to its nearest subjects, at most `_MOST`: those with a
    cosine of at least `least` that is at most `_MARGIN` below the nearest one's.
    """
    found: dict[str, list[str]] = {}
    if not subjects or not words:
        return found
    # rounded: the same on machines whose sums differ in the last digits
    cosines = np.round(embed(words) @ embed(subjects).T, 3)
    for word, row in zip(words, cosines, strict=True):
        for index in map(int, np.argsort(-row, kind="stable")[:_MOST]):
            if row[index] >= max(least, row.max() - _MARGIN) and word != subjects[index]:
                found.setdefault(subjects[index], []).append(word)
    return found


def made_up(random: np.random.Generator) -> str:
    """A word of one to three syllables that may end like a scientific one; it can be a real one by chance."""
    syllables = [
        f"{random.choice(_STARTS)}{random.choice(_VOWELS)}" for _ in range(int(random.integers(1, 4)))
    ]
    return "".join(syllables) + str(random.choice(_ENDS))
