"""What a run would do now, told before it does: which categories would be rebuilt, which LoRAs trained.

Compares upstream's listing, whose files are not fetched, with the icons that the manifests in the store were
made from (`made_from`), and the datasets with those that the LoRAs were trained on. It cannot know what only
the manifest finds out (duplicates, licences of copies, families across categories), so what it says of icons
is an estimate.

Does not belong here: how long things take (`orchestration/durations.py`), words on a terminal.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bioicons_pipeline.library.curation import load_curation
from bioicons_pipeline.library.drift import Thresholds
from bioicons_pipeline.library.licences import policy_for
from bioicons_pipeline.library.observe import listing
from bioicons_pipeline.library.records import path_facts
from bioicons_pipeline.orchestration.stages.base import DATASET, WEIGHTS
from bioicons_pipeline.orchestration.stages.gone import gone_categories
from bioicons_pipeline.orchestration.stages.made_from import (
    RENDER_SIZE,
    Icon,
    Inputs,
    built_icons,
    causes,
    present_icons,
    present_manifests,
)
from bioicons_pipeline.orchestration.stages.snapshot import location_of
from bioicons_pipeline.orchestration.stages.training_plan import PlannedBase, consider, is_pending
from bioicons_pipeline.orchestration.stages.weights import MINIMUM_ICONS
from bioicons_pipeline.store import Store

WITHDRAWN = "withdrawn upstream"


@dataclass(frozen=True)
class Changes:
    """Icons of a category that were added, removed, renamed, drawn anew by upstream, or that another licence
    preset lets in or leaves out; `edited`: that a curator decided about anew. `withdrawn`: that were in use,
    and are deleted, not to be used or under another licence now; `icons` that it has now under licences that
    may be used, of `listed`."""

    added: int = 0
    removed: int = 0
    renamed: int = 0
    redrawn: int = 0
    edited: int = 0
    withdrawn: int = 0
    icons: int = 0
    listed: int = 0

    @property
    def any(self) -> bool:
        """Whether the category would be rebuilt for its icons."""
        return self.moved > 0

    @property
    def moved(self) -> int:
        """Icons that differ; one that was renamed counts once."""
        return self.added + self.removed + self.renamed + self.redrawn + self.edited

    def __str__(self) -> str:
        named = {name: getattr(self, name) for name in ("added", "removed", "renamed", "redrawn")}
        said = [f"{count} {name}" for name, count in named.items() if count]
        return ", ".join([*said, *([f"{self.edited} edited in the curation file"] if self.edited else [])])


@dataclass(frozen=True)
class Prospect:
    """A category (None: the library-wide LoRA): would it be rebuilt, trained, and why, in words."""

    category: str | None
    changes: Changes
    rebuild: bool
    train: bool
    reason: str


def prospects(
    store: Store, inputs: Inputs, cache_dir: Path, base: PlannedBase, thresholds: Thresholds
) -> list[Prospect]:
    """What would happen to each category, by name, then to the library.

    Raises:
        SourceError: upstream cannot be read.
        CurationError: the curation file cannot be read.
    """
    location = location_of(inputs.source)
    now = listing(location, inputs.ref, cache_dir / "git")
    curation = load_curation(Path(inputs.curation) if inputs.curation else None)
    manifests = present_manifests(store)
    before = built_icons(store, manifests, location, now, cache_dir)
    present = present_icons(now.ids, policy_for(inputs.preset), curation, before)
    changes = changes_by_category(before, present)
    why, gone = causes(store, manifests, inputs), gone_categories(store)
    found = []
    for category in sorted({*changes, *why, *gone}):
        mine = changes.get(category, Changes())
        if category in gone and not mine.any:
            found.append(Prospect(category, mine, False, False, WITHDRAWN))
        else:
            found.append(_prospect(store, category, mine, why.get(category, []), base, thresholds))
    total = Counter[str]()
    for one in changes.values():
        total.update(vars(one))
    rebuilt = [one.category for one in found if one.rebuild]
    together = [reason for category in rebuilt for reason in why.get(str(category), [])]
    together = list(dict.fromkeys(together or (["a category is built again"] if rebuilt else [])))
    return [*found, _prospect(store, None, Changes(**total), together, base, thresholds)]


def changes_by_category(before: Mapping[str, Icon], now: Mapping[str, Icon]) -> dict[str, Changes]:
    """What changed from one listing (path → icon) to another, for every category of either."""
    counts: dict[str, Counter[str]] = {}
    published = {
        (icon.content, path_facts(path).licence_folder) for path, icon in now.items() if icon.allowed
    }
    for path in {*before, *now}:
        old, new = before.get(path), now.get(path)
        if new is not None:
            count = counts.setdefault(new.category, Counter())
            count.update(listed=1, icons=int(new.allowed))
        if old is not None and new is not None and old.category == new.category:
            _compare(old, new, counts[new.category])
            continue
        if new is not None and new.allowed:
            counts[new.category]["added"] += 1
        if old is not None:
            count = counts.setdefault(old.category, Counter())
            if old.allowed:
                there = (old.content, path_facts(path).licence_folder) in published
                count.update(removed=1, withdrawn=int(old.used and not there))
    for category, count in counts.items():
        same = _renamed(category, before, now)
        count.update(added=-same, removed=-same, renamed=same)
    return {category: Changes(**count) for category, count in counts.items()}


def _compare(old: Icon, new: Icon, count: Counter[str]) -> None:
    """Count what became of an icon that is where it was."""
    withdrawn = old.used and (new.withdrawn or not new.allowed)
    count["withdrawn"] += withdrawn
    if old.allowed != new.allowed:
        count["added" if new.allowed else "removed"] += 1
    elif new.allowed and old.content != new.content:
        count["redrawn"] += 1
    elif withdrawn or old.decided != new.decided:
        count["edited"] += 1


def _renamed(category: str, before: Mapping[str, Icon], now: Mapping[str, Icon]) -> int:
    """Files of a category with another path and the same content."""

    def only_in(these: Mapping[str, Icon], those: Mapping[str, Icon]) -> Counter[str]:
        mine = {path for path, icon in these.items() if icon.allowed and icon.category == category}
        return Counter(these[path].content for path in mine - those.keys())

    return (only_in(before, now) & only_in(now, before)).total()


def _prospect(
    store: Store,
    category: str | None,
    changes: Changes,
    why: Sequence[str],
    base: PlannedBase,
    thresholds: Thresholds,
) -> Prospect:
    """why: causes to build it again besides what became of its icons."""
    rebuild = changes.any or bool(why)

    def told(train: bool, *reasons: str) -> Prospect:
        said = "; ".join(dict.fromkeys(reason for reason in (*reasons, *why) if reason))
        return Prospect(category, changes, rebuild, train, said)

    if changes.listed == 0:  # what was built of it stays as it is
        return Prospect(category, changes, False, False, WITHDRAWN)
    if changes.icons == 0:
        return told(False, "no icon that may be used", str(changes))
    built = store.get_ref(DATASET, partition=category) is not None
    rebuild = rebuild or not built
    if changes.icons < MINIMUM_ICONS:
        return told(False, f"too few icons: {changes.icons} < {MINIMUM_ICONS}", str(changes))
    if not built:
        return told(True, "never built")
    decision = consider(store, category, base, thresholds)
    drifted = decision.drift.icons if decision.drift else 0
    if changes.withdrawn:
        return told(True, f"{changes.withdrawn} withdrawn", str(changes) if changes.edited else "")
    if decision.ask:
        # what has too few icons is asked for so that its asset says so; nothing is trained
        return told(rebuild or decision.icons >= MINIMUM_ICONS, decision.reason)
    if is_pending(store, category, base.stored_as):
        return told(True, "the training that was asked for is still to be done")
    weights = store.get_ref(WEIGHTS, partition=category, base=base.stored_as)
    few = (weights.info or {}).get("status") == "not trained" if weights else False
    of = decision.drift.of if decision.drift else decision.icons
    # pictures of another size are other pictures, all of them; how many captions differ is known only after
    train = few or RENDER_SIZE in why or thresholds.reached(drifted + changes.moved, of)
    before = f"{drifted} since the last training" if drifted else ""
    return told(train and rebuild, *([str(changes), before] if rebuild or before else [decision.reason]))
