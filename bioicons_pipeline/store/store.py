"""The artifact store: the public functions over a backend.

Does not belong here: bytes on disk (`backend.py`), names (`names.py`), how a ref is replaced (`refs.py`),
folders for people (`checkout.py`).
The order of writing is the promise to readers: blobs, their folders synced, the version, its folder
synced, the ref. Whatever moment a process dies at, a ref leads to a version that is complete.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioicons_pipeline.store import blobs
from bioicons_pipeline.store import checkout as _checkout
from bioicons_pipeline.store import prune as _prune
from bioicons_pipeline.store.backend import Backend, open_backend, read_whole
from bioicons_pipeline.store.blobs import blob_key
from bioicons_pipeline.store.checkout import STALE_SECONDS
from bioicons_pipeline.store.errors import StoreError, explained
from bioicons_pipeline.store.names import ALL, check_paths, check_sha256, version_key
from bioicons_pipeline.store.parallel import Progress, map_all, map_batches
from bioicons_pipeline.store.prune import Pruned
from bioicons_pipeline.store.records import BlobRef, Damage, FileEntry, Ref, RefName, Version
from bioicons_pipeline.store.refs import Refs

if TYPE_CHECKING:
    from upath import UPath

Content = bytes | Path | BlobRef


class Store:
    """Blobs, versions and refs under one root.

    Cheap to open: nothing is created before the first write. Safe to use from several threads and
    processes at once; of two writers of one ref the later wins. Every failure that a user can do something
    about is a StoreError.

    Args:
        root: a folder, `s3://bucket/prefix`, or a URL that fsspec knows (`memory://x`). `str(store.root)`
            opens it again.
    """

    def __init__(self, root: "str | os.PathLike[str] | UPath") -> None:
        self._backend = open_backend(root)
        self.root: Path | UPath | str = self._backend.root
        self._refs = Refs(self._backend)
        self._swept = False

    def __repr__(self) -> str:
        return f"Store({str(self.root)!r})"

    @property
    def backend(self) -> Backend:
        """The bytes below, for this room's other modules."""
        return self._backend

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
        named = dict(zip(files, map_batches(self._name, list(files.values())), strict=True))
        version = Version.of([FileEntry(path, blob.sha256, blob.size) for path, blob in named.items()])
        entries = version.files
        key, data = version_key(version.id), version.to_json()
        # A version that is there, and counts as used from now on, keeps its blobs from being pruned.
        known = read_whole(self._backend, key) == data and self._backend.touch(key, blobs.TOUCH_AFTER)
        self._put_lacking(files, named, known, progress)
        if not known:
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
            files = dict(_regular_files(folder))
        return self.commit(files, progress=progress)

    def version(self, version_id: str) -> Version:
        """The version of this id.

        Raises:
            StoreError: there is none, or its file is damaged.
        """
        data = read_whole(self._backend, version_key(check_sha256(version_id, "version id")))
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
                for _ in blobs.chunks_of(self._backend, entry.sha256, discard=False):
                    pass
            except StoreError:
                return Damage(entry.path, entry.sha256, "wrong content")
            return None

        found = map_all(examine, self._resolve(version).files, progress)
        return [damage for damage in found if damage]

    def intact(self, version: Version | str) -> bool:
        """Whether the version and all its blobs are there, in their sizes; their content is not read."""
        try:
            files = self._resolve(version).files
        except StoreError:
            return False
        held = self._backend.sizes({blob_key(entry.sha256) for entry in files})
        return all(held.get(blob_key(entry.sha256)) == entry.size for entry in files)

    # Refs

    def set_ref(
        self,
        asset: str,
        version_id: str,
        *,
        partition: str | None = None,
        base: str | None = None,
        info: dict[str, Any] | None = None,
        guard: Callable[[], None] | None = None,
    ) -> Ref:
        """Let `asset` show `version_id`, in one step. The same version and info again change nothing.

        Args:
            info: facts about the version, as JSON values.
            guard: raises where the caller may not do this any more (see `leases`). It is asked right before,
                and the ref is replaced only if nobody else did that since.

        Raises:
            StoreError: no such version; or the file system confuses this name with another's (case); or,
                with `guard`, another process was quicker.
        """
        self._backend.touch(version_key(version_id), blobs.TOUCH_AFTER)
        self.version(version_id)  # a ref never leads nowhere
        return self._refs.set(RefName(asset, base, partition or ALL), version_id, dict(info or {}), guard)

    def get_ref(self, asset: str, *, partition: str | None = None, base: str | None = None) -> Ref | None:
        """What `asset` shows now; None if it was never set.

        Raises:
            StoreError: the ref file is damaged, or is that of a name in another case.
        """
        return self._refs.load(RefName(asset, base, partition or ALL))

    def list_refs(self, asset: str, base: str | None = None) -> dict[str, Ref]:
        """The refs of `asset` by partition (`__all__` for the one without), sorted by file name."""
        return self._refs.listed(asset, base)

    def list_bases(self, asset: str) -> list[str]:
        """The bases that `asset` has a ref of, sorted."""
        return self._refs.bases(asset)

    def delete_ref(self, asset: str, *, partition: str | None = None, base: str | None = None) -> bool:
        """Forget what `asset` shows; its versions stay. Returns whether there was such a ref."""
        return self._refs.delete(RefName(asset, base, partition or ALL))

    # Care

    def sweep(self, older_than: float = STALE_SECONDS) -> int:
        """Delete what killed writers left, if not touched for `older_than` seconds; returns how many.

        `commit` does this once per Store. Temporary files never count as content, swept or not.
        """
        return self._backend.sweep(older_than)

    def prune(
        self,
        keep_s: float,
        *,
        lapsing: Sequence[str] = (),
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> Pruned:
        """Delete versions that no ref leads to, and blobs of no version, if not used for `keep_s` seconds.

        lapsing: assets whose refs are deleted as well once they are that old, since they are of use only
        while someone works on them. See `prune.py` for what counts as used. Safe beside writers; killed, it
        leaves a whole store.
        """
        return _prune.prune(self._backend, keep_s, lapsing=lapsing, dry_run=dry_run, progress=progress)

    def _sweep_once(self) -> None:
        if not self._swept:
            self._swept = True
            self.sweep()

    def _name(self, content: Content) -> BlobRef:
        if isinstance(content, BlobRef):
            check_sha256(content.sha256, "SHA-256")
            return content
        return blobs.name(content)

    def _put_lacking(
        self,
        files: Mapping[str, Content],
        named: Mapping[str, BlobRef],
        known: bool,
        progress: Progress | None,
    ) -> None:
        """Write the blobs that are not there: one question for all of them, not one for each. Those that are
        count as used, unless a `known` version keeps them already."""
        held = self._backend.sizes({blob_key(blob.sha256) for blob in named.values()})
        first = {
            blob.sha256: path for path, blob in reversed(list(named.items()))
        }  # equal files are one blob

        def is_there(path: str) -> bool:
            key, size = blob_key(named[path].sha256), named[path].size
            return held.get(key) == size and (known or self._backend.touch(key, blobs.TOUCH_AFTER))

        answers = [is_there(path) for path in named] if known else map_all(is_there, list(named))
        lacking = [path for path, there in zip(named, answers, strict=True) if not there]
        there = len(named) - len(lacking)

        def put(path: str) -> None:
            blob, content = named[path], files[path]
            if isinstance(content, BlobRef):
                raise StoreError(
                    f"The blob {blob_key(blob.sha256)} of {blob.size} bytes, given for {path!r}, is not in "
                    f"the store at {self.root}: put it there first."
                )
            if first[blob.sha256] == path:
                blobs.write(self._backend, blob, content)

        if progress:
            for done in range(1, there + 1):
                progress(done, len(named))
        map_all(put, lacking, progress and (lambda done, _: progress(there + done, len(named))))

    def _resolve(self, version: Version | str) -> Version:
        return self.version(version) if isinstance(version, str) else version


def _regular_files(folder: Path, below: str = "") -> Iterator[tuple[str, Path]]:
    """(path in `a/b/c` form, file) of all files; not by `rglob`, which takes longer than hashing them."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            path = Path(entry.path)
            if entry.is_file(follow_symlinks=False):
                yield f"{below}{entry.name}", path
            elif entry.is_dir(follow_symlinks=False):
                yield from _regular_files(path, f"{below}{entry.name}/")
            else:
                raise StoreError(
                    f"{path} is a link or a device, not a file: put a copy of the file in its place."
                )
