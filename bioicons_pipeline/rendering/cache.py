"""Renderings by content: the SVG's sha256 and the settings' key address the result.

Belongs here: where a finished rendering is kept between runs. Not here: what is rendered. An icon that
moved to another category or commit has the same bytes and so the same entry.
"""

import hashlib
import os
from pathlib import Path
from typing import Protocol

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.whole import replace_whole


class CacheError(BioiconsError):
    """The folder of renderings cannot be read or written (a full disk); nothing half-written is left."""


class ByteCache(Protocol):
    """What `render_many` asks of a cache: `RenderCache`, or anything with these two methods."""

    def get(self, key: str) -> bytes | None: ...

    def put(self, key: str, value: bytes) -> None: ...


def cache_key(svg: bytes, settings_key: str) -> str:
    """The address (hex) of the rendering of `svg` under the settings with that key."""
    return hashlib.sha256(hashlib.sha256(svg).digest() + settings_key.encode()).hexdigest()


class RenderCache:
    """A folder of finished renderings, `<aa>/<key>`; safe to share between processes and to delete."""

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = Path(folder)

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / key

    def get(self, key: str) -> bytes | None:
        """The bytes last put under `key`, or None."""
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(error) from error

    def put(self, key: str, value: bytes) -> None:
        """Store whole or not at all: written beside, synced, then renamed. Raises `CacheError`."""
        try:
            replace_whole(self._path(key), value)
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> CacheError:
        return CacheError(
            f"The folder of renderings {self.folder} cannot be used ({error.strerror}): free some space or "
            "choose another."
        )
