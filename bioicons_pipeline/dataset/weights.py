"""How often each training icon is to be drawn, so that neither a family nor an author becomes the style.

Belongs here: weights from families and authors. Does not belong here: drawing (training/). Every family
counts once however many colour variants it has; then no author has more than a cap of all draws, and what
is cut goes to the others in proportion to what they have. Yet no family is drawn more than a few times as
often as its share of the families: where two people drew all but ten icons of a category, the cap alone would
have those ten in half of the draws, and what is learnt is those ten by heart.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

AUTHOR_CAP = 0.25
"""Largest share of draws for one author; half of the library is by one, a quarter by another."""
FAMILY_LIMIT = 2.5
"""A family is drawn at most this many times as often as if all families were drawn alike. The whole library
keeps the authors' cap with 2.2; in Animals, the cap alone drew six families in six draws of ten."""
FAMILY_SHARE = 0.05
"""Nor is it drawn in more than this share of all draws, where that is over 1.25 times its even share: of ten
families 2.5 times an even share would be a quarter."""


@dataclass(frozen=True)
class Weights:
    """`by_icon`: icon_id -> probability of being drawn; they add up to 1. `share`: author -> share.

    `cap` is the cap that held: never below what the families of the other authors can take up. `limit` is
    the limit of a family that held, in multiples of an even share.
    """

    by_icon: dict[str, float]
    share: dict[str, float]
    cap: float
    limit: float

    def as_csv(self) -> str:
        """What `sampling_weights.csv` holds."""
        rows = (f"{icon},{weight:.9g}\n" for icon, weight in sorted(self.by_icon.items()))
        return "icon_id,weight\n" + "".join(rows)


def sampling_weights(
    icons: Iterable[tuple[str, str, str]], cap: float = AUTHOR_CAP, limit: float = FAMILY_LIMIT
) -> Weights:
    """Weights of (icon_id, family_id, author) triples of the training split.

    limit: see `FAMILY_LIMIT`; with few families it is lower.

    Raises:
        ValueError: a cap outside (0, 1], or a limit below 1.
    """
    if not 0 < cap <= 1:
        raise ValueError(f"the cap is a share of draws in (0, 1], not {cap}")
    if not limit >= 1:
        raise ValueError(f"the limit is a multiple of an even share, 1 or more, not {limit}")
    rows = sorted(icons)
    if not rows:
        return Weights({}, {}, cap, limit)
    size = Counter(family for _, family, _ in rows)
    limit = min(limit, max(1.25, FAMILY_SHARE * len(size)))
    raw: dict[str, float] = defaultdict(float)
    for _, family, author in rows:
        raw[author] += 1 / size[family]
    even = {author: mass / len(size) for author, mass in raw.items()}
    most = {author: limit * share for author, share in even.items()}
    cap = max(cap, _lowest_cap(most))
    share = _capped(even, {author: min(cap, most[author]) for author in even})
    by_icon = {icon: share[author] / raw[author] / size[family] for icon, family, author in rows}
    return Weights(by_icon, dict(sorted(share.items())), cap, limit)


def _lowest_cap(most: dict[str, float]) -> float:
    """The lowest cap with which shares of at most `most` each can still add up to 1."""
    taken = 0.0
    ceilings = sorted(most.values())
    for at, ceiling in enumerate(ceilings):
        level = (1 - taken) / (len(ceilings) - at)
        if level <= ceiling:
            return level
        taken += ceiling
    return ceilings[-1]  # a limit of 1: everybody's own share, give or take a rounding


def _capped(share: dict[str, float], ceilings: dict[str, float]) -> dict[str, float]:
    """`share` with no value above its ceiling, the rest scaled up to a sum of 1 (water-filling)."""
    fixed: set[str] = set()
    while True:
        free = sum(value for author, value in share.items() if author not in fixed)
        scale = (1 - sum(ceilings[author] for author in fixed)) / free if free > 0 else 0.0
        over = {
            author
            for author, value in share.items()
            if author not in fixed and value * scale > ceilings[author] * (1 + 1e-9)
        }
        if not over:
            break
        fixed |= over
    return {author: ceilings[author] if author in fixed else value * scale for author, value in share.items()}
