"""Which row lies in which Parquet shard, so that a change rewrites only the shards whose icons changed.

Belongs here: names of shards and the rows of each. Does not belong here: writing them (`build`).

A category's split is one shard up to SHARD_ROWS icons. Above, it is taken apart by the leading bits of a
hash of the icon_id, as extendible hashing does (Fagin et al. 1979, doi:10.1145/320083.320092): only the
part that has grown too large is halved, the others keep their name and their bytes. Numbering the rows
through instead would move every row behind a new one into another place.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

SHARD_ROWS = 128
"""Most icons of a shard; at 1024 px about 15 MB."""
_BITS = 64


class Row(Protocol):
    """What sharding looks at."""

    @property
    def icon_id(self) -> str:
        """Stable id of the icon."""
        ...

    @property
    def category(self) -> str:
        """Its category."""
        ...

    @property
    def split(self) -> str:
        """Its side of the split."""
        ...


AnyRow = TypeVar("AnyRow", bound=Row)


def shard_name(category: str, split: str, bits: str = "") -> str:
    """Path of a shard inside the dataset: ASCII, unique per category, split and leading `bits`."""
    slug = re.sub(r"[^a-z0-9]+", "-", category.lower()).strip("-")
    if category != slug.capitalize():  # several categories may share a slug: the hash keeps them apart
        slug = f"{slug}-{hashlib.sha256(category.encode()).hexdigest()[:8]}"
    # No slug has an underscore, so no category's name can be another's with bits.
    return f"data/{split}-{slug}{f'_{bits}' if bits else ''}.parquet"


def shards_of(rows: Iterable[AnyRow], limit: int = SHARD_ROWS) -> dict[str, list[AnyRow]]:
    """Name of the shard -> its rows in order of icon_id; no shard is empty."""
    groups: dict[tuple[str, str], list[AnyRow]] = {}
    for row in rows:
        groups.setdefault((row.category, row.split), []).append(row)
    return {
        shard_name(category, split, bits): sorted(members, key=lambda row: row.icon_id)
        for (category, split), group in groups.items()
        for bits, members in _halved([(_bits(row.icon_id), row) for row in group], "", limit)
    }


def _bits(icon_id: str) -> str:
    digest = hashlib.sha256(icon_id.encode()).digest()
    return f"{int.from_bytes(digest[: _BITS // 8], 'big'):0{_BITS}b}"


def _halved(
    rows: Sequence[tuple[str, AnyRow]], prefix: str, limit: int
) -> Iterable[tuple[str, list[AnyRow]]]:
    """(leading bits, rows) of each part of `rows`, all of which begin with `prefix`."""
    if len(rows) <= limit or len(prefix) == _BITS:
        if rows:
            yield prefix, [row for _, row in rows]
        return
    for bit in "01":
        yield from _halved([pair for pair in rows if pair[0][len(prefix)] == bit], prefix + bit, limit)
