"""Categories that upstream does not have any more: what was built of them stays, and nothing is built again.

The mark is in the info of the category's manifest, whose last version is kept, until the category has a
manifest again. The library's own manifest has none of its icons, so that adapters which learnt from them are
shown as out of date (`withdrawn`).
"""

from collections.abc import Mapping
from typing import Any

from bioicons_pipeline.orchestration.stages.base import MANIFEST, Outcome
from bioicons_pipeline.orchestration.stages.gates import BlockedError
from bioicons_pipeline.store import Ref, Store

WITHDRAWN = "withdrawn"
"""Key in the info of a category's manifest: the commit at which it was first seen without any icon."""


class WithdrawnError(BlockedError):
    """Something was asked for of a category that upstream has withdrawn."""


def mark(store: Store, category: str, before: Ref, snapshot: Mapping[str, Any]) -> Outcome:
    """Mark the last manifest of a category that is gone since `snapshot`, or was marked before."""
    facts = {WITHDRAWN: snapshot.get("commit"), **before.info}
    store.set_ref(MANIFEST, before.version_id, partition=category, info=facts)
    return Outcome(before.version_id, False, facts)


def gone_since(store: Store, category: str | None) -> str | None:
    """The commit at which a category was first seen to have no icon any more; None while it has some."""
    ref = store.get_ref(MANIFEST, partition=category) if category else None
    return (ref.info or {}).get(WITHDRAWN) if ref else None


def gone_categories(store: Store) -> dict[str, str]:
    """Category → commit, of all that are gone."""
    refs = store.list_refs(MANIFEST).items()
    return {name: str(ref.info[WITHDRAWN]) for name, ref in refs if WITHDRAWN in (ref.info or {})}


def kept(store: Store, asset: str, category: str | None, base: str | None = None) -> Outcome | None:
    """What a category that is gone has of an asset: it stays as it is. None while the category is there.

    Raises:
        WithdrawnError: it is gone, and there never was any.
    """
    commit = gone_since(store, category)
    if commit is None:
        return None
    ref = store.get_ref(asset, partition=category, base=base)
    if ref is None:
        raise WithdrawnError(
            f"{category} was withdrawn upstream (seen at {commit[:12]}) before there was any {asset} of it: "
            "nothing is made of it any more, choose another category."
        )
    return Outcome(ref.version_id, False, {**ref.info, WITHDRAWN: commit})
