"""Bodies of S3 requests: downloads that go on after a cut, contents in parts of one size.

Does not belong here: which object it is (`s3.py`).
"""

import io
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from bioicons_pipeline.store import s3_errors
from bioicons_pipeline.store.errors import StoreError
from bioicons_pipeline.store.s3_errors import explained_s3

PAUSE_S = 0.2
"""Before a cut download goes on; doubled each time."""


class Download(io.RawIOBase):
    """The body of an object; a connection that is cut goes on from where it was."""

    def __init__(
        self, got: dict[str, Any], again: Callable[[int], dict[str, Any] | None], doing: str, root: str
    ) -> None:
        self._body, self._again, self._doing, self._root = got["Body"], again, doing, root
        self._offset = self._cuts = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        from botocore.exceptions import HTTPClientError, IncompleteReadError

        while True:
            try:
                data = self._body.read(len(buffer))
            except (HTTPClientError, IncompleteReadError):
                if self._cuts + 1 >= s3_errors.ATTEMPTS:
                    with explained_s3(self._doing, self._root):
                        raise
                self._go_on()
                continue
            buffer[: len(data)] = data
            self._offset += len(data)
            return len(data)

    def _go_on(self) -> None:
        time.sleep(PAUSE_S * 2**self._cuts)
        self._cuts += 1
        got = self._again(self._offset)
        if got is None:
            raise StoreError(
                f"{self._doing[:1].upper()}{self._doing[1:]} at {self._root} failed, because it was deleted "
                "or replaced meanwhile: run it again."
            )
        self._body = got["Body"]

    def close(self) -> None:
        if not self.closed:
            self._body.close()
        super().close()


def parts_of(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The same bytes in pieces of `size`; the last one is what is left."""
    held: list[memoryview] = []
    length = 0
    for chunk in chunks:
        rest = memoryview(chunk)  # its slices are no copies: a chunk may be as large as a file
        while length + len(rest) >= size:
            held.append(rest[: size - length])
            rest = rest[size - length :]
            yield b"".join(held)
            held, length = [], 0
        if rest:
            held.append(rest)
            length += len(rest)
    if length:
        yield b"".join(held)
