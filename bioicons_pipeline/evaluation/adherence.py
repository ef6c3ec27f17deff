"""Does a model draw what it was asked for.

Belongs here: figures with chance, base and real icons as bounds. Does not belong here: embedding pictures and
texts (`embedding`), looking neighbours up (`binding`).

Without another model: the nearest training icons of a picture, in shape and colour, should have the asked
word in their name. With CLIP: the rank of the right caption among the captions of all held-out icons.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bioicons_pipeline.captioning import subject_of
from bioicons_pipeline.evaluation.binding import binding
from bioicons_pipeline.evaluation.intervals import Estimate, mean_estimate

LEAST = 3
"""Training icons that must have a word for it to be asked."""
NEIGHBOURS = 5
_EMPTY = {"and", "for", "from", "the", "with", "without", "view", "side", "top", "front"}
"""Words of three letters and more that name no object."""


def words_of(name: str) -> frozenset[str]:
    """Words of an icon's name that say what it shows, lower case, three letters at least, plurals cut."""
    words = re.findall(r"[^\W\d_]{3,}", subject_of(name).lower())
    return frozenset(
        word.removesuffix("s") if len(word) > 4 else word for word in words if word not in _EMPTY
    )


def askable(
    asked: Sequence[frozenset[str]], known: Sequence[frozenset[str]], least: int = LEAST
) -> list[str | None]:
    """For each icon its rarest word that at least `least` training icons, and not half of them, have; else
    None: nothing can be said of it."""
    seen = Counter(word for words in known for word in words)
    fitting = {word for word, number in seen.items() if least <= number <= len(known) / 2}
    return [min(words & fitting, key=lambda word: (seen[word], word), default=None) for words in asked]


@dataclass(frozen=True)
class TrainingIndex:
    """Training icons to look pictures up among: `words` of their names and `vectors` (N, SIZE)."""

    words: tuple[frozenset[str], ...]
    vectors: np.ndarray


def agreement(
    words: Sequence[str], vectors: Sequence[np.ndarray], groups: Sequence[str], index: TrainingIndex
) -> tuple[Estimate, float]:
    """Share of pictures of which a near training icon has the asked word, and what chance would give.

    words, vectors (`descriptor.shape_and_colour`), groups: one for each picture.
    """
    found = binding(words, vectors, index.words, index.vectors, NEIGHBOURS)
    return mean_estimate([float(hit) for hit in found.hits], groups), found.chance


def ranks(pictures: np.ndarray, texts: np.ndarray, own: Sequence[int]) -> np.ndarray:
    """For each picture the share of other captions that fit it better than its own: 0 is best, 0.5 is chance.

    pictures (N, d) and texts (M, d) of unit length; own: the row of `texts` of each picture. A caption that
    fits equally well counts half.

    Raises:
        ValueError: there are not two captions.
    """
    if len(texts) < 2:
        raise ValueError("a rank needs at least two captions")
    likeness = pictures @ texts.T
    mine = likeness[np.arange(len(own)), np.asarray(own)][:, None]
    better = (likeness > mine + 1e-6).sum(axis=1)
    equal = (np.abs(likeness - mine) <= 1e-6).sum(axis=1) - 1
    return (better + equal / 2) / (len(texts) - 1)
