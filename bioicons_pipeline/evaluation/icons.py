"""The real icons of an evaluation: held-out ones to measure against, training ones to be compared with.

Belongs here: reading them from a dataset that was checked out, choosing among many. Does not belong here:
the dataset's format (dataset), encodings (`losses`).
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
from PIL import Image

from bioicons_pipeline.training.data import IconSet

_FACTS = ("icon_id", "name", "category", "author", "spdx", "source_url", "family_id", "caption")


@dataclass(frozen=True)
class RealIcon:
    """One row of the dataset; `png` on white, as large as the dataset has it."""

    icon_id: str
    name: str
    category: str
    author: str
    spdx: str
    source_url: str
    family_id: str
    caption: str
    png: bytes

    def image(self, size: int) -> Image.Image:
        """RGB at `size` px, scaled as training does."""
        with Image.open(io.BytesIO(self.png)) as picture:
            return picture.convert("RGB").resize((size, size), Image.Resampling.LANCZOS)


def read_split(folder: Path, split: str) -> list[RealIcon]:
    """Icons of `train` or `heldout` in order of icon_id; `folder` as `open_dataset` takes it."""
    found = []
    for path in sorted((folder / "data").glob(f"{split}-*.parquet")):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=16, columns=[*_FACTS, "image"]):
                found += [
                    RealIcon(**{name: str(row[name] or "") for name in _FACTS}, png=row["image"]["bytes"])
                    for row in batch.to_pylist()
                ]
    return sorted(found, key=lambda icon: icon.icon_id)


def subset(icon_set: IconSet, icons: list[RealIcon]) -> IconSet:
    """The rows of `icon_set` that are among `icons`, in the order of `icons`."""
    by_id = {icon.icon_id: icon for icon in icon_set.icons}
    return IconSet(tuple(by_id[icon.icon_id] for icon in icons), icon_set.files)
