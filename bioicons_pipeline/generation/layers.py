"""What lies above what: areas of a colour map become overlapping shapes, as a person would draw them.

Belongs here: order and overlap. Does not belong here: outlines.

Shapes that merely touch show a hairline of the background wherever a renderer antialiases both edges. So
each shape runs on under those above it: its holes are closed where something above fills them, and its edge
goes a little further beneath what is above. A dark outline thus becomes a dark silhouette below the areas
that it encloses.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bioicons_pipeline.generation.areas import boxes, enclosed, label, smallest
from bioicons_pipeline.generation.palette import ColourMap, grown


@dataclass(frozen=True)
class Area:
    """One shape: number of its colour, where it starts (row, column), and its pixels as a bool mask."""

    colour: int
    top: int
    left: int
    mask: np.ndarray

    @property
    def pixels(self) -> int:
        """Its size, what is covered by others included."""
        return int(self.mask.sum())


def stack(found: ColourMap, overlap: int) -> list[Area]:
    """The shapes from the lowest to the topmost, all of one colour together.

    overlap: pixels that a shape goes on under its neighbours above.
    """
    order = _order(found)
    rank = np.zeros(len(found.colours) + 1, np.int32)
    rank[order] = np.arange(1, len(order) + 1)
    ranks = rank[found.labels]
    return [area for value in order for area in _areas(ranks, int(rank[value]), int(value) - 1, overlap)]


def count_areas(found: ColourMap) -> int:
    """How many shapes `stack` would give."""
    return sum(label(found.labels == value)[1] for value in range(1, len(found.colours) + 1))


def _order(found: ColourMap) -> np.ndarray:
    """Colour labels, those first that enclose most: they can hold the others up."""
    inside = np.zeros(len(found.colours))
    for value, box in enumerate(boxes(found.labels)):
        if box is not None:
            mine = found.labels[box] == value + 1
            holes, _ = enclosed(mine)
            inside[value] = int((holes > 0).sum()) + int(mine.sum())
    return np.argsort(-inside, kind="stable") + 1


def _areas(ranks: np.ndarray, mine: int, colour: int, overlap: int) -> Iterator[Area]:
    """The connected areas of one rank, largest first."""
    pieces, _ = label(ranks == mine)
    found = []
    for number, box in enumerate(boxes(pieces), start=1):
        assert box is not None
        top, left = max(0, box[0].start - overlap), max(0, box[1].start - overlap)
        window = (slice(top, box[0].stop + overlap), slice(left, box[1].stop + overlap))
        under, above = pieces[window] == number, ranks[window] > mine
        holes, count = enclosed(under)
        if holes.any():
            numbers = np.arange(1, count + 1)
            whole = smallest(above, holes, count) > 0
            whole &= np.isin(numbers, holes)
            own, under = under, under | np.isin(holes, numbers[whole])
        else:
            own = under
        if overlap:
            under = under | (grown(own, overlap) & above)
        found.append(Area(colour, top, left, under))
    yield from sorted(found, key=lambda area: -area.pixels)
