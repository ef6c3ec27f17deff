"""Blobs: bytes named by their SHA-256, checked whenever they are read.

Does not belong here: which file of which version a blob is. SHA-256 is that of FIPS 180-4.
"""

import hashlib
import stat
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from bioicons_pipeline.store.backend import Backend
from bioicons_pipeline.store.errors import DamagedBlobError, StoreError, explained
from bioicons_pipeline.store.records import BlobRef

CHUNK = 1 << 20
TOUCH_AFTER = 6 * 3600.0
"""Seconds after which a blob that is used again is noted to be: far less than anything is kept for."""


def blob_key(sha256: str) -> str:
    """Where the blob of this hash is."""
    return f"blobs/{sha256[:2]}/{sha256}"


def name(data: bytes | Path) -> BlobRef:
    """What the blob of these bytes, or of this file, is called."""
    if isinstance(data, bytes):
        return BlobRef(hashlib.sha256(data).hexdigest(), len(data))
    return _hash_file(data)


def write(backend: Backend, blob: BlobRef, data: bytes | Path) -> None:
    """Store the content of `blob`, whether or not it is there."""
    chunks = iter([data]) if isinstance(data, bytes) else _file_chunks(data, blob.sha256)
    backend.write(blob_key(blob.sha256), chunks)


def put(backend: Backend, data: bytes | Path) -> BlobRef:
    """See `Store.put_blob`."""
    blob = name(data)
    # A file of another size under this name was damaged from outside, and is healed by this write.
    # One that is there counts as used again, so that nobody prunes it before a version names it.
    key = blob_key(blob.sha256)
    if backend.size(key) != blob.size or not backend.touch(key, TOUCH_AFTER):
        write(backend, blob, data)
    return blob


def chunks_of(backend: Backend, sha256: str, used_as: str = "", *, discard: bool = True) -> Iterator[bytes]:
    """The bytes of a blob; `used_as` tells people which file it is.

    discard: delete it where it is damaged, which is made sure of by a second look. A blob of the right size
    counts as there, so nobody would ever make it again.

    Raises:
        DamagedBlobError: the blob is missing, or (after the last chunk) its content is not that of its name.
    """
    key = blob_key(sha256)
    what = f"The blob {key}{f' ({used_as})' if used_as else ''} of the store at {backend.root}"
    remedy = "run the stage that made it again, from its source"
    stream = backend.open(key)
    if stream is None:
        raise DamagedBlobError(f"{what} is missing: {remedy}.")
    with explained(f"reading {key}", backend.root):
        found = yield from _hashed(stream)
        if found != sha256:
            removed = discard and _discard(backend, key, found)
            advice = f"it was deleted, so {remedy}" if removed else f"delete that file and {remedy}"
            raise DamagedBlobError(f"{what} is damaged: {advice}.")


def _discard(backend: Backend, key: str, wrong: str) -> bool:
    """Delete a blob if it still has the hash `wrong`; a bad read, or a new writer, is no reason to."""
    with suppress(StoreError):
        stream = backend.open(key)
        if stream is None:
            return True
        again = hashlib.sha256()
        with stream:
            while chunk := stream.read(CHUNK):
                again.update(chunk)
        return again.hexdigest() == wrong and backend.delete(key)
    return False  # these credentials may not


def _hashed(stream: BinaryIO) -> Generator[bytes, None, str]:
    """Pass the bytes on; returns their SHA-256."""
    digest = hashlib.sha256()
    with stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
            yield chunk
    return digest.hexdigest()


def _hash_file(path: Path) -> BlobRef:
    with explained("reading", path):
        if not stat.S_ISREG(path.stat().st_mode):  # before opening it: a pipe would wait for ever
            raise StoreError(f"{path} is not a regular file and cannot be stored: give a file.")
        with path.open("rb", buffering=0) as stream:
            data = stream.read(CHUNK)
            if len(data) < CHUNK:  # `file_digest` makes a large buffer, most of the time for a small file
                data += stream.read()
                return BlobRef(hashlib.sha256(data).hexdigest(), len(data))
            stream.seek(0)
            digest = hashlib.file_digest(stream, "sha256")
            return BlobRef(digest.hexdigest(), stream.tell())


def _file_chunks(path: Path, sha256: str) -> Iterator[bytes]:
    with explained("reading", path):
        if (yield from _hashed(path.open("rb"))) != sha256:
            raise StoreError(
                f"The file {path} changed while it was being stored: run it again when nothing writes to it."
            )
