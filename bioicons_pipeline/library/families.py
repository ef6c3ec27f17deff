"""Families: near-duplicates, colour and numbered variants and mirrored copies, found over the whole library.

Belongs here: which icons belong together. Does not belong here: the descriptor and search (`shape`), which
side of the split a family is on (`split`).

A family is what links connect: drawings that look alike (more is asked of different authors and of names
without a common word); drawings of one author in one category whose names differ only by numbers and colour
words; drawings of which most outlines are the same; exact duplicates.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from bioicons_pipeline.library.authors import match_key
from bioicons_pipeline.library.likeness import Likeness, compare

COLOURS = frozenset(
    [
        "red",
        "pink",
        "lightpink",
        "green",
        "blue",
        "lightblue",
        "yellow",
        "orange",
        "purple",
        "violet",
        "brown",
        "black",
        "white",
        "grey",
        "gray",
        "cyan",
        "magenta",
        "teal",
        "beige",
        "gold",
        "silver",
        "turquoise",
        "lilac",
        "dark",
        "light",
        "pale",
        "bright",
        "color",
        "colour",
        "coloured",
        "colored",
        "colors",
        "colours",
        "monochrome",
        "outline",
        "filled",
        "empty",
        "full",
        "left",
        "right",
        "mirrored",
        "flipped",
        "copy",
        "version",
        "variant",
        "v",
        "alt",
        "small",
        "large",
        "big",
    ]
)
"""Words that tell variants of one drawing apart, not drawings."""


@lru_cache(maxsize=65536)
def stem_of(name: str) -> str:
    """`name` without numbers, colour words and separators: what variants of one drawing share.

    A name of nothing but such words keeps all of them.
    """
    text = unicodedata.normalize("NFC", name)
    text = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", " ", text).casefold()
    words = re.sub(r"(?<=\d)(?=[^\W\d])|(?<=[^\W\d])(?=\d)|[\W_]+", " ", text).split()
    kept = [word for word in words if word not in COLOURS and not word.isdigit()]
    return " ".join(kept or words)


def name_words(name: str) -> frozenset[str]:
    """Words of a name that say what is drawn: three letters or more, no colours or variant words."""
    return frozenset(word for word in stem_of(name).split() if len(word) > 2 and word not in COLOURS)


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


@dataclass(frozen=True)
class Thresholds:
    """Similarities from which on two drawings are one family; tuned and tested on labelled pairs.

    A shared word in the name lowers what is asked, another author raises it, and so does a mirrored or
    rotated match: eight tries find a chance likeness more easily than one. `outlines` is the share of common
    outlines of the drawing that has more, `outlines_same_author` the same within one author's work.
    """

    same_author: float = 0.965
    same_author_and_word: float = 0.88
    other_author: float = 0.965
    other_author_and_word: float = 0.945
    turned: float = 0.02
    outlines: float = 0.60
    outlines_same_author: float = 0.40
    min_outlines: int = 4


THRESHOLDS = Thresholds()
GENERIC = frozenset(
    [
        "untitled",
        "drawing",
        "image",
        "icon",
        "figure",
        "graphic",
        "picture",
        "svg",
        "path",
        "layer",
        "artboard",
    ]
)
"""Stems that say nothing: two files of one author so called are not variants of one drawing."""


@dataclass(frozen=True)
class Link:
    """Two icons (rows) that belong together, how strongly (0 to 1), and why."""

    first: int
    second: int
    strength: float
    why: str


def find_links(
    members: Sequence[Member], likeness: Likeness | None = None, thresholds: Thresholds = THRESHOLDS
) -> list[Link]:
    """Every link between `members`, strongest first; ties in order of icon_id, so the input's order is free.

    `likeness` has its rows in the members' order; without it, it is measured.
    """
    likeness = likeness or compare([m.shape for m in members], [m.outlines for m in members])
    links = [
        *_same_bytes(members),
        *_alike(members, likeness, thresholds),
        *_same_outlines(members, likeness, thresholds),
        *_variants_by_name(members),
    ]

    def place(link: Link) -> tuple:
        return (
            -round(link.strength, 6),
            *sorted((members[link.first].icon_id, members[link.second].icon_id)),
        )

    return sorted(links, key=place)


def _same_bytes(members: Sequence[Member]) -> list[Link]:
    first_with: dict[str, int] = {}
    links = []
    for row, member in enumerate(members):
        first = first_with.setdefault(member.sha256, row)
        if first != row:
            links.append(Link(first, row, 1.0, "same bytes"))
    return links


def _variants_by_name(members: Sequence[Member]) -> list[Link]:
    """One author, one category, one name stem: variants, however much they differ."""
    first_with: dict[tuple[str, str], int] = {}
    links = []
    for row, member in enumerate(members):
        if member.author and stem_of(member.name) not in GENERIC:
            first = first_with.setdefault((member.key, member.category), row)
            if first != row:
                links.append(Link(first, row, 0.5, "variant by name"))
    return links


def _alike(members: Sequence[Member], likeness: Likeness, thresholds: Thresholds) -> list[Link]:
    words = [name_words(member.name) for member in members]
    authors = [match_key(member.author or "") for member in members]
    links = []
    for i, j, similarity, symmetry in likeness.shapes:
        shares_word = bool(words[i] & words[j])
        if authors[i] and authors[i] == authors[j]:
            enough = thresholds.same_author_and_word if shares_word else thresholds.same_author
        else:
            enough = thresholds.other_author_and_word if shares_word else thresholds.other_author
        if similarity >= min(enough + (thresholds.turned if symmetry else 0), 0.995):
            why = "mirrored or rotated" if symmetry else "looks alike"
            links.append(Link(i, j, min(similarity, 1.0), why))
    return links


def _same_outlines(members: Sequence[Member], likeness: Likeness, thresholds: Thresholds) -> list[Link]:
    links = []
    for (i, j), (shared, _) in likeness.outlines.items():
        share = shared / max(len(members[i].outlines), len(members[j].outlines))
        same = members[i].author and members[i].author == members[j].author
        enough = thresholds.outlines_same_author if same else thresholds.outlines
        if shared >= thresholds.min_outlines and share >= enough:
            links.append(Link(i, j, share, "same outlines"))
    return links


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
