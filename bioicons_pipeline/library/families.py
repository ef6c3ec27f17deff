"""Families: near-duplicates, colour and numbered variants and mirrored copies, found over the whole library.

Belongs here: which icons belong together. Does not belong here: the descriptor and search (`shape`), which
side of the split a family is on (`split`).

A family is what links of three kinds connect: drawings that look alike to a high threshold, whoever drew
them; drawings of one author whose names differ only by numbers and colour words, to a lower threshold;
drawings of which most outlines are the same. Exact duplicates always belong together.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bioicons_pipeline.library.authors import match_key

COLOURS = frozenset(
    "red pink lightpink green blue lightblue yellow orange purple violet brown black white grey gray cyan magenta "
    "teal beige gold silver turquoise lilac dark light pale bright color colour coloured colored colors colours "
    "monochrome outline filled empty full left right mirrored flipped copy version variant v alt small large big".split()
)
"""Words that tell variants of one drawing apart, not drawings."""


def stem_of(name: str) -> str:
    """`name` without numbers, colour words and separators: what variants of one drawing share.

    A name of nothing but such words keeps all of them.
    """
    text = unicodedata.normalize("NFC", name)
    text = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", " ", text).casefold()
    words = re.sub(r"(?<=\d)(?=[^\W\d])|(?<=[^\W\d])(?=\d)|[\W_]+", " ", text).split()
    kept = [word for word in words if word not in COLOURS and not word.isdigit()]
    return " ".join(kept or words)


@dataclass(frozen=True)
class Member:
    """What is known of one icon when families are formed; `shape` None when nothing was drawn."""

    icon_id: str
    sha256: str
    name: str
    author: str | None
    category: str
    shape: np.ndarray | None
    outlines: frozenset[tuple[int, int]] = frozenset()

    @property
    def key(self) -> str:
        """Author and name stem."""
        return f"{match_key(self.author or '')}|{stem_of(self.name)}"


class Groups:
    """Union-find over `size` things."""

    def __init__(self, size: int) -> None:
        self.parent = list(range(size))

    def find(self, item: int) -> int:
        """The representative of the group of `item`."""
        while self.parent[item] != item:
            self.parent[item] = self.parent[self.parent[item]]
            item = self.parent[item]
        return item

    def join(self, first: int, second: int) -> None:
        """Make one group of two; the smaller representative stays."""
        first, second = self.find(first), self.find(second)
        if first != second:
            self.parent[max(first, second)] = min(first, second)


ALIKE = 0.93
"""Similarity from which on two drawings are one family whoever drew them and whatever they are called."""
ALIKE_TURNED = 0.955
"""The same for a mirrored or rotated copy: eight tries find a chance likeness more easily than one."""
ALIKE_VARIANT = 0.70
"""Similarity that suffices for variants: one author, one name stem."""
SAME_OUTLINES = 0.60
"""Share of common outlines, of the drawing that has more, from which on two drawings are one family."""
MIN_OUTLINES = 4


@dataclass(frozen=True)
class Link:
    """Two icons (rows) that belong together, how strongly (0 to 1), and why."""

    first: int
    second: int
    strength: float
    why: str


def find_links(members: Sequence[Member]) -> list[Link]:
    """Every link between `members`, strongest first; ties in order of icon_id, so the input's order is free."""
    links = [*_same_bytes(members), *_alike(members), *_same_outlines(members)]
    return sorted(
        links,
        key=lambda link: (-round(link.strength, 6), *sorted((members[link.first].icon_id, members[link.second].icon_id))),
    )


def _same_bytes(members: Sequence[Member]) -> list[Link]:
    first_with: dict[str, int] = {}
    links = []
    for row, member in enumerate(members):
        first = first_with.setdefault(member.sha256, row)
        if first != row:
            links.append(Link(first, row, 1.0, "same bytes"))
    return links


def _alike(members: Sequence[Member]) -> list[Link]:
    from bioicons_pipeline.library.shape import ShapeIndex

    rows = [row for row, member in enumerate(members) if member.shape is not None]
    index = ShapeIndex([members[row].shape for row in rows])  # type: ignore[misc]
    keys = [members[row].key for row in rows]
    links = []
    for i, j, similarity, symmetry in index.pairs(ALIKE_VARIANT, symmetries=True):
        if similarity >= (ALIKE_TURNED if symmetry else ALIKE):
            why = "mirrored or rotated" if symmetry else "looks alike"
        elif keys[i] == keys[j]:
            why = "variant by name"
        else:
            continue
        links.append(Link(rows[i], rows[j], min(similarity, 1.0), why))
    return links


def _same_outlines(members: Sequence[Member]) -> list[Link]:
    links = []
    for (i, j), shared in sorted(shared_outlines([member.outlines for member in members]).items()):
        larger = max(len(members[i].outlines), len(members[j].outlines))
        if shared >= MIN_OUTLINES and shared / larger >= SAME_OUTLINES:
            links.append(Link(i, j, shared / larger, "same outlines"))
    return links


def shared_outlines(
    drawings: Sequence[frozenset[tuple[int, int]]], common: int = 40
) -> dict[tuple[int, int], int]:
    """Pairs of rows i < j -> number of outlines that both have, by either of an outline's two hashes.

    Outlines that more than `common` drawings have (an arrow head, a droplet) tell nothing and are left out.
    """
    holders: dict[tuple[int, int], list[int]] = {}
    for row, outlines in enumerate(drawings):
        for pair in outlines:
            for grid, value in enumerate(pair):
                holders.setdefault((grid, value), []).append(row)
    counts: tuple[dict[tuple[int, int], int], dict[tuple[int, int], int]] = ({}, {})
    for (grid, _), rows in sorted(holders.items()):
        distinct = sorted(set(rows))
        if 1 < len(distinct) <= common:
            for a, i in enumerate(distinct):
                for j in distinct[a + 1 :]:
                    counts[grid][(i, j)] = counts[grid].get((i, j), 0) + 1
    return {pair: max(counts[0].get(pair, 0), counts[1].get(pair, 0)) for pair in counts[0].keys() | counts[1].keys()}


def group(size: int, links: Sequence[Link], sides: Sequence[str | None] | None = None) -> list[list[int]]:
    """Rows connected by `links`, as groups in order of their first row.

    `sides` are sides of the split that rows have already: a link that would join two different ones is not
    followed, because what is held out must stay so. Links are followed in the order given, strongest first.
    """
    groups = Groups(size)
    side = list(sides or [None] * size)
    for link in links:
        first, second = groups.find(link.first), groups.find(link.second)
        if first == second or (side[first] and side[second] and side[first] != side[second]):
            continue
        groups.join(first, second)
        side[groups.find(first)] = side[first] or side[second]
    gathered: dict[int, list[int]] = {}
    for row in range(size):
        gathered.setdefault(groups.find(row), []).append(row)
    return list(gathered.values())
