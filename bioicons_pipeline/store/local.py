"""Bytes in a folder: the backend of a path, durable and safe beside other processes.

Durability follows fsync(2) and rename(2): a file is synced before it takes its name, and the folder after,
since a name is an entry of the folder. Does not belong here: what the keys mean (see `backend.Backend`).
"""

import hashlib
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from bioicons_pipeline.store.errors import explained

TEMPORARY = ".tmp-"
"""How names of half-written files begin. No quoted name or hash begins with a dot."""
EXPIRING = ".expiring-"
"""How a file is called in the moment between being found unused and being deleted."""
LOCK = ".lock"
"""File in the root that conditional writes take turns by; held for one small file's write."""


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

    def sizes(self, keys: Iterable[str]) -> dict[str, int]:
        return {key: size for key in keys if (size := self.size(key)) is not None}

    def write(self, key: str, chunks: Iterable[bytes]) -> None:
        with explained(f"writing {key}", self.root):
            write_atomically(self.root / key, chunks)

    def read_tagged(self, key: str) -> tuple[bytes, str] | None:
        with explained(f"reading {key}", self.root):
            try:
                data = (self.root / key).read_bytes()
            except FileNotFoundError:
                return None
        return data, hashlib.sha256(data).hexdigest()

    def write_if(self, key: str, data: bytes, expected: str | None) -> bool:
        with explained(f"writing {key}", self.root), _locked(self.root / LOCK):
            if tag_of(self.read_tagged(key)) != expected:
                return False
            write_atomically(self.root / key, [data])
            self.sync([key.rpartition("/")[0]])
        return True

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
        for part in ("blobs", "versions", "refs", "leases"):
            for folder, _, names in os.walk(self.root / part):
                for name in names:
                    if name.startswith(EXPIRING):
                        with suppress(OSError):  # another process may be restoring it too
                            _restore(Path(folder, name))
                    elif name.startswith(TEMPORARY):
                        swept += _delete_if_older(Path(folder, name), before)
        return swept

    def keys(self, folder: str) -> Iterator[str]:
        for where, _, names in os.walk(self.root / folder):
            for name in names:
                if not name.startswith("."):
                    yield Path(where, name).relative_to(self.root).as_posix()

    def used(self, key: str) -> float | None:
        with explained(f"reading {key}", self.root):
            try:
                return (self.root / key).stat().st_mtime
            except FileNotFoundError:
                return None

    def touch(self, key: str, after: float) -> bool:
        with explained(f"writing {key}", self.root):
            try:
                if time.time() - (self.root / key).stat().st_mtime > after:
                    os.utime(self.root / key)
            except FileNotFoundError:
                return False
            except PermissionError:  # another user's file in a shared store: its own use counts
                return True
        return True

    def expire(self, key: str, before: float) -> bool:
        target = self.root / key
        aside = target.with_name(f"{EXPIRING}{target.name}")
        with explained(f"deleting {key}", self.root):
            try:
                if target.stat().st_mtime >= before:
                    return False
                # Out of the way first: a touch after this finds nothing, and one before it shows now.
                target.rename(aside)
                if aside.stat().st_mtime >= before:
                    _restore(aside)
                    return False
                aside.unlink()
            except FileNotFoundError:
                return False
        return True


def _restore(aside: Path) -> None:
    """Give a file back its name that an `expire` took, unless a writer has given that name away since: a
    rename would put the old ref over the newer one. Raises OSError."""
    target = aside.with_name(aside.name.removeprefix(EXPIRING))
    try:
        os.link(aside, target)  # the one call that finds out and takes the name in one step
        sync_folder(target.parent)
    except FileExistsError:
        pass
    except OSError:  # no hard links here, or not to another user's file: there is a gap between these two
        if not target.exists():
            aside.rename(target)
            return
    aside.unlink()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`; the system frees it when the process ends, however it ends."""
    import fcntl  # not on Windows

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


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


def tag_of(found: tuple[bytes, str] | None) -> str | None:
    return None if found is None else found[1]
