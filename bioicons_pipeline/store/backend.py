"""What the store needs of a place for its bytes, and which place a root is.

A key is a relative path of safe ASCII parts (`blobs/ab/ab…`), made by `store.py` alone. All backends
promise: `write` makes a key appear or change as a whole, and after `sync` it survives a power failure.

Does not belong here: what the keys mean, and the places: a folder (`local.py`), a bucket (`s3.py`), any other
root that fsspec knows (`other.py`).
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from bioicons_pipeline.store.errors import StoreError, explained
from bioicons_pipeline.store.local import LocalBackend

if TYPE_CHECKING:
    from upath import UPath

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

    def sizes(self, keys: Iterable[str]) -> dict[str, int]:
        """Bytes by key, of those of `keys` that are there; made for thousands."""
        ...

    def write(self, key: str, chunks: Iterable[bytes]) -> None:
        """Set the content of `key`, whole or, if `chunks` raises or the disk is full, not at all."""
        ...

    def read_tagged(self, key: str) -> tuple[bytes, str] | None:
        """The content and a tag that differs whenever the content does; None if there is no such key."""
        ...

    def write_if(self, key: str, data: bytes, expected: str | None) -> bool:
        """Write, durably, only if the key's tag is `expected` (None: only if there is no such key).

        False if it is another, and then nothing changed. Of several at once, one wins. It excludes other
        calls of `write_if`, not plain writes.
        """
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

    def keys(self, folder: str) -> Iterator[str]:
        """Every complete key below `folder`, at any depth, in any order; none if there is no such folder."""
        ...

    def used(self, key: str) -> float | None:
        """When `key` was last written or touched, seconds since 1970; None if there is no such key."""
        ...

    def touch(self, key: str, after: float) -> bool:
        """Count `key` as used now, if it was not within `after` seconds; whether there is such a key."""
        ...

    def expire(self, key: str, before: float) -> bool:
        """Delete `key` if it was last used before `before`; whether it did. Who touches it meanwhile either
        keeps it, or is told that there is none."""
        ...


def open_backend(root: "str | os.PathLike[str] | UPath") -> Backend:
    """The backend for `root`: a folder, a `file://` URL, `s3://bucket/prefix`, or any URL fsspec knows.

    Raises:
        StoreError: the root is empty, or nothing installed can open it.
    """
    if isinstance(root, Path) or (isinstance(root, str | os.PathLike) and "://" not in str(root)):
        if not str(root):
            raise StoreError("The store's root is empty: set it to a folder or a URL.")
        return LocalBackend(Path(root))
    if str(root).startswith("s3://"):
        from bioicons_pipeline.store.s3 import S3Backend

        return S3Backend(str(root))
    try:
        from upath import UPath  # only here: fsspec costs more to import than the rest of the room

        path = UPath(root)
        if path.protocol in _LOCAL_PROTOCOLS:
            return LocalBackend(Path(path.path))
        from bioicons_pipeline.store.other import OtherBackend

        return OtherBackend(path)
    except (ImportError, ValueError) as error:
        raise StoreError(f"The store at {root} cannot be opened ({error}): install what it needs.") from error


def read_whole(backend: Backend, key: str) -> bytes | None:
    """The bytes under a key; None where there is nothing.

    Raises:
        StoreError: they cannot be read.
    """
    stream = backend.open(key)
    if stream is None:
        return None
    with explained(f"reading {key}", backend.root), stream:
        return stream.read()
