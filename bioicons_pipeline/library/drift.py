"""How far a set of icons has moved from the one that a LoRA was trained on.

Belongs here: comparing two sets of icons, and the threshold from which on a new training is worth its cost.
Does not belong here: where the sets come from, what is trained. The sets are compared whole, so that small
changes add up over the weeks instead of each being too small.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from bioicons_pipeline.library.records import ExclusionReason, ManifestRow, each_row

LICENCE_REASONS = frozenset(
    {
        ExclusionReason.UNLICENSED,
        ExclusionReason.LICENCE_NOT_IN_PRESET,
        ExclusionReason.AUTHOR_MISSING,  # a credit that cannot be given
        ExclusionReason.WITHDRAWN_BY_CURATOR,
        ExclusionReason.TRADEMARK_LOGO,
    }
)
"""Reasons to leave an icon out that say: it may not be used."""


@dataclass(frozen=True)
class TrainingIcon:
    """One icon of a dataset: hash of its SVG, its licence, its caption, side of its picture in px, a name."""

    sha256: str
    spdx: str
    caption: str
    side: int
    name: str


@dataclass(frozen=True)
class Thresholds:
    """A new training is worth it from `share` (0 to 1) of the icons, or from `icons` of them, on."""

    share: float = 0.05
    icons: int = 10

    def reached(self, changed: int, of: int) -> bool:
        """Whether `changed` icons of `of` are enough."""
        return changed > 0 and (changed >= self.icons or changed >= self.share * of)


@dataclass(frozen=True)
class Drift:
    """Icons that are new, gone, renamed (same drawing, other path), or changed in drawing, caption or size;
    `withdrawn`: name → why it may not be used any more; `of`: icons that were trained on."""

    added: int = 0
    gone: int = 0
    renamed: int = 0
    changed: int = 0
    withdrawn: Mapping[str, str] = field(default_factory=dict)
    of: int = 0

    @property
    def icons(self) -> int:
        """Icons that differ. One that was renamed counts once."""
        return self.added + self.gone + self.renamed + self.changed

    def __str__(self) -> str:
        counts = {"new": self.added, "gone": self.gone, "renamed": self.renamed, "changed": self.changed}
        said = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        return said or "no icon changed"


def drift_between(
    known: Mapping[str, TrainingIcon], present: Mapping[str, TrainingIcon], manifest: pd.DataFrame
) -> Drift:
    """What changed from `known` (icon_id → icon, trained on) to `present`; manifest: the library's, now."""
    gone = {icon: known[icon] for icon in known.keys() - present.keys()}
    added = Counter(present[icon].sha256 for icon in present.keys() - known.keys())
    total = added.total()
    renamed = 0
    for icon in gone.values():
        if added[icon.sha256] > 0:
            added[icon.sha256] -= 1
            renamed += 1
    both = known.keys() & present.keys()
    changed = sum(_content(known[icon]) != _content(present[icon]) for icon in both)
    relicensed = {
        known[icon].name: f"its licence is {present[icon].spdx} now, it was {known[icon].spdx}"
        for icon in sorted(both)
        if known[icon].spdx != present[icon].spdx
    }
    return Drift(
        added=total - renamed,
        gone=len(gone) - renamed,
        renamed=renamed,
        changed=changed,
        withdrawn=_withdrawn(gone, manifest) | relicensed,
        of=len(known),
    )


def _content(icon: TrainingIcon) -> tuple:
    return icon.sha256, icon.caption, icon.side


def _withdrawn(gone: Mapping[str, TrainingIcon], manifest: pd.DataFrame) -> dict[str, str]:
    """Name → reason of the icons that left for reasons of licence, told by id and, moved, by drawing.

    An icon that upstream deleted is one of them, unless the same drawing is there under the same licence:
    upstream gives no reason, and has deleted icons because they had no licence (commit 7d67472c).
    """
    found: dict[str, str] = {}
    if not gone:
        return found
    by_id = {str(row.icon_id): row for row in each_row(manifest)}
    by_drawing: dict[str, list[ManifestRow]] = {}
    for row in by_id.values():
        by_drawing.setdefault(str(row.sha256), []).append(row)
    for icon_id, icon in sorted(gone.items()):
        same = [by_id[icon_id]] if icon_id in by_id else by_drawing.get(icon.sha256, [])
        if not same:
            found[icon.name] = "deleted upstream"
        if any(row.included and row.spdx == icon.spdx for row in same):
            continue
        for row in same:
            if row.included:
                found[icon.name] = f"its licence is {row.spdx} now, it was {icon.spdx}"
            elif row.exclusion_reason in LICENCE_REASONS:
                found[icon.name] = f"left out now ({row.exclusion_reason})"
    return found
