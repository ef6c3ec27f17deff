"""How often each training icon is to be drawn, so that neither a family nor an author becomes the style.

Belongs here: weights from families and authors. Does not belong here: drawing (training/). Every family
counts once however many colour variants it has; then no author has more than a cap of all draws, and what
is cut goes to the others in proportion to what they have.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

AUTHOR_CAP = 0.25
"""Largest share of draws for one author; half of the library is by one, a quarter by another."""


@dataclass(frozen=True)
class Weights:
    """`by_icon`: icon_id -> probability of being drawn; they add up to 1. `share`: author -> share.

    `cap` is the cap that held: never below 1 / number of authors, which no weights could keep.
    """

    by_icon: dict[str, float]
    share: dict[str, float]
    cap: float


def sampling_weights(icons: Iterable[tuple[str, str, str]], cap: float = AUTHOR_CAP) -> Weights:
    """Weights of (icon_id, family_id, author) triples of the training split.

    Raises:
        ValueError: a cap outside (0, 1].
    """
    if not 0 < cap <= 1:
        raise ValueError(f"the cap is a share of draws in (0, 1], not {cap}")
    rows = sorted(icons)
    if not rows:
        return Weights({}, {}, cap)
    size = Counter(family for _, family, _ in rows)
    raw: dict[str, float] = defaultdict(float)
    for _, family, author in rows:
        raw[author] += 1 / size[family]
    cap = max(cap, 1 / len(raw))
    share = _capped({author: mass / len(size) for author, mass in raw.items()}, cap)
    by_icon = {icon: share[author] / raw[author] / size[family] for icon, family, author in rows}
    return Weights(by_icon, dict(sorted(share.items())), cap)


def _capped(share: dict[str, float], cap: float) -> dict[str, float]:
    """`share` with no value above `cap`, the rest scaled up to a sum of 1 (water-filling)."""
    fixed: set[str] = set()
    while True:
        free = sum(value for author, value in share.items() if author not in fixed)
        scale = (1 - cap * len(fixed)) / free if free > 0 else 0.0
        over = {a for a, value in share.items() if a not in fixed and value * scale > cap * (1 + 1e-9)}
        if not over:
            break
        fixed |= over
    return {author: cap if author in fixed else value * scale for author, value in share.items()}
