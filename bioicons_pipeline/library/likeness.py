"""Which icons of a library resemble one another: measured once, used by families and by the licence audit.

Belongs here: all pairs that share outlines, together with those that look alike (`pairs`). Does not belong
here: what follows from it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bioicons_pipeline.library.pairs import Pairs, SimilarPair

Pair = tuple[int, int]
COMMON = 40
"""Outlines that more drawings than this have (an arrow head, a droplet) tell nothing and are left out."""


class Common(NamedTuple):
    """What two drawings share: how many outlines, and how unlikely that is, in bits.

    An outline that k of n drawings have says log2(n / k) bits: common ones say little.
    """

    outlines: int
    bits: float


@dataclass(frozen=True)
class Likeness:
    """Pairs of rows i < j: `shapes` (i, j, similarity, symmetry) that look alike, `outlines` in common."""

    shapes: tuple[SimilarPair, ...]
    outlines: dict[Pair, Common]


def compare(
    shapes: Sequence[np.ndarray | None],
    outlines: Sequence[frozenset[tuple[int, int]]],
    pairs: Pairs | None = None,
) -> Likeness:
    """Compare all drawings with all: descriptors (None: nothing drawn) and outlines, one of each a row.

    `pairs` may remember what it measured before; the answer is the same without.
    """
    rows = [row for row, shape in enumerate(shapes) if shape is not None]
    found = (pairs or Pairs()).similar([shapes[row] for row in rows])  # type: ignore[misc]
    alike = tuple((rows[i], rows[j], value, turn) for i, j, value, turn in found)
    return Likeness(alike, shared_outlines(outlines))


def shared_outlines(
    drawings: Sequence[frozenset[tuple[int, int]]], common: int = COMMON
) -> dict[Pair, Common]:
    """Pairs of rows i < j -> what both have, by either of an outline's two hashes."""
    found: dict[Pair, Common] = {}
    size = len(drawings)
    rows = np.repeat(np.arange(size), [len(outlines) for outlines in drawings])
    hashes = np.array([pair for outlines in drawings for pair in outlines], dtype=np.int64).reshape(-1, 2)
    for grid in (0, 1):
        codes, holders = _met(hashes[:, grid], rows, size, common)
        distinct, place, counts = np.unique(codes, return_inverse=True, return_counts=True)
        # In thousandths, as integers: their sum does not depend on the order.
        weights = np.rint(1000 * np.log2(size / np.maximum(holders, 1))).astype(np.int64)
        bits = np.zeros(len(distinct), dtype=np.int64)
        np.add.at(bits, place, weights)
        for code, count, said in zip(distinct.tolist(), counts.tolist(), bits.tolist(), strict=True):
            pair = divmod(code, size)
            found[pair] = max(found.get(pair, Common(0, 0.0)), Common(count, said / 1000))
    return dict(sorted(found.items()))


def _met(hashes: np.ndarray, rows: np.ndarray, size: int, common: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes i * size + j of every two rows i < j that hold the same hash, once for each such hash, and how
    many rows hold it."""
    order = np.lexsort((rows, hashes))
    hashes, rows = hashes[order], rows[order]
    first = np.ones(len(rows), dtype=bool)
    first[1:] = (hashes[1:] != hashes[:-1]) | (rows[1:] != rows[:-1])
    hashes, rows = hashes[first], rows[first]
    _, starts, counts = np.unique(hashes, return_index=True, return_counts=True)
    met = [np.zeros(0, dtype=np.int64)]
    holders = [np.zeros(0, dtype=np.int64)]
    for count in range(2, common + 1):
        held = rows[starts[counts == count][:, None] + np.arange(count)]
        above, below = np.triu_indices(count, 1)
        met.append((held[:, above] * size + held[:, below]).ravel())
        holders.append(np.full(met[-1].size, count))
    return np.concatenate(met), np.concatenate(holders)
