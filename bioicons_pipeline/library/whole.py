"""Writing a file so that it is there whole or not at all.

Belongs here: that one function, for caches and exports on a local disk. Does not belong here: the artifact
store, which has its own.
"""

import contextlib
import os
import secrets
from pathlib import Path

from bioicons_pipeline.errors import BioiconsError


class WriteError(BioiconsError):
    """A file cannot be written; what was at its place before is still there."""


def write_whole(path: Path, data: bytes) -> None:
    """Write `path` so that nobody ever sees half of it.

    Raises:
        WriteError: the disk is full, or the folder cannot be written.
    """
    scratch: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # not mkstemp, whose files only their maker may read: these are shared
        scratch = path.with_name(f".writing-{secrets.token_hex(8)}")
        with scratch.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except OSError as error:
        _remove(scratch)
        raise WriteError(
            f"{path} cannot be written ({error.strerror}): free some space or choose another folder."
        ) from error
    except BaseException:
        _remove(scratch)
        raise


def _remove(scratch: Path | None) -> None:
    if scratch is not None:
        with contextlib.suppress(OSError):
            scratch.unlink()
