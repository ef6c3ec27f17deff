"""What the store hands out: blob, version, ref; and the JSON that versions and refs are stored as.

Does not belong here: reading or writing them. The version's JSON is canonical (sorted keys and paths, no
spaces, ASCII; after RFC 8785 where the two overlap), because its SHA-256 is the version's id.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from bioicons_pipeline.store.errors import StoreError
from bioicons_pipeline.store.names import check_paths, check_sha256

FORMAT = 1


@dataclass(frozen=True)
class BlobRef:
    """Bytes in the store: SHA-256 in hex, size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class FileEntry:
    """One file of a version: path in `a/b/c` form, SHA-256 in hex, size in bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Damage:
    """A file of a version whose blob cannot be trusted."""

    path: str
    sha256: str
    problem: Literal["missing", "wrong size", "wrong content"]


@dataclass(frozen=True)
class Version:
    """A complete, immutable list of files, sorted by path; `id` is the SHA-256 of its JSON."""

    id: str
    files: tuple[FileEntry, ...]

    @cached_property
    def _by_path(self) -> dict[str, FileEntry]:
        return {entry.path: entry for entry in self.files}

    def entry(self, path: str) -> FileEntry:
        """The file at `path`.

        Raises:
            StoreError: this version has no such file.
        """
        if path not in self._by_path:
            raise StoreError(
                f"Version {self.id[:12]} has no file {path!r}: it was made by another stage or code."
            )
        return self._by_path[path]

    @classmethod
    def of(cls, entries: Iterable[FileEntry]) -> "Version":
        """The version that consists of `entries`, in any order.

        Raises:
            StoreError: a path that cannot be stored, see `check_paths`.
        """
        files = tuple(sorted(entries, key=lambda entry: entry.path))
        check_paths(entry.path for entry in files)
        return cls(hashlib.sha256(_version_json(files)).hexdigest(), files)

    def to_json(self) -> bytes:
        """The canonical JSON whose hash is `id`."""
        return _version_json(self.files)

    @classmethod
    def from_json(cls, data: bytes, version_id: str) -> "Version":
        """The version stored as `data`.

        Raises:
            StoreError: `data` is not what was stored under `version_id`.
        """
        damaged = f"The version file {version_id}.json is damaged: run the stage that made it again."
        if hashlib.sha256(data).hexdigest() != version_id:
            raise StoreError(damaged)
        try:
            files = [
                FileEntry(item["path"], item["sha256"], item["size"]) for item in json.loads(data)["files"]
            ]
            for entry in files:
                check_sha256(entry.sha256, "SHA-256")
            version = cls.of(files)
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(damaged) from error
        if version.id != version_id:  # well-formed, yet not in canonical form: nobody but us writes here
            raise StoreError(damaged)
        return version


def _version_json(files: tuple[FileEntry, ...]) -> bytes:
    listed = [{"path": entry.path, "sha256": entry.sha256, "size": entry.size} for entry in files]
    return json.dumps({"files": listed, "format": FORMAT}, sort_keys=True, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Ref:
    """What an asset shows now: the version, when it was written (ISO 8601, UTC), facts about it."""

    version_id: str
    written_at: str
    info: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RefName:
    """Whose ref it is; `partition` is `__all__` for an asset without partitions."""

    asset: str
    base: str | None
    partition: str


class DamagedRefError(StoreError):
    """A ref file that is not one."""


def ref_to_json(name: RefName, ref: Ref) -> bytes:
    """A ref file for people and programs.

    Raises:
        TypeError, ValueError: `info` cannot be written as JSON (an object, NaN): a bug of the caller.
    """
    record = {
        "asset": name.asset,
        "base": name.base,
        "partition": name.partition,
        "version_id": ref.version_id,
        "written_at": ref.written_at,
        "info": ref.info,
    }
    return (json.dumps(record, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def ref_from_json(data: bytes, key: str) -> tuple[RefName, Ref]:
    """Name and content of the ref file `key`.

    Raises:
        DamagedRefError: it is no ref file.
    """
    try:
        record = json.loads(data)
        name = RefName(record["asset"], record["base"], record["partition"])
        version_id = check_sha256(record["version_id"], "version id")
        return name, Ref(version_id, str(record["written_at"]), dict(record["info"] or {}))
    except (ValueError, KeyError, TypeError, StoreError) as error:
        raise DamagedRefError(
            f"The ref file {key} is damaged: run the stage that writes it again."
        ) from error
