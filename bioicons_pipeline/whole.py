"""Writing a file so that it is there whole or not at all.

Belongs here: one file on a local disk, for caches and exports of every room. Does not belong here: the
artifact store, which has its own (files larger than memory, folders that must outlive a power cut).
"""

import contextlib
import os
import secrets
import tempfile
from pathlib import Path

from bioicons_pipeline.errors import BioiconsError

SCRATCH = ".writing-"
"""How the names of files begin that are being written."""


class WriteError(BioiconsError):
    """A file cannot be written; what was at its place before is still there."""


def write_whole(path: Path, data: bytes) -> None:
    """Write `path` so that nobody ever sees half of it; its folder is made.

    Raises:
        WriteError: the disk is full, or the folder cannot be written.
    """
    try:
        replace_whole(path, data)
    except OSError as error:
        raise WriteError(
            f"{path} cannot be written ({error.strerror}): free some space or choose another folder."
        ) from error


def check_writable(out: Path) -> None:
    """Before minutes of work are lost whose result belongs in the folder `out`; makes nothing.

    Raises:
        WriteError: it is no folder, or the disk refuses.
    """
    try:
        there = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        what = "is a file, not a folder" if out.is_file() else f"cannot be written ({error.strerror})"
        raise WriteError(f"{out} {what}: choose another folder with --out.") from error


def replace_whole(path: Path, data: bytes) -> None:
    """`write_whole` for a room that has a sentence of its own for a disk that is full. Raises OSError."""
    # not mkstemp, whose files only their maker may read: these are shared. Named before it exists: a Ctrl-C
    # at any moment finds the clean-up below in force.
    scratch = path.with_name(f"{SCRATCH}{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with scratch.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            scratch.unlink()
        raise
