"""Does a base draw what it is asked for: do the nearest training icons have the asked word in their name.

Belongs here: the figure and its bound by chance. Needs no other model: a generated icon is looked up among
the icons the base learnt from, in the shape-and-colour descriptor.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bioicons_pipeline.evaluation.descriptor import nearest

COPY = 0.97
"""Similarity from which on a generated icon counts as a copy of a training icon."""


@dataclass(frozen=True)
class Binding:
    """`bound`: prompts of which one of the `k` nearest training icons has the word; `chance`: the same
    expected of `k` icons drawn at random; `copies`: generated icons that are plain copies."""

    prompts: int
    bound: int
    chance: float
    copies: int
    hits: tuple[bool, ...]
    similarities: tuple[float, ...]


def prompt_words(
    keywords: Sequence[frozenset[str]], count: int, *, least: int = 4, most: int = 40, seed: int = 0
) -> list[str]:
    """`count` words that `least` to `most` training icons have, drawn at random, sorted."""
    seen = Counter(word for words in keywords for word in words)
    candidates = sorted(word for word, number in seen.items() if least <= number <= most)
    chosen = np.random.default_rng(seed).choice(len(candidates), min(count, len(candidates)), replace=False)
    return sorted(candidates[index] for index in chosen)


def binding(
    words: Sequence[str],
    generated: Sequence[np.ndarray],
    keywords: Sequence[frozenset[str]],
    vectors: np.ndarray,
    k: int = 5,
) -> Binding:
    """generated: descriptors of one icon a word; keywords, vectors (N, SIZE): the training icons."""
    rows, similarity = nearest(generated, vectors, k)
    hits = tuple(any(word in keywords[row] for row in found) for word, found in zip(words, rows, strict=True))
    share = [sum(word in known for known in keywords) / len(keywords) for word in words]
    chance = float(np.mean([1 - (1 - value) ** k for value in share]))
    best = tuple(round(float(value), 4) for value in similarity[:, 0])
    return Binding(len(words), sum(hits), chance, sum(value >= COPY for value in best), hits, best)


def bound_of_real_icons(
    words: Sequence[str], keywords: Sequence[frozenset[str]], vectors: np.ndarray, k: int = 5
) -> float:
    """How many of `words` real icons would bind, each looked up with itself left out.

    The sum over the words of the share of its icons that do. A base comes to that if it draws as well as the
    icons' authors and copies none of them; some words, such as "business", have no look of their own.
    """
    shares = []
    for word in words:
        own = [row for row, known in enumerate(keywords) if word in known]
        rows, _ = nearest(list(vectors[own]), vectors, k + 1)
        others = [[row for row in found if row != self][:k] for self, found in zip(own, rows, strict=True)]
        shares.append(np.mean([any(word in keywords[row] for row in found) for found in others]))
    return float(np.sum(shares))
