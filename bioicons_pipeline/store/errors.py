"""The store's error, and how the operating system's errors become one sentence of it.

Does not belong here: what to do about damage (`Store.verify`) or retries; a full disk does not empty
itself. The meaning of the numbers is that of errno(3).
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from bioicons_pipeline.errors import BioiconsError

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
_NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS}
_NO_FOLDER = {errno.ENOTDIR, errno.EEXIST}


class StoreError(BioiconsError):
    """The store cannot be read or written, or holds something damaged; one clear sentence."""


class DamagedBlobError(StoreError):
    """A blob is missing, or its content is not that of its name; it can be made again from its source."""


@contextmanager
def explained(doing: str, place: object) -> Iterator[None]:
    """Turn an OSError inside the block into a StoreError about `doing` ("storing x") at `place`."""
    try:
        yield
    except OSError as error:
        raise StoreError(_sentence(error, doing, place)) from error


def _sentence(error: OSError, doing: str, place: object) -> str:
    failed = f"{doing[:1].upper()}{doing[1:]} at {place} failed"
    if error.errno in _NO_SPACE:
        return (
            f"{failed}, because no space is left: free some there and run it again; what was stored before "
            "is untouched."
        )
    if error.errno in _NOT_ALLOWED:
        return (
            f"{failed}, because the system does not allow it ({error.strerror}): give this user access, or "
            "choose another place."
        )
    if error.errno in _NO_FOLDER:
        return f"{failed}, because a file stands where a folder should be: move it, or choose another place."
    if error.errno == errno.ENOTEMPTY:
        return f"{failed}, because another program put files there meanwhile: choose another place."
    if error.errno == errno.ENOENT:
        return f"{failed}, because {error.filename or place} does not exist: check the path."
    if error.errno == errno.ENAMETOOLONG:
        return f"{failed}, because a name is too long for that file system: shorten it."
    return f"{failed} ({error.strerror or error}): check that disk and run it again."
