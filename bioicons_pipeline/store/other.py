"""Bytes under any other root that fsspec knows, such as `memory://`: one write is one PUT.

One `pipe_file` is made visible as a whole by object stores
(https://filesystem-spec.readthedocs.io/en/latest/api.html). Does not belong here: S3, which has a backend of
its own (`s3.py`), and what the keys mean (see `backend.Backend`).
"""

import hashlib
import io
import threading
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from bioicons_pipeline.store.errors import explained
from bioicons_pipeline.store.local import tag_of

if TYPE_CHECKING:
    from upath import UPath

_FSSPEC_WRITES = threading.Lock()


class OtherBackend:
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

    def sizes(self, keys: Iterable[str]) -> dict[str, int]:
        return {key: size for key in keys if (size := self.size(key)) is not None}

    def write(self, key: str, chunks: Iterable[bytes]) -> None:
        data = b"".join(chunks)  # a stream that is closed early would be committed half: send it at once
        with explained(f"writing {key}", self.root):
            self._fs.pipe_file(self._path(key), data)

    def read_tagged(self, key: str) -> tuple[bytes, str] | None:
        stream = self.open(key)
        if stream is None:
            return None
        data = stream.read()
        return data, hashlib.sha256(data).hexdigest()

    def write_if(self, key: str, data: bytes, expected: str | None) -> bool:
        """Best effort: fsspec has no conditional write, so only this process's threads take turns."""
        with _FSSPEC_WRITES:
            if tag_of(self.read_tagged(key)) != expected:
                return False
            self.write(key, [data])
        return True

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

    def keys(self, folder: str) -> Iterator[str]:
        with explained(f"reading {folder}", self.root):
            self._fs.invalidate_cache()
            try:
                found = self._fs.find(self._path(folder))
            except FileNotFoundError:
                return
        for name in found:
            yield name.removeprefix(f"{self._prefix}/")

    def used(self, key: str) -> float | None:
        with explained(f"reading {key}", self.root):
            try:
                return self._fs.modified(self._path(key)).timestamp()
            except FileNotFoundError:
                return None

    def touch(self, key: str, after: float) -> bool:
        used = self.used(key)
        if used is not None and time.time() - used > after:
            # The same bytes again: there is no other way that every file system knows.
            data = self.open(key)
            if data is None:
                return False
            self.write(key, [data.read()])
        return used is not None

    def expire(self, key: str, before: float) -> bool:
        used = self.used(key)
        return used is not None and used < before and self.delete(key)
