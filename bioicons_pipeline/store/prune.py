"""Garbage collection: versions that no ref leads to, and blobs of no version, once they are old enough.

A version is kept while a ref shows it, or names it in its info (an adapter's dataset, a publication), and for
some time after it was last used: committed, committed again with the same content, or shown by a ref that has
moved on. A blob is kept while any version that is left has it, and for the same time after it was last used,
so that a writer who has put its blobs and not yet its version, or its version and not yet its ref, loses
nothing. Mark and sweep, as in `git gc` with its two weeks of grace
(https://git-scm.com/docs/git-gc, "Notes"). Versions go before their blobs: killed at any moment, it leaves no
version without its blobs, and the next run finds the rest.

Does not belong here: what a ref's info means. Any id of a version in it counts.
"""

import json
import re
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from bioicons_pipeline.store.backend import Backend
from bioicons_pipeline.store.errors import StoreError
from bioicons_pipeline.store.names import quote_name
from bioicons_pipeline.store.parallel import Progress, map_all
from bioicons_pipeline.store.records import Version, ref_from_json

_SHA256 = re.compile(r"[0-9a-f]{64}")
SHORTEST_S = 3 * 86400.0
"""Less than this, and what a running writer relies on could go. A training reads a dataset that another may
replace meanwhile, and only its adapter's ref names it: it takes up to two days unless a setting says more
(BIOICONS_TRAINING_HOURS). It is also far more than the TOUCH_AFTER after which a use is noted again."""


@dataclass(frozen=True)
class Pruned:
    """What was deleted, or would be in a dry run: ids of versions, blobs, their bytes; and what stays."""

    versions: tuple[str, ...]
    blobs: int
    bytes: int
    versions_left: int
    blobs_left: int


def prune(
    backend: Backend,
    keep_s: float,
    *,
    lapsing: Sequence[str] = (),
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Pruned:
    """See `Store.prune`; progress counts blobs.

    Raises:
        StoreError: `keep_s` is too short, or a ref or a version is damaged: then nothing was deleted.
    """
    if keep_s < SHORTEST_S:
        raise StoreError(
            f"Only what was not used for {SHORTEST_S / 86400:g} days can be pruned: a running writer may "
            "need what is younger."
        )
    before = time.time() - keep_s
    if not dry_run:
        backend.sweep(keep_s)
    lapsed = [
        key
        for asset in lapsing
        for key in sorted(backend.keys(f"refs/{quote_name(asset)}"))
        if _old(backend, key, before) and (dry_run or backend.expire(key, before))
    ]
    named = set(_named(backend, lapsed))
    left: list[str] = []
    gone: list[str] = []
    for key in sorted(backend.keys("versions")):
        version_id = key.removeprefix("versions/").removesuffix(".json")
        (left if version_id in named or not _old(backend, key, before) else gone).append(version_id)
    # Read before the first is deleted: a damaged one must stop everything.
    blobs = {sha256 for files in map_all(lambda one: _blobs_of(backend, one), left) for sha256 in files}
    if gone and not dry_run:
        kept = [one for one in gone if not backend.expire(f"versions/{one}.json", before)]
        kept = [one for one in kept if backend.used(f"versions/{one}.json") is not None]
        backend.sync(["versions"])
        for one in kept:  # used while this was running
            blobs |= _blobs_of(backend, one)
            gone.remove(one)
            left.append(one)
    unused = [key for key in sorted(backend.keys("blobs")) if key.rpartition("/")[2] not in blobs]
    sizes = map_all(lambda key: _drop(backend, key, before, dry_run), unused, progress)
    deleted = [size for size in sizes if size is not None]
    left_over = len(unused) - len(deleted)
    return Pruned(tuple(gone), len(deleted), sum(deleted), len(left), len(blobs) + left_over)


def _named(backend: Backend, lapsed: Collection[str]) -> Iterator[str]:
    """Ids of the versions that refs show or name, but for those that lapse."""
    for key in backend.keys("refs"):
        if key in lapsed:
            continue
        stream = backend.open(key)
        if stream is None or not key.endswith(".json"):
            continue
        with stream:
            _, ref = ref_from_json(stream.read(), key)
        yield ref.version_id
        yield from _SHA256.findall(json.dumps(ref.info))


def _blobs_of(backend: Backend, version_id: str) -> set[str]:
    key = f"versions/{version_id}.json"
    stream = backend.open(key)
    if stream is None:
        return set()  # another prune was faster
    with stream:
        return {entry.sha256 for entry in Version.from_json(stream.read(), version_id).files}


def _old(backend: Backend, key: str, before: float) -> bool:
    used = backend.used(key)
    return used is not None and used < before


def _drop(backend: Backend, key: str, before: float, dry_run: bool) -> int | None:
    """Size of a blob that was deleted, or would be; None if it stays."""
    size = backend.size(key)
    if dry_run:
        return size if _old(backend, key, before) else None
    return size if backend.expire(key, before) else None
