"""Which upstream commit something was made from: as its manifest, its dataset or its adapter remembers it.

Belongs here: where each stage finds that. Does not belong here: the link that a person opens (`looks`).

A ref's commit is the one at which its content first looked like this, so an asset that no upstream commit
touched since keeps pointing at the commit that made it what it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bioicons_pipeline.orchestration.stages.base import DATASET, MANIFEST, WEIGHTS
from bioicons_pipeline.store import Store


@dataclass(frozen=True)
class Origin:
    """An upstream commit, and where that upstream is, without credentials."""

    commit: str
    source_url: str


def of_facts(facts: Mapping[str, Any]) -> Origin | None:
    """What the facts of a snapshot, manifest, dataset or trained adapter say; None if they say nothing."""
    commit = facts.get("commit") or facts.get("upstream_commit")
    source = facts.get("source_url") or facts.get("upstream_source")
    return Origin(str(commit), str(source or "")) if commit else None


def of_manifest(store: Store, category: str) -> Origin | None:
    """Of what is made from a category's manifest: pictures, captions."""
    return _of_ref(store, MANIFEST, category)


def of_dataset(store: Store, category: str | None) -> Origin | None:
    """Of what is made from the dataset of a category (None: of the library): plan, adapter, sweep."""
    return _of_ref(store, DATASET, category)


def of_weights(store: Store, category: str | None, stored_as: str) -> Origin | None:
    """Of what is made from a LoRA: the commit of the dataset that it was trained on. A record "not trained"
    is of the dataset that has too few icons."""
    return _of_ref(store, WEIGHTS, category, stored_as) or of_dataset(store, category)


def _of_ref(store: Store, asset: str, category: str | None, base: str | None = None) -> Origin | None:
    ref = store.get_ref(asset, partition=category, base=base)
    return of_facts(ref.info or {}) if ref else None
