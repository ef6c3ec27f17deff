"""Which drawings look alike: every pair measured once, and remembered from one upstream state to the next.

Belongs here: finding all similar pairs of many descriptors, and the memory of them by content: a later state
measures only pairs with a drawing that is new. Does not belong here: the descriptor (`shape`), thresholds of
those who ask (`families`, `audit`).

A pair's value depends on its two descriptors alone, never on the others, their order, or how the work was
cut: candidates come from one fast matrix product with a margin, and each is then measured by itself, in
float64, from the drawing whose key is lower, rounded to a millionth. So a remembered value is the one that
would be measured, bit for bit.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bioicons_pipeline.library.shape import SYMMETRIES, ShapeIndex, transformed
from bioicons_pipeline.whole import write_whole

LOWEST = 0.88
"""Similarity below which no pair is of interest to anyone."""
CODE_VERSION = 1
"""Must change with any change of how a pair is measured here or in `shape`."""
_MARGIN = 2e-3
"""More than a float32 matrix product can be off, and than `_TURN` takes away."""
_TURN = 1e-3
"""A flip or rotation wins over the plain orientation only where it is better by this."""
_UNIT = 1_000_000
_BLOCK = 256

SimilarPair = tuple[int, int, float, int]


class Pairs:
    """All similar pairs of many drawings; with a `folder`, those of the last call are remembered there.

    `measured` is the number of pairs that the last call had to compare, of `possible`.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self.measured = self.possible = 0

    def similar(self, shapes: Sequence[np.ndarray]) -> list[SimilarPair]:
        """Every `(i, j, similarity, symmetry)`, i < j, from LOWEST on, in order; equal drawings included."""
        keys = [hashlib.sha256(shape.astype("<f4").tobytes()).digest() for shape in shapes]
        vectors = dict(zip(keys, shapes, strict=True))
        known_keys, known = self._read()
        kept = {pair: value for pair, value in known.items() if pair[0] in vectors and pair[1] in vectors}
        fresh = set(vectors) - known_keys
        if fresh:
            kept |= _measure(vectors, fresh)
        others = len(vectors) - len(fresh)
        self.possible = len(vectors) * (len(vectors) - 1) // 2
        self.measured = self.possible - others * (others - 1) // 2
        if self.folder and (fresh or known_keys - set(vectors)):
            self._write(sorted(vectors), kept)
        return _by_row(keys, vectors, kept)

    def _place(self) -> Path:
        assert self.folder
        return self.folder / f"pairs-{CODE_VERSION}"

    def _read(self) -> tuple[set[bytes], dict[tuple[bytes, bytes], tuple[int, int]]]:
        """Keys of the drawings and similar pairs of the last call; nothing when missing or damaged."""
        if self.folder is None:
            return set(), {}
        try:
            head, _, body = self._place().read_bytes().partition(b"\n")
            facts = json.loads(head)
            if hashlib.sha256(body).hexdigest() != facts["body"]:
                return set(), {}
            keys = [body[n : n + 32] for n in range(0, 32 * facts["drawings"], 32)]
            rows = np.frombuffer(body[32 * len(keys) :], dtype="<i4").reshape(-1, 4).tolist()
            return set(keys), {(keys[i], keys[j]): (value, turn) for i, j, value, turn in rows}
        except (OSError, ValueError, KeyError, TypeError, IndexError):
            return set(), {}

    def _write(self, keys: list[bytes], pairs: dict[tuple[bytes, bytes], tuple[int, int]]) -> None:
        place = {key: row for row, key in enumerate(keys)}
        rows = [(place[a], place[b], *value) for (a, b), value in sorted(pairs.items())]
        body = b"".join(keys) + np.array(rows, dtype="<i4").reshape(-1, 4).tobytes()
        facts = {"drawings": len(keys), "body": hashlib.sha256(body).hexdigest()}
        write_whole(self._place(), json.dumps(facts).encode() + b"\n" + body)


def _measure(
    vectors: dict[bytes, np.ndarray], fresh: set[bytes]
) -> dict[tuple[bytes, bytes], tuple[int, int]]:
    """(lower key, higher key) -> (similarity in millionths, symmetry), of pairs with a fresh drawing."""
    keys = sorted(vectors)
    table = np.stack([vectors[key] for key in keys])
    rows = [row for row, key in enumerate(keys) if key in fresh]
    candidates = ShapeIndex(table).pairs(LOWEST - _MARGIN, symmetries=True, rows=rows)
    found = {}
    for start in range(0, len(candidates), _BLOCK):
        some = np.array([pair[:2] for pair in candidates[start : start + _BLOCK]])
        for (i, j), value, turn in zip(
            some.tolist(), *_exactly(table[some[:, 0]], table[some[:, 1]]), strict=True
        ):
            if value >= LOWEST * _UNIT:
                found[(keys[i], keys[j])] = (value, turn)
    return found


def _exactly(first: np.ndarray, second: np.ndarray) -> tuple[list[int], list[int]]:
    """Similarity in millionths and symmetry of (N, SIZE) and (N, SIZE), row by row."""
    other = second.astype(np.float64)
    best = np.full(len(first), -np.inf)
    which = np.zeros(len(first), dtype=int)
    for symmetry in range(SYMMETRIES):
        turned = transformed(first, symmetry).astype(np.float64)
        value = np.multiply(turned, other).sum(axis=1)
        better = value > best + (_TURN if symmetry else 0)
        best, which = np.where(better, value, best), np.where(better, symmetry, which)
    return np.rint(best * _UNIT).astype(int).tolist(), which.tolist()


def _by_row(
    keys: list[bytes],
    vectors: dict[bytes, np.ndarray],
    pairs: dict[tuple[bytes, bytes], tuple[int, int]],
) -> list[SimilarPair]:
    """The pairs of rows that stand for the pairs of keys, and the pairs of equal drawings."""
    rows: dict[bytes, list[int]] = {}
    for row, key in enumerate(keys):
        rows.setdefault(key, []).append(row)
    found = [
        (min(i, j), max(i, j), value / _UNIT, turn)
        for (a, b), (value, turn) in pairs.items()
        for i in rows[a]
        for j in rows[b]
    ]
    for key, same in rows.items():
        if len(same) > 1 and vectors[key].any():
            found += [(i, j, 1.0, 0) for n, i in enumerate(same) for j in same[n + 1 :]]
    return sorted(found)
