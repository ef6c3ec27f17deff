"""What a training says when its disk is full.

Belongs here: turning an error of the operating system into one sentence. Checkpoints, encodings, validation
pictures and curves are all written by the trainer itself; what goes into the store has sentences of its own.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from bioicons_pipeline.training.errors import TrainingError

_UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})


@contextmanager
def full_disk_said(folder: str) -> Iterator[None]:
    """A failed write inside the block as one sentence; `folder` is named where the error names no file.

    Raises:
        TrainingError: there is no space left, a quota is used up, or the disk cannot be written at all.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        raise TrainingError(
            f"{error.filename or folder} cannot be written ({error.strerror}): free some space there and run "
            "it again; it goes on from its last checkpoint."
        ) from error
