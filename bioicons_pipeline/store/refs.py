"""What each asset shows: the refs, and how one is replaced in one step.

Belongs here: reading, listing and replacing the files below `refs/`. Does not belong here: what a ref file
holds (`records.py`), how its name is written (`names.py`), who may replace it (`leases.py`).
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from bioicons_pipeline.store import blobs
from bioicons_pipeline.store.backend import Backend, read_whole
from bioicons_pipeline.store.errors import StoreError
from bioicons_pipeline.store.names import ALL, quote_name, version_key
from bioicons_pipeline.store.records import DamagedRefError, Ref, RefName, ref_from_json, ref_to_json


class Refs:
    """The refs of one store."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def load(self, name: RefName) -> Ref | None:
        """The ref of this name; None if it was never set.

        Raises:
            StoreError: the file is damaged, or is that of a name in another case.
        """
        key = ref_key(name)
        data = read_whole(self._backend, key)
        if data is None:
            return None
        found, ref = ref_from_json(data, key)
        if found != name:
            raise StoreError(
                f"The ref {key} belongs to {found.partition!r} of {found.asset!r}, which this file system "
                f"does not tell apart from {name.partition!r} of {name.asset!r}: rename one of the two."
            )
        return ref

    def listed(self, asset: str, base: str | None) -> dict[str, Ref]:
        """The refs of `asset` by partition, sorted by file name."""
        folder = ref_key(RefName(asset, base, ALL)).rpartition("/")[0]
        refs = {}
        for file_name in self._backend.list(folder):
            key = f"{folder}/{file_name}"
            if not file_name.endswith(".json") or (data := read_whole(self._backend, key)) is None:
                continue  # not ours, or deleted since it was listed
            name, ref = ref_from_json(data, key)
            if ref_key(name) == key:  # a copy that someone made by hand is no ref
                refs[name.partition] = ref
        return refs

    def bases(self, asset: str) -> list[str]:
        """The bases that `asset` has a ref of, sorted; none where its refs have no base."""
        found: dict[str, str | None] = {}
        for key in self._backend.keys(f"refs/{quote_name(asset)}"):
            folder = key.rpartition("/")[0]
            if folder in found or not key.endswith(".json"):
                continue
            if (data := read_whole(self._backend, key)) is not None:
                found[folder] = ref_from_json(data, key)[0].base  # a folder's name may be a shortened one
        return sorted(base for base in found.values() if base is not None)

    def set(
        self, name: RefName, version_id: str, info: dict[str, Any], guard: Callable[[], None] | None
    ) -> Ref:
        """Let `name` show a version that is there; the same version and info again change nothing.

        guard: asked right before; with it the ref is replaced only if nobody else did that since.

        Raises:
            StoreError: the file system confuses this name with another's, or another process was quicker.
        """
        key = ref_key(name)
        before = self._backend.read_tagged(key) if guard else None
        if guard:
            guard()
        ref = Ref(version_id, datetime.now(UTC).isoformat(timespec="milliseconds"), info)
        data = ref_to_json(name, ref)
        with suppress(DamagedRefError):  # it is about to be replaced
            known = self.load(name)
            if known and (known.version_id, known.info) == (version_id, ref.info):
                return known
            if known and known.version_id != version_id:  # its days count from now, when nothing shows it
                self._backend.touch(version_key(known.version_id), blobs.TOUCH_AFTER)
        self._backend.sync(["versions"])  # whoever committed it may have died before this
        if guard is None:
            self._backend.write(key, [data])
            self._backend.sync([key.rpartition("/")[0]])
        elif not self._backend.write_if(key, data, before[1] if before else None):
            raise StoreError(f"Another process set the ref {key} at the same moment: run this again.")
        return ref

    def delete(self, name: RefName) -> bool:
        """Forget what `name` shows; whether there was such a ref."""
        return self._backend.delete(ref_key(name))


def ref_key(name: RefName) -> str:
    """Where a ref is kept."""
    parts = [name.asset, *([] if name.base is None else [name.base]), name.partition]
    return f"refs/{'/'.join(quote_name(part) for part in parts)}.json"
