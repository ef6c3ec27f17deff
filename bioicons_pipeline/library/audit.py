"""The licence audit: drawings that also exist, whole or in part, under a stricter licence.

Belongs here: finding them, by the outlines of their paths and by their shape, and saying which icon they
come from. Does not belong here: the licences themselves (`licences`), what is done about it (`manifest`).

A folder says under which licence someone uploaded a drawing, not that it was theirs to license. Who copied
whom cannot be seen from the drawings, so the stricter of two licences holds for both, as the law's safe
side; the icon it comes from is recorded for the curator.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bioicons_pipeline.library.families import shared_outlines
from bioicons_pipeline.library.licences import Licence, Strictness
from bioicons_pipeline.library.shape import ShapeIndex

MIN_SHARED = 4
"""Outlines in common from which on geometry counts."""
CONTAINS = 0.5
"""Share of the one drawing's outlines that the other has, from which on it is copied."""
SAME_SHAPE = 0.90
SAME_SHAPE_TURNED = 0.95


@dataclass(frozen=True)
class Drawing:
    """What the audit needs of an icon: its licence (None: unknown), outlines and shape descriptor."""

    icon_id: str
    licence: Licence | None
    outlines: frozenset[tuple[int, int]]
    shape: np.ndarray | None


@dataclass(frozen=True)
class Copy:
    """Two rows that share a drawing: how many outlines, which share of the smaller, how similar in shape."""

    first: int
    second: int
    shared: int
    share: float
    similarity: float
    evidence: str


def find_copies(drawings: Sequence[Drawing]) -> list[Copy]:
    """Pairs of drawings, under licences of different strictness, that share geometry or shape."""
    strictness = [_strictness(drawing) for drawing in drawings]
    outlines = [drawing.outlines for drawing in drawings]
    found: dict[tuple[int, int], dict] = {}
    for (i, j), shared in shared_outlines(outlines).items():
        share = shared / min(len(outlines[i]), len(outlines[j]))
        if strictness[i] != strictness[j] and shared >= MIN_SHARED and share >= CONTAINS:
            found[(i, j)] = {"shared": shared, "share": share}
    rows = [row for row, drawing in enumerate(drawings) if drawing.shape is not None]
    index = ShapeIndex([drawings[row].shape for row in rows])  # type: ignore[misc]
    for a, b, similarity, symmetry in index.pairs(SAME_SHAPE, symmetries=True):
        i, j = rows[a], rows[b]
        if strictness[i] != strictness[j] and similarity >= (SAME_SHAPE_TURNED if symmetry else SAME_SHAPE):
            found.setdefault((i, j), {})["similarity"] = similarity
    return [
        Copy(i, j, facts.get("shared", 0), facts.get("share", 0.0), facts.get("similarity", 0.0), _evidence(facts))
        for (i, j), facts in sorted(found.items())
    ]


def strictest_origins(drawings: Sequence[Drawing], copies: Sequence[Copy]) -> dict[int, tuple[int, Copy]]:
    """Row -> the row whose stricter licence it takes on, with the evidence; rows without one are left out.

    Of several origins the strictest wins, then the one with the most in common.
    """
    best: dict[int, tuple[tuple, int, Copy]] = {}
    for copy in copies:
        for row, other in ((copy.first, copy.second), (copy.second, copy.first)):
            if _strictness(drawings[other]) <= _strictness(drawings[row]):
                continue
            order = (_strictness(drawings[other]), copy.shared, copy.similarity, drawings[other].icon_id)
            if row not in best or order > best[row][0]:
                best[row] = (order, other, copy)
    return {row: (other, copy) for row, (_, other, copy) in sorted(best.items())}


def _strictness(drawing: Drawing) -> int:
    return int(drawing.licence.strictness if drawing.licence else Strictness.UNKNOWN)


def _evidence(facts: dict) -> str:
    parts = []
    if "shared" in facts:
        parts.append(f"geometry: {facts['shared']} outlines in common, {facts['share']:.0%} of the smaller drawing")
    if "similarity" in facts:
        parts.append(f"shape: similarity {facts['similarity']:.3f}")
    return "; ".join(parts)
