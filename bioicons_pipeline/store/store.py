"""The artifact store: the public functions over a backend.

Does not belong here: bytes on disk (`backend.py`), names (`names.py`), folders for people (`checkout.py`).
The order of writing is the promise to readers: blobs, their folders synced, the version, its folder
synced, the ref. Whatever moment a process dies at, a ref leads to a version that is complete.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioicons_pipeline.store import blobs
from bioicons_pipeline.store import checkout as _checkout
from bioicons_pipeline.store.backend import open_backend
from bioicons_pipeline.store.blobs import blob_key
from bioicons_pipeline.store.checkout import STALE_SECONDS
from bioicons_pipeline.store.errors import StoreError, explained
from bioicons_pipeline.store.names import ALL, check_paths, check_sha256, quote_name
from bioicons_pipeline.store.parallel import Progress, map_all
from bioicons_pipeline.store.records import (
    BlobRef,
    Damage,
    DamagedRefError,
    FileEntry,
    Ref,
    RefName,
    Version,
    ref_from_json,
    ref_to_json,
)

if TYPE_CHECKING:
    from upath import UPath

Content = bytes | Path | BlobRef


class Store:
    """Blobs, versions and refs under one root.

    Cheap to open: nothing is created before the first write. Safe to use from several threads and
    processes at once; of two writers of one ref the later wins. Every failure that a user can do something
    about is a StoreError.

    Args:
        root: a folder, or a URL that fsspec knows (`memory://x`). `str(store.root)` opens it again.
    """

    def __init__(self, root: "str | os.PathLike[str] | UPath") -> None:
        self._backend = open_backend(root)
        self.root: Path | UPath = self._backend.root
        self._swept = False

    def __repr__(self) -> str:
        return f"Store({str(self.root)!r})"

    # Blobs

    def put_blob(self, data: bytes | Path) -> BlobRef:
        """Store bytes, or the content of a file; what is there already is not written again.

        Durable once a version that names it is committed.
        """
        return blobs.put(self._backend, data)

    def has_blob(self, sha256: str) -> bool:
        """Whether there is a blob of this hash (its content is not read)."""
        return self._backend.size(blob_key(check_sha256(sha256, "SHA-256"))) is not None

    def read_blob(self, sha256: str) -> bytes:
        """The bytes of a blob, checked against its hash.

        Raises:
            StoreError: it is missing or damaged; the message names it.
        """
        return b"".join(blobs.chunks_of(self._backend, check_sha256(sha256, "SHA-256")))

    # Versions

    def commit(self, files: Mapping[str, Content], *, progress: Progress | None = None) -> Version:
        """Store `files` (path in `a/b/c` form → bytes, a local file, or a blob that is in the store).

        The same content again writes nothing and gives the same version id. Nothing refers to the version
        until `set_ref`.

        Raises:
            StoreError: a path that cannot be stored (see `names.check_paths`), a blob that is not in the
                store, no space, no permission.
        """
        check_paths(files)
        self._sweep_once()
        entries = map_all(lambda item: self._entry(*item), list(files.items()), progress)
        version = Version.of(entries)
        key, data = _version_key(version.id), version.to_json()
        if self._read(key) != data:
            # Every blob's folder, also of blobs that were there: another process may have put one a moment
            # ago and not have got this far.
            folders = {blob_key(entry.sha256).rpartition("/")[0] for entry in entries}
            self._backend.sync(folders)
            self._backend.write(key, [data])
        self._backend.sync(["versions"])
        return version

    def commit_tree(self, folder: Path, *, progress: Progress | None = None) -> Version:
        """Commit every file below `folder`; empty folders are not kept.

        Raises:
            StoreError: there is no such folder, or it holds a link, a pipe or a device.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise StoreError(f"There is no folder {folder} to store: check the path.")
        with explained("reading files", folder):
            files = {path.relative_to(folder).as_posix(): path for path in _regular_files(folder)}
        return self.commit(files, progress=progress)

    def version(self, version_id: str) -> Version:
        """The version of this id.

        Raises:
            StoreError: there is none, or its file is damaged.
        """
        data = self._read(_version_key(check_sha256(version_id, "version id")))
        if data is None:
            raise StoreError(f"There is no version {version_id} in the store at {self.root}: make it again.")
        return Version.from_json(data, version_id)

    def read(self, version: Version | str, path: str) -> bytes:
        """The bytes of one file of a version, checked against their hash."""
        entry = self._resolve(version).entry(path)
        return b"".join(blobs.chunks_of(self._backend, entry.sha256, entry.path))

    def checkout(
        self,
        version: Version | str,
        dest: Path,
        prefix: str = "",
        *,
        replace: bool = False,
        progress: Progress | None = None,
    ) -> Path:
        """Write the files of a version to the folder `dest`, which is complete afterwards, or absent.

        Args:
            dest: a folder that does not exist or is empty. Its files are copies, free to be edited.
            prefix: take only what is below this folder of the version, and leave the prefix off.
            replace: put it in the place of a folder that is there, with all that is in it.

        Returns:
            `dest`, absolute.

        Raises:
            StoreError: `dest` is taken, a blob is missing or damaged, no space, no permission.
        """
        return _checkout.checkout(self._backend, self._resolve(version), dest, prefix, replace, progress)

    def verify(self, version: Version | str, *, progress: Progress | None = None) -> list[Damage]:
        """Read every blob of a version; the files that are missing or damaged, none if all is well."""

        def examine(entry: FileEntry) -> Damage | None:
            size = self._backend.size(blob_key(entry.sha256))
            if size is None:
                return Damage(entry.path, entry.sha256, "missing")
            if size != entry.size:
                return Damage(entry.path, entry.sha256, "wrong size")
            try:
                for _ in blobs.chunks_of(self._backend, entry.sha256):
                    pass
            except StoreError:
                return Damage(entry.path, entry.sha256, "wrong content")
            return None

        found = map_all(examine, self._resolve(version).files, progress)
        return [damage for damage in found if damage]

    # Refs

    def set_ref(
        self,
        asset: str,
        version_id: str,
        *,
        partition: str | None = None,
        base: str | None = None,
        info: dict[str, Any] | None = None,
    ) -> Ref:
        """Let `asset` show `version_id`, in one step. The same version and info again change nothing.

        Args:
            info: facts about the version, as JSON values.

        Raises:
            StoreError: no such version; or the file system confuses this name with another's (case).
        """
        self.version(version_id)  # a ref never leads nowhere
        name = RefName(asset, base, partition or ALL)
        key = _ref_key(name)
        ref = Ref(version_id, datetime.now(UTC).isoformat(timespec="milliseconds"), dict(info or {}))
        data = ref_to_json(name, ref)
        with suppress(DamagedRefError):  # it is about to be replaced
            known = self._load_ref(name)
            if known and (known.version_id, known.info) == (version_id, ref.info):
                return known
        self._backend.sync(["versions"])  # whoever committed it may have died before this
        self._backend.write(key, [data])
        self._backend.sync([key.rpartition("/")[0]])
        return ref

    def get_ref(self, asset: str, *, partition: str | None = None, base: str | None = None) -> Ref | None:
        """What `asset` shows now; None if it was never set.

        Raises:
            StoreError: the ref file is damaged, or is that of a name in another case.
        """
        return self._load_ref(RefName(asset, base, partition or ALL))

    def list_refs(self, asset: str, base: str | None = None) -> dict[str, Ref]:
        """The refs of `asset` by partition (`__all__` for the one without), sorted by file name."""
        folder = _ref_key(RefName(asset, base, ALL)).rpartition("/")[0]
        refs = {}
        for file_name in self._backend.list(folder):
            key = f"{folder}/{file_name}"
            if not file_name.endswith(".json") or (data := self._read(key)) is None:
                continue  # not ours, or deleted since it was listed
            name, ref = ref_from_json(data, key)
            if _ref_key(name) == key:  # a copy that someone made by hand is no ref
                refs[name.partition] = ref
        return refs

    def delete_ref(self, asset: str, *, partition: str | None = None, base: str | None = None) -> bool:
        """Forget what `asset` shows; its versions stay. Returns whether there was such a ref."""
        return self._backend.delete(_ref_key(RefName(asset, base, partition or ALL)))

    # Care

    def sweep(self, older_than: float = STALE_SECONDS) -> int:
        """Delete what killed writers left, if not touched for `older_than` seconds; returns how many.

        `commit` does this once per Store. Temporary files never count as content, swept or not.
        """
        return self._backend.sweep(older_than)

    def _sweep_once(self) -> None:
        if not self._swept:
            self._swept = True
            self.sweep()

    def _entry(self, path: str, content: Content) -> FileEntry:
        if isinstance(content, BlobRef):
            key = blob_key(check_sha256(content.sha256, "SHA-256"))
            if self._backend.size(key) != content.size:
                raise StoreError(
                    f"The blob {key} of {content.size} bytes, given for {path!r}, is not in the store at "
                    f"{self.root}: put it there first."
                )
            return FileEntry(path, content.sha256, content.size)
        blob = self.put_blob(content)
        return FileEntry(path, blob.sha256, blob.size)

    def _resolve(self, version: Version | str) -> Version:
        return self.version(version) if isinstance(version, str) else version

    def _read(self, key: str) -> bytes | None:
        stream = self._backend.open(key)
        if stream is None:
            return None
        with explained(f"reading {key}", self.root), stream:
            return stream.read()

    def _load_ref(self, name: RefName) -> Ref | None:
        key = _ref_key(name)
        data = self._read(key)
        if data is None:
            return None
        found, ref = ref_from_json(data, key)
        if found != name:
            raise StoreError(
                f"The ref {key} belongs to {found.partition!r} of {found.asset!r}, which this file system "
                f"does not tell apart from {name.partition!r} of {name.asset!r}: rename one of the two."
            )
        return ref


def _version_key(version_id: str) -> str:
    return f"versions/{version_id}.json"


def _ref_key(name: RefName) -> str:
    parts = [name.asset, *([] if name.base is None else [name.base]), name.partition]
    return f"refs/{'/'.join(quote_name(part) for part in parts)}.json"


def _regular_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode):
            yield path
        elif not stat.S_ISDIR(mode):
            raise StoreError(
                f"{path} is a link or a device, not a file: put a copy of the file in its place."
            )
