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

from bioicons_pipeline.library.licences import Licence, Strictness
from bioicons_pipeline.library.likeness import Likeness, compare

GEOMETRY = ((3, 0.60), (4, 0.50), (8, 0.25), (20, 0.0))
"""Outlines in common, and their share of the drawing that has fewer, from which on one is a copy: of a small
drawing nearly all must be found again, of a large one a part that is no accident."""
BITS = 18.0
"""Outlines in common that say this much (see `likeness.Common`) are no accident, however large the rest is:
two that hardly anyone else has, or more of the frequent ones."""
SAME_SHAPE = 0.94
SAME_SHAPE_AND_WORD = 0.92
"""Similarity that suffices when the names share a word: a copy is mostly called what the original is."""
SAME_SHAPE_OF_PRIMITIVES = 0.96
"""Asked of a drawing without an outline of its own: rings, discs and boxes are everybody's."""
TURNED = 0.025
"""How much more is asked of a mirrored or rotated match."""


@dataclass(frozen=True)
class Drawing:
    """What the audit needs of an icon; `licence` None: unknown, `shape` None: nothing drawn."""

    icon_id: str
    licence: Licence | None
    outlines: frozenset[tuple[int, int]]
    shape: np.ndarray | None
    words: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Copy:
    """Two rows that share a drawing: how many outlines, which share of the smaller, how similar in shape."""

    first: int
    second: int
    shared: int
    share: float
    similarity: float
    evidence: str


def find_copies(
    drawings: Sequence[Drawing], likeness: Likeness | None = None, *, across_only: bool = True
) -> list[Copy]:
    """Pairs of drawings that share geometry or shape.

    With `across_only`, only those under licences of different strictness.
    `likeness` has its rows in the drawings' order; without it, it is measured.
    """
    likeness = likeness or compare([d.shape for d in drawings], [d.outlines for d in drawings])
    strictness = [_strictness(drawing) for drawing in drawings]
    outlines = [drawing.outlines for drawing in drawings]
    found: dict[tuple[int, int], dict] = {}
    for (i, j), (shared, bits) in likeness.outlines.items():
        share = shared / min(len(outlines[i]), len(outlines[j]))
        copied = bits >= BITS or _is_copied(shared, share)
        if copied and _judged(strictness[i], strictness[j], across_only):
            found[(i, j)] = {"shared": shared, "share": share}
    for i, j, similarity, symmetry in likeness.shapes:
        shares_word = drawings[i].words & drawings[j].words
        enough = SAME_SHAPE_AND_WORD if shares_word else SAME_SHAPE
        if not (outlines[i] and outlines[j]):
            enough = SAME_SHAPE_OF_PRIMITIVES
        enough += TURNED if symmetry else 0
        if _judged(strictness[i], strictness[j], across_only) and similarity >= enough:
            found.setdefault((i, j), {})["similarity"] = similarity
    return [
        Copy(
            i,
            j,
            facts.get("shared", 0),
            facts.get("share", 0.0),
            facts.get("similarity", 0.0),
            _evidence(facts),
        )
        for (i, j), facts in sorted(found.items())
    ]


def _is_copied(shared: int, share: float) -> bool:
    return any(shared >= count and share >= part for count, part in GEOMETRY)


def _judged(first: int, second: int, across_only: bool) -> bool:
    return first != second or not across_only


def strictest_origins(drawings: Sequence[Drawing], copies: Sequence[Copy]) -> dict[int, tuple[int, Copy]]:
    """Row -> the row whose stricter licence it takes on, with the evidence; rows without one are left out.

    Of several origins the strictest wins, then the one with the most in common. One step, no chain: what a
    second drawing has from a third is not in the first, or the first and the third were a pair themselves.
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
        parts.append(
            f"geometry: {facts['shared']} outlines in common, {facts['share']:.0%} of the smaller drawing"
        )
    if "similarity" in facts:
        parts.append(f"shape: similarity {facts['similarity']:.3f}")
    return "; ".join(parts)
