"""A version as a folder: complete, or not there at all.

The files are copies, not links: a checkout is for people and other programs to use, and an edit through
a hard link would change the blob, and with it every version that holds it. The folder is built beside its
destination and renamed (rename(2) is atomic within a file system).

Does not belong here: what is in the files.
"""

import os
import secrets
import shutil
import time
from contextlib import suppress
from pathlib import Path

from bioicons_pipeline.store import blobs
from bioicons_pipeline.store.backend import Backend
from bioicons_pipeline.store.errors import StoreError, explained
from bioicons_pipeline.store.local import sync_folder, write_all
from bioicons_pipeline.store.names import check_paths
from bioicons_pipeline.store.parallel import Progress, map_all
from bioicons_pipeline.store.records import FileEntry, Version

STAGING = ".bioicons-checkout-"
"""How names of unfinished checkouts begin."""

STALE_SECONDS = 24 * 3600.0
"""Age from which what a killed process left is deleted; nothing takes this long to write one file."""


def checkout(
    backend: Backend, version: Version, dest: Path, prefix: str, replace: bool, progress: Progress | None
) -> Path:
    """See `Store.checkout`."""
    dest = Path(dest).absolute()
    files = _below(version, prefix)
    _check_free(dest, replace)
    with explained("checking out files", dest):
        dest.parent.mkdir(parents=True, exist_ok=True)
        _sweep(dest.parent)
        staging = dest.with_name(f"{STAGING}{os.getpid()}-{secrets.token_hex(8)}")
        try:
            staging.mkdir()
            for folder in sorted({(staging / path).parent for path, _ in files}):
                folder.mkdir(parents=True, exist_ok=True)
            map_all(lambda item: _copy(backend, item[1], staging / item[0]), files, progress)
            for folder, _, _ in os.walk(staging):
                sync_folder(Path(folder))
            _move_into_place(staging, dest, replace)
            sync_folder(dest.parent)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return dest


def _below(version: Version, prefix: str) -> list[tuple[str, FileEntry]]:
    check_paths(entry.path for entry in version.files)  # a Version can be built by hand
    folder = prefix.strip("/") + "/" if prefix.strip("/") else ""
    files = [
        (entry.path.removeprefix(folder), entry) for entry in version.files if entry.path.startswith(folder)
    ]
    if folder and not files:
        raise StoreError(f"Version {version.id[:12]} has no folder {prefix!r} to check out.")
    return files


def _check_free(dest: Path, replace: bool) -> None:
    with explained("checking out files", dest):
        if dest.is_symlink() or (dest.exists() and not dest.is_dir()):
            raise StoreError(f"{dest} is a file or a link: check out to another place, or remove it.")
        if not replace and dest.is_dir() and any(dest.iterdir()):
            raise StoreError(f"The folder {dest} is not empty: check out to another place, or remove it.")


def _copy(backend: Backend, entry: FileEntry, target: Path) -> None:
    # O_EXCL: two paths that are one file here (a case-insensitive file system) must not merge silently.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(target, flags, 0o666)
    except FileExistsError as error:
        raise StoreError(
            f"{entry.path!r} and another file of the version are one file in {target.parent}, whose file "
            "system does not tell their names apart: check out elsewhere."
        ) from error
    try:
        write_all(descriptor, blobs.chunks_of(backend, entry.sha256, entry.path))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _move_into_place(staging: Path, dest: Path, replace: bool) -> None:
    if not (replace and dest.exists()):
        staging.replace(dest)  # over an empty folder this works too
        return
    # A folder with files cannot be replaced in one step. A kill in between leaves none, not a mixture.
    old = staging.with_name(f"{staging.name}-old")
    dest.replace(old)
    try:
        staging.replace(dest)
    except BaseException:
        old.replace(dest)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _sweep(parent: Path) -> None:
    before = time.time() - STALE_SECONDS
    for folder in _staging_folders(parent):
        with suppress(OSError):
            if folder.stat().st_mtime < before:
                shutil.rmtree(folder, ignore_errors=True)


def _staging_folders(parent: Path) -> list[Path]:
    return [path for path in parent.iterdir() if path.name.startswith(STAGING) and path.is_dir()]
