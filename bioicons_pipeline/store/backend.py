"""Bytes under a root: atomic write, read, list, size, delete, for a local folder or any fsspec one.

A key is a relative path of safe ASCII parts (`blobs/ab/ab…`), made by `store.py` alone. Both backends
promise: `write` makes a key appear or change as a whole, and after `sync` it survives a power failure.

Does not belong here: what the keys mean. Local durability follows fsync(2) and rename(2): the file is
synced before it takes its name, and the folder after, since a name is an entry of the folder. Elsewhere
one `pipe_file` is one PUT, which object stores make visible as a whole
(https://filesystem-spec.readthedocs.io/en/latest/api.html).
"""

import io
import os
import secrets
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from bioicons_pipeline.store.errors import StoreError, explained

if TYPE_CHECKING:
    from upath import UPath

TEMPORARY = ".tmp-"
"""How names of half-written files begin. No quoted name or hash begins with a dot."""

_LOCAL_PROTOCOLS = {"", "file", "local"}


class Backend(Protocol):
    """What `Store` needs of a place; every OSError comes out as a StoreError."""

    root: Any

    def open(self, key: str) -> BinaryIO | None:
        """The content as a readable stream; None if there is no such key."""
        ...

    def size(self, key: str) -> int | None:
        """Bytes; None if there is no such key."""
        ...

    def write(self, key: str, chunks: Iterable[bytes]) -> None:
        """Set the content of `key`, whole or, if `chunks` raises or the disk is full, not at all."""
        ...

    def sync(self, folders: Iterable[str]) -> None:
        """Make the names in `folders`, and the folders themselves, survive a power failure."""
        ...

    def list(self, folder: str) -> list[str]:
        """Names of the complete files directly in `folder`, sorted; empty if there is no such folder."""
        ...

    def delete(self, key: str) -> bool:
        """Whether there was such a key to delete."""
        ...

    def sweep(self, older_than: float) -> int:
        """Delete temporary files not touched for `older_than` seconds; how many."""
        ...


def open_backend(root: "str | os.PathLike[str] | UPath") -> Backend:
    """The backend for `root`: a folder, a `file://` URL, or any URL that fsspec knows.

    Raises:
        StoreError: the root is empty, or nothing installed can open it.
    """
    if isinstance(root, Path) or (isinstance(root, str | os.PathLike) and "://" not in str(root)):
        if not str(root):
            raise StoreError("The store's root is empty: set it to a folder or a URL.")
        return LocalBackend(Path(root))
    try:
        from upath import UPath  # only here: fsspec costs more to import than the rest of the room

        path = UPath(root)
        if path.protocol in _LOCAL_PROTOCOLS:
            return LocalBackend(Path(path.path))
        return FsspecBackend(path)
    except (ImportError, ValueError) as error:
        raise StoreError(f"The store at {root} cannot be opened ({error}): install what it needs.") from error


class LocalBackend:
    """A folder of this machine, or one that is mounted like it."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()

    def open(self, key: str) -> BinaryIO | None:
        with explained(f"reading {key}", self.root):
            try:
                return (self.root / key).open("rb")
            except FileNotFoundError:
                return None

    def size(self, key: str) -> int | None:
        with explained(f"reading {key}", self.root):
            try:
                return (self.root / key).stat().st_size
            except FileNotFoundError:
                return None

    def write(self, key: str, chunks: Iterable[bytes]) -> None:
        with explained(f"writing {key}", self.root):
            write_atomically(self.root / key, chunks)

    def sync(self, folders: Iterable[str]) -> None:
        # A folder's own name is an entry of its parent, up to the root's.
        chains = {parent for name in folders for parent in (self.root / name / "_").parents}
        above = set(self.root.parents) - {self.root.parent}
        with explained("writing", self.root):
            for folder in sorted(chains - above, key=lambda path: len(path.parts), reverse=True):
                sync_folder(folder)

    def list(self, folder: str) -> list[str]:
        with explained(f"reading {folder}", self.root):
            try:
                with os.scandir(self.root / folder) as entries:
                    found = [entry.name for entry in entries if entry.is_file()]
            except FileNotFoundError:
                return []
        return sorted(name for name in found if not name.startswith("."))

    def delete(self, key: str) -> bool:
        target = self.root / key
        with explained(f"deleting {key}", self.root):
            try:
                target.unlink()
            except FileNotFoundError:
                return False
            sync_folder(target.parent)
        return True

    def sweep(self, older_than: float) -> int:
        swept = 0
        before = time.time() - older_than
        for part in ("blobs", "versions", "refs"):
            for folder, _, names in os.walk(self.root / part):
                for name in names:
                    if name.startswith(TEMPORARY):
                        swept += _delete_if_older(Path(folder, name), before)
        return swept


def _delete_if_older(path: Path, before: float) -> bool:
    # Another process may sweep the same file, or finish writing it, between the two calls.
    with suppress(OSError):
        if path.stat().st_mtime < before:
            path.unlink()
            return True
    return False


def write_atomically(target: Path, chunks: Iterable[bytes]) -> None:
    """Write `chunks` beside `target`, sync them, and rename; creates the folder. Raises OSError."""
    # The temporary name does not contain the target's: together they could be too long.
    temporary = target.with_name(f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(8)}")
    descriptor = _create(temporary)
    try:
        try:
            write_all(descriptor, chunks)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(target)
    except BaseException:  # Ctrl-C too leaves nothing behind
        with suppress(OSError):
            temporary.unlink()
        raise


def _create(path: Path) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        return os.open(path, flags, 0o666)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, flags, 0o666)


def write_all(descriptor: int, chunks: Iterable[bytes]) -> None:
    """Write every byte of `chunks` to an open file; write(2) may take only part of them."""
    for chunk in chunks:
        view = memoryview(chunk)
        while view:
            view = view[os.write(descriptor, view) :]


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable. Raises OSError, except where folders cannot be synced at all."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # Windows, or a parent that this user may pass through but not read
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class FsspecBackend:
    """Any other root (`memory://`, object stores): one write is one PUT, and there is nothing to sync."""

    def __init__(self, root: "UPath") -> None:
        self.root = root
        self._fs: Any = root.fs
        self._prefix = root.path.rstrip("/")

    def _path(self, key: str) -> str:
        return f"{self._prefix}/{key}"

    def open(self, key: str) -> BinaryIO | None:
        with explained(f"reading {key}", self.root):
            try:
                data = self._fs.cat_file(self._path(key))
            except FileNotFoundError:
                return None
        return io.BytesIO(bytes(data))

    def size(self, key: str) -> int | None:
        with explained(f"reading {key}", self.root):
            try:
                return self._fs.info(self._path(key))["size"]
            except FileNotFoundError:
                return None

    def write(self, key: str, chunks: Iterable[bytes]) -> None:
        data = b"".join(chunks)  # a stream that is closed early would be committed half: send it at once
        with explained(f"writing {key}", self.root):
            self._fs.pipe_file(self._path(key), data)

    def sync(self, folders: Iterable[str]) -> None:
        """Nothing to do: a PUT that returned is durable."""

    def list(self, folder: str) -> list[str]:
        with explained(f"reading {folder}", self.root):
            self._fs.invalidate_cache()  # another process may have written since
            try:
                found = self._fs.ls(self._path(folder), detail=True)
            except FileNotFoundError:
                return []
        names = (item["name"].rpartition("/")[2] for item in found if item["type"] == "file")
        return sorted(name for name in names if name and not name.startswith("."))

    def delete(self, key: str) -> bool:
        with explained(f"deleting {key}", self.root):
            try:
                self._fs.rm_file(self._path(key))
            except FileNotFoundError:
                return False
        return True

    def sweep(self, older_than: float) -> int:
        """Nothing to do: there are no temporary files. Returns 0."""
        return 0
