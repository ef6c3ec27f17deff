"""What all stages share: the outcome they return, and the rule when work can be left out.

A ref remembers in its info the key of the inputs it was computed from. While that key stays the same,
the stage is a no-op. A ref moves only when the content does, so its info tells at which upstream commit
the content first looked like this, and a category that did not change keeps its version.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.orchestration.stages.gates import check_open, is_blocked
from bioicons_pipeline.store import BlobRef, Ref, Store, Version

Progress = Callable[[int, int], None]
Guard = Callable[[], None]
"""Raises where this process may not publish any more, see `store.leases`."""
SNAPSHOT = "svg_snapshot"
MANIFEST = "icon_manifest"
IMAGES = "rasterized_icons"
CAPTIONS = "icon_captions"
DATASET = "icon_dataset"
WEIGHTS = "lora_weights"
GRID = "sample_grid"
EVALUATION = "evaluation_report"


class MissingInputError(BioiconsError):
    """A stage was asked for before the one above it was run."""


@dataclass(frozen=True)
class Outcome:
    """What a stage did: the version it left, whether that is new, and facts for people."""

    version_id: str
    changed: bool
    facts: Mapping[str, Any] = field(default_factory=dict)


def input_key(**inputs: Any) -> str:
    """Hash of everything that a stage's output depends on; inputs must be JSON-able."""
    text = json.dumps(inputs, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def require_ref(store: Store, asset: str, partition: str | None, base: str | None = None) -> Ref:
    """The ref of an input; what a gate has stopped is no input.

    Raises:
        MissingInputError: the stage above has not run for this partition.
        BlockedError: what it made breaks a rule that nothing may be built on.
    """
    ref = store.get_ref(asset, partition=partition, base=base)
    if ref is None:
        what = f"{asset} of {partition}" if partition else asset
        raise MissingInputError(f"There is no {what} yet: materialize {asset} first.")
    check_open(asset, partition, ref.info)
    return ref


def read_json(store: Store, version_id: str, path: str) -> Any:
    """A JSON file of a version."""
    return json.loads(store.read(store.version(version_id), path))


def to_json(value: Any) -> bytes:
    """Canonical JSON: the same value gives the same bytes."""
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def unchanged(
    store: Store, asset: str, key: str, *, partition: str | None = None, base: str | None = None
) -> Ref | None:
    """The ref of `asset` if it was computed from inputs of this `key`, can be read, and no gate stopped it:
    what was stopped is made again, for the fault may have been the machine's."""
    ref = store.get_ref(asset, partition=partition, base=base)
    if ref is None or (ref.info or {}).get("input_key") != key or is_blocked(ref.info):
        return None
    # what lacks a blob (pruned, or lost from outside) is computed again, which writes that blob anew
    return ref if store.intact(ref.version_id) else None


FIRST_SEEN = ("commit", "committed_at", "source_url")
"""What info says of the run that first made this content, even where a later one made the same again."""


def publish(
    store: Store,
    asset: str,
    files: Mapping[str, bytes | Path | BlobRef] | Version,
    info: Mapping[str, Any],
    *,
    partition: str | None = None,
    base: str | None = None,
    guard: Guard | None = None,
) -> Outcome:
    """Commit `files` (or take a committed version) and point the ref of `asset` at it, if `guard` lets it.

    When the content is what the ref already shows, `FIRST_SEEN` stays in its info: it tells when this content
    first appeared. All else is of this run: other rules may find, note or stop something in the same content.
    """
    version = files if isinstance(files, Version) else store.commit(files)
    before = store.get_ref(asset, partition=partition, base=base)
    changed = before is None or before.version_id != version.id
    facts = dict(info)
    if before is not None and not changed:
        facts |= {name: before.info[name] for name in FIRST_SEEN if name in (before.info or {})}
    if changed or before is None or before.info != facts:
        store.set_ref(asset, version.id, partition=partition, base=base, info=facts, guard=guard)
    elif guard:
        guard()
    return Outcome(version.id, changed, facts)
