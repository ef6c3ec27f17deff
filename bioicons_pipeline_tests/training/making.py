"""Small inputs made by hand for the tests of this room: icons, dataset versions, tiny bases."""

import hashlib
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

from bioicons_pipeline.store import Store

COLOURS = {"red": (200, 40, 40), "green": (40, 150, 60), "blue": (40, 70, 190), "grey": (120, 120, 120)}
SHAPES = ("cell", "tube", "plate")


def draw_png(index: int, size: int = 64) -> bytes:
    """A coloured shape on white; different for every index below 48 and beyond."""
    colour = list(COLOURS.values())[index % 4]
    image = Image.new("RGB", (size, size), "white")
    draw = ImageDraw.Draw(image)
    margin = size // 8 + (index // 12) % 4 * (size // 32)
    box = (margin, margin, size - margin, size - margin - (index % 5) * size // 32)
    shape = SHAPES[index % 3]
    if shape == "cell":
        draw.ellipse(box, fill=colour, outline="black")
    elif shape == "tube":
        draw.rounded_rectangle(box, radius=size // 6, outline=colour, width=max(2, size // 12))
    else:
        draw.rectangle(box, fill=colour)
    draw.point((index % size, index // size), fill=(0, 0, 0))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def make_rows(count: int, size: int = 64, start: int = 0) -> list[dict]:
    """Rows in the dataset's layout, two caption variants each."""
    rows = []
    for index in range(start, start + count):
        colour, shape = list(COLOURS)[index % 4], SHAPES[index % 3]
        caption = f"bioicons style, a {colour} {shape} number {index}, white background"
        icon_id = hashlib.sha256(f"icon {index}".encode()).hexdigest()[:16]
        rows.append(
            {
                "image": {"bytes": draw_png(index, size), "path": f"{icon_id}.png"},
                "caption": caption,
                "captions": [caption, f"icon {index}: {colour} {shape}"],
                "icon_id": icon_id,
                "sha256": hashlib.sha256(f"svg {index}".encode()).hexdigest(),
                "family_id": f"family-{index}",
                "category": "Cell_types",
                "author": "A. Painter",
                "author_url": None,
                "spdx": "CC0-1.0",
                "licence_url": "https://creativecommons.org/publicdomain/zero/1.0/",
                "source_url": f"https://example.org/{index}.svg",
            }
        )
    return rows


def parquet_bytes(rows: list[dict]) -> bytes:
    """The rows as one Parquet file."""
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer, row_group_size=8)
    return buffer.getvalue()


def commit_dataset(store: Store, train: list[dict], heldout: list[dict] | None = None) -> str:
    """Commit a dataset version with two training shards; returns its id."""
    half = max(1, len(train) // 2)
    files: dict[str, bytes] = {"README.md": b"# a dataset for tests\n"}
    for number, part in enumerate([train[:half], train[half:]]):
        if part:
            files[f"data/train-{number:05d}-of-00002.parquet"] = parquet_bytes(part)
    if heldout:
        files["data/heldout-00000-of-00001.parquet"] = parquet_bytes(heldout)
    return store.commit(files).id


def write_split(folder: Path, train: list[dict], heldout: list[dict] | None = None) -> Path:
    """The same as a folder, as it looks after a checkout."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "data" / "train-00000-of-00001.parquet").write_bytes(parquet_bytes(train))
    if heldout:
        (folder / "data" / "heldout-00000-of-00001.parquet").write_bytes(parquet_bytes(heldout))
    return folder


def arrays_equal(a, b) -> bool:
    """Bitwise equality of two arrays, NaN included."""
    return np.asarray(a).tobytes() == np.asarray(b).tobytes()
