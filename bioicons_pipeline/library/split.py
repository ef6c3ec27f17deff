"""Family ids and the side of the split: by family, spread over categories, the same for ever.

Belongs here: naming families and choosing which are held out. Does not belong here: forming them
(`families`).

A family's side follows from a hash of its key (author and name stem of most of its members), not from an
order: each is held out with the same probability, so that each category gets its share. One in which chance
held out nothing gives its family of the lowest hash. None gives more than twice its share, of its families or
of its icons (variants of one protein can be half of a category): a family too large for that is trained on.
Where an earlier manifest is at hand, what it says holds without exception: then no newcomer moves a family.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bioicons_pipeline.library.families import Member

TRAIN, HELDOUT = "train", "heldout"
MIN_FAMILIES = 10
"""Families from which on a category has at least one held out."""
Previous = Mapping[str, tuple[str, str]]
"""icon_id -> (family_id, split) of an earlier manifest."""


@dataclass(frozen=True)
class Family:
    """One family: rows of the members, its id, its category (that of most members) and its side."""

    rows: tuple[int, ...]
    family_id: str
    category: str
    split: str


def assign(
    groups: Sequence[Sequence[int]],
    members: Sequence[Member],
    included: Sequence[bool],
    share: float,
    previous: Previous | None = None,
) -> list[Family]:
    """Name every group and choose its side; `share` is the probability of being held out.

    Of a group's earlier ids the one of most members stays.
    """
    previous = previous or {}
    keys = [_majority([members[row].key for row in rows]) for rows in groups]
    ids = _ids(groups, members, keys, previous)
    sides: list[str | None] = [_earlier(rows, members, previous, 1) for rows in groups]
    categories = [_majority([members[row].category for row in rows]) for rows in groups]
    sizes = [sum(included[row] for row in rows) for rows in groups]
    used = [size > 0 for size in sizes]
    for category in sorted(set(categories)) if share > 0 else []:
        inside = [n for n, name in enumerate(categories) if name == category]
        _hold_out([n for n in inside if used[n]], keys, ids, sides, share, sizes)
        for n in inside:  # families of dropped icons alone: their side shows if a curator keeps one
            if not used[n] and sides[n] is None and chance(keys[n]) < share:
                sides[n] = HELDOUT
    return [Family(tuple(rows), ids[n], categories[n], sides[n] or TRAIN) for n, rows in enumerate(groups)]


def _hold_out(
    inside: Sequence[int],
    keys: Sequence[str],
    ids: Sequence[str],
    sides: list[str | None],
    share: float,
    sizes: Sequence[int],
) -> None:
    """Choose among the families of one category: those below the threshold, neither none nor too many.

    sizes: included icons of every family.
    """
    held = sum(sides[n] == HELDOUT for n in inside)
    icons = sum(sizes[n] for n in inside if sides[n] == HELDOUT)
    # a category of a single family has nobody to hold out: there would be nothing to learn from
    most = min(max(1, math.ceil(2 * share * len(inside))), len(inside) - 1)
    # where every family is large, one of the smallest still fits
    most_icons = max(
        math.ceil(2 * share * sum(sizes[n] for n in inside)), min((sizes[n] for n in inside), default=0)
    )
    free = sorted((n for n in inside if sides[n] is None), key=lambda n: (chance(keys[n]), ids[n]))
    for n in free:
        stands_in = held == 0 and len(inside) >= MIN_FAMILIES
        fits = held < most and icons + sizes[n] <= most_icons
        if fits and (chance(keys[n]) < share or stands_in):
            sides[n] = HELDOUT
            held += 1
            icons += sizes[n]


def chance(key: str) -> float:
    """A number in [0, 1) that depends on `key` alone."""
    return int.from_bytes(hashlib.sha256(f"split|{key}".encode()).digest()[:8], "big") / 2**64


def _ids(
    groups: Sequence[Sequence[int]], members: Sequence[Member], keys: Sequence[str], previous: Previous
) -> list[str]:
    """Distinct ids, a hash of the family's key; where families share a key, of its first icon too."""
    times = Counter(keys)
    taken: set[str] = set()
    ids = []
    for rows, key in zip(groups, keys, strict=True):
        anchor = min(members[row].icon_id for row in rows)
        own = _earlier(rows, members, previous, 0)
        if own is None or own in taken:
            own = _short(key if times[key] == 1 else f"{key}|{anchor}")
        if own in taken:
            own = _short(f"{key}|{anchor}|again")
        taken.add(own)
        ids.append(own)
    return ids


def _short(text: str) -> str:
    return hashlib.sha256(f"family|{text}".encode()).hexdigest()[:12]


def _earlier(rows: Sequence[int], members: Sequence[Member], previous: Previous, part: int) -> str | None:
    known = [previous[members[row].icon_id][part] for row in rows if members[row].icon_id in previous]
    return _majority(known) if known else None


def _majority(values: Sequence[str]) -> str:
    """The most frequent value; of several, the one of the lowest hash, which a newcomer seldom beats."""
    counts = Counter(values)
    most = max(counts.values())
    return min(
        (value for value, count in counts.items() if count == most), key=lambda value: (chance(value), value)
    )
