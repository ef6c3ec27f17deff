"""What a run would do now, told before it does: which categories would be rebuilt, which LoRAs trained.

Compares upstream's listing, whose files are not fetched, with the snapshot in the store, and the datasets
with those that the LoRAs were trained on. It cannot know what only the manifest finds out (duplicates,
licences of copies, families across categories), so what it says of icons is an estimate.

Does not belong here: how long things take (`orchestration/durations.py`), words on a terminal.
"""

from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path

from bioicons_pipeline.library.drift import Thresholds
from bioicons_pipeline.library.licences import LicencePolicy, licence_of_folder, policy_for
from bioicons_pipeline.library.observe import Listing, blob_id, listing
from bioicons_pipeline.library.records import path_facts
from bioicons_pipeline.library.source import SourceError
from bioicons_pipeline.orchestration.stages.base import DATASET, SNAPSHOT, WEIGHTS, MissingInputError
from bioicons_pipeline.orchestration.stages.gone import gone_categories
from bioicons_pipeline.orchestration.stages.manifest import whole_manifest
from bioicons_pipeline.orchestration.stages.snapshot import location_of
from bioicons_pipeline.orchestration.stages.training_plan import PlannedBase, consider, is_pending
from bioicons_pipeline.orchestration.stages.weights import MINIMUM_ICONS
from bioicons_pipeline.store import Store, Version

WITHDRAWN = "withdrawn upstream"


@dataclass(frozen=True)
class Changes:
    """Icons of a category that upstream added, removed, renamed, and drew anew; `withdrawn`: that were in
    use, and are deleted or under another licence now; `icons` that it has now under licences that may be
    used, of `listed`."""

    added: int = 0
    removed: int = 0
    renamed: int = 0
    redrawn: int = 0
    withdrawn: int = 0
    icons: int = 0
    listed: int = 0

    @property
    def any(self) -> bool:
        """Whether the category would be rebuilt."""
        return self.moved > 0

    @property
    def moved(self) -> int:
        """Icons that differ; one that was renamed counts once."""
        return self.added + self.removed + self.renamed + self.redrawn


@dataclass(frozen=True)
class Prospect:
    """A category (None: the library-wide LoRA): would it be rebuilt, trained, and why, in words."""

    category: str | None
    changes: Changes
    rebuild: bool
    train: bool
    reason: str


def prospects(
    store: Store,
    source: str,
    ref: str | None,
    cache_dir: Path,
    preset: str,
    base: PlannedBase,
    thresholds: Thresholds,
) -> list[Prospect]:
    """What would happen to each category, by name, then to the library.

    Raises:
        SourceError: upstream cannot be read.
    """
    location = location_of(source)
    now = listing(location, ref, cache_dir / "git")
    policy = policy_for(preset)
    changes = changes_by_category(_known(store, location, now, cache_dir), now.ids, policy, _used(store))
    gone = gone_categories(store)
    found = []
    for category in sorted(changes):
        if category in gone and not changes[category].any:
            found.append(Prospect(category, changes[category], False, False, WITHDRAWN))
        else:
            found.append(_prospect(store, category, changes[category], base, thresholds))
    total = Counter[str]()
    for one in changes.values():
        total.update(vars(one))
    library = _prospect(store, None, Changes(**total), base, thresholds)
    return [*found, library]


def changes_by_category(
    before: Mapping[str, str], now: Mapping[str, str], policy: LicencePolicy, used: Set[str] | None = None
) -> dict[str, Changes]:
    """What changed from one listing (path → id of the content) to another, for every category of either.

    used: paths that the manifest includes; what was left out cannot be withdrawn. None: all of them.
    """
    counts: dict[str, Counter[str]] = {}
    allowed = {path for path in {*before, *now} if _may_be_used(path, policy)}
    published = {(now[path], path_facts(path).licence_folder) for path in allowed & now.keys()}
    for path in {*before, *now}:
        if not path.lower().endswith(".svg"):
            continue
        count = counts.setdefault(path_facts(path).category, Counter())
        count["listed"] += path in now
        if path not in allowed:
            continue
        count["icons"] += path in now
        if path not in before:
            count["added"] += 1
        elif path not in now:
            count["removed"] += 1
            there = (before[path], path_facts(path).licence_folder) in published
            count["withdrawn"] += not there and (used is None or path in used)
        elif before[path] != now[path]:
            count["redrawn"] += 1
    for category, count in counts.items():
        same = _renamed(category, before, now, allowed)
        count.update(added=-same, removed=-same, renamed=same)
    return {category: Changes(**count) for category, count in counts.items()}


def _renamed(category: str, before: Mapping[str, str], now: Mapping[str, str], allowed: set[str]) -> int:
    """Files of a category with another path and the same content."""
    mine = {path for path in allowed if path_facts(path).category == category}
    lost = Counter(before[path] for path in mine & before.keys() - now.keys())
    return (lost & Counter(now[path] for path in mine & now.keys() - before.keys())).total()


def _may_be_used(path: str, policy: LicencePolicy) -> bool:
    licence = licence_of_folder(path_facts(path).licence_folder)
    return licence is not None and policy.allows(licence.spdx)


def _used(store: Store) -> Set[str] | None:
    """Paths of the icons that the manifest includes; None where there is no manifest yet."""
    try:
        frame = whole_manifest(store)
    except MissingInputError:
        return None
    return set(frame.loc[frame["included"].astype(bool), "source_path"].astype(str))


def _known(store: Store, location: str, now: Listing, cache_dir: Path) -> Mapping[str, str]:
    """path → id of the snapshot in the store, in the kind of ids that `now` has; empty without a snapshot."""
    ref = store.get_ref(SNAPSHOT)
    if ref is None:
        return {}
    version = store.version(ref.version_id)
    if now.hashed:
        return dict(_files(version))
    commit = str((ref.info or {}).get("commit"))
    if commit == now.commit:
        return now.ids
    try:
        return listing(location, commit, cache_dir / "git").ids
    except SourceError:  # another source, or history that upstream has rewritten: ask the bytes
        return {path: blob_id(store.read_blob(sha256)) for path, sha256 in _files(version)}


def _files(version: Version) -> list[tuple[str, str]]:
    return [
        (entry.path.removeprefix("icons/"), entry.sha256)
        for entry in version.files
        if entry.path.startswith("icons/")
    ]


def _prospect(
    store: Store, category: str | None, changes: Changes, base: PlannedBase, thresholds: Thresholds
) -> Prospect:
    what = {name: getattr(changes, name) for name in ("added", "removed", "renamed", "redrawn")}
    upstream = ", ".join(f"{count} {name}" for name, count in what.items() if count)
    if changes.icons == 0:
        reason = "no icon that may be used" if changes.listed else WITHDRAWN
        return Prospect(category, changes, False, False, reason)
    built = store.get_ref(DATASET, partition=category) is not None
    if category is not None and changes.icons < MINIMUM_ICONS:
        reason = f"too few icons: {changes.icons} < {MINIMUM_ICONS}"
        return Prospect(category, changes, changes.any or not built, False, reason)
    if not built:
        return Prospect(category, changes, True, True, "never built")
    decision = consider(store, category, base, thresholds)
    drifted = decision.drift.icons if decision.drift else 0
    if changes.withdrawn:
        return Prospect(category, changes, True, True, f"{changes.withdrawn} withdrawn")
    if decision.ask:
        return Prospect(category, changes, changes.any, True, decision.reason)
    if is_pending(store, category, base.stored_as):
        reason = "the training that was asked for is still to be done"
        return Prospect(category, changes, changes.any, True, reason)
    weights = store.get_ref(WEIGHTS, partition=category, base=base.stored_as)
    few = (weights.info or {}).get("status") == "not trained" if weights else False
    of = decision.drift.of if decision.drift else decision.icons
    train = few or thresholds.reached(drifted + changes.moved, of)
    before = f"{drifted} since the last training" if drifted else ""
    reason = "; ".join(part for part in (upstream, before) if part) or decision.reason
    return Prospect(category, changes, changes.any, train and changes.any, reason)
