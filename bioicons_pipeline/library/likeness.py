"""Which icons of a library resemble one another: measured once, used by families and by the licence audit.

Belongs here: all pairs that are similar in shape or share outlines. Does not belong here: what follows from
it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bioicons_pipeline.library.shape import ShapeIndex

Pair = tuple[int, int]
LOWEST = 0.88
"""Similarity below which no pair is of interest to anyone."""
COMMON = 40
"""Outlines that more drawings than this have (an arrow head, a droplet) tell nothing and are left out."""


@dataclass(frozen=True)
class Likeness:
    """Pairs of rows i < j: `shapes` (i, j, similarity, symmetry) from LOWEST on, `outlines` in common."""

    shapes: tuple[tuple[int, int, float, int], ...]
    outlines: dict[Pair, int]


def compare(shapes: Sequence[np.ndarray | None], outlines: Sequence[frozenset[tuple[int, int]]]) -> Likeness:
    """Compare all drawings with all: descriptors (None: nothing drawn) and outlines, one of each a row."""
    rows = [row for row, shape in enumerate(shapes) if shape is not None]
    index = ShapeIndex([shapes[row] for row in rows])  # type: ignore[misc]
    pairs = tuple(
        (rows[i], rows[j], value, turn) for i, j, value, turn in index.pairs(LOWEST, symmetries=True)
    )
    return Likeness(pairs, shared_outlines(outlines))


def shared_outlines(drawings: Sequence[frozenset[tuple[int, int]]], common: int = COMMON) -> dict[Pair, int]:
    """Pairs of rows i < j -> number of outlines that both have, by either of an outline's two hashes."""
    holders: dict[tuple[int, int], set[int]] = {}
    for row, outlines in enumerate(drawings):
        for pair in outlines:
            for grid, value in enumerate(pair):
                holders.setdefault((grid, value), set()).add(row)
    counts: tuple[dict[Pair, int], dict[Pair, int]] = ({}, {})
    for (grid, _), rows in holders.items():
        if 1 < len(rows) <= common:
            distinct = sorted(rows)
            for a, i in enumerate(distinct):
                for j in distinct[a + 1 :]:
                    counts[grid][(i, j)] = counts[grid].get((i, j), 0) + 1
    either = counts[0].keys() | counts[1].keys()
    return {pair: max(counts[0].get(pair, 0), counts[1].get(pair, 0)) for pair in sorted(either)}
