"""Writes the dataset's files into a folder: shards, card, credits, licence texts, facts.

Identical input gives identical bytes: rows are sorted by icon_id, no time is written. Memory is flat in
the number of icons: a row's picture is read when its row group is written.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bioicons_pipeline.dataset.card import card_markdown
from bioicons_pipeline.dataset.schema import SPLITS, dataset_schema
from bioicons_pipeline.dataset.sharding import shards_of
from bioicons_pipeline.dataset.weights import sampling_weights
from bioicons_pipeline.library import credits

ROW_GROUP = 32
"""Rows held in memory at once; 32 pictures of 1024 px are about 4 MB of PNG."""


@dataclass(frozen=True)
class DatasetRow:
    """One icon of the dataset; `png` reads its picture (PNG, RGB on white) when asked."""

    icon_id: str
    sha256: str
    name: str
    category: str
    author: str
    author_url: str | None
    spdx: str
    licence_url: str
    source_url: str
    family_id: str
    split: str
    caption: str
    captions: tuple[str, ...]
    width: int
    height: int
    png: Callable[[], bytes]


@dataclass(frozen=True)
class DatasetInfo:
    """What the card and `dataset.json` say of the dataset as a whole."""

    title: str
    source_url: str
    commit: str
    committed_at: str | None
    licence_preset: str
    trigger: str
    grammar_version: str
    render_size: int


def write_shards(
    rows: Sequence[DatasetRow], folder: Path, progress: Callable[[int, int], None] | None = None
) -> dict[str, int]:
    """Write the Parquet shards of each category and split that has rows; returns rows per split.

    Which row lies in which shard: see `sharding`. A shard whose rows are the same has the same bytes.

    Raises:
        ValueError: a row's split is neither `train` nor `heldout`.
    """
    counts: dict[str, int] = dict.fromkeys(SPLITS, 0)
    for row in rows:
        if row.split not in counts:
            raise ValueError(f"{row.icon_id} is in split {row.split!r}; splits are {', '.join(SPLITS)}")
        counts[row.split] += 1
    done = 0
    for name, members in sorted(shards_of(rows).items()):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        # Statistics of a picture column would keep two pictures a row group in memory until the end.
        with pq.ParquetWriter(
            target,
            dataset_schema(),
            compression="none",
            use_dictionary=False,
            write_statistics=["icon_id", "category"],  # pyright: ignore[reportArgumentType] (it may be names)
        ) as writer:
            for start in range(0, len(members), ROW_GROUP):
                batch = members[start : start + ROW_GROUP]
                writer.write_batch(_batch(batch))
                done += len(batch)
                if progress:
                    progress(done, len(rows))
    return counts


def _batch(rows: Iterable[DatasetRow]) -> pa.RecordBatch:
    names = [field.name for field in fields(DatasetRow) if field.name not in {"png", "split"}]
    records = []
    for row in rows:
        record = {name: getattr(row, name) for name in names}
        record["captions"] = list(row.captions)
        record["image"] = {"bytes": row.png(), "path": f"{row.icon_id}.png"}
        records.append(record)
    return pa.RecordBatch.from_pylist(records, schema=dataset_schema())


def write_card(manifest: pd.DataFrame, info: DatasetInfo, counts: dict[str, int], folder: Path) -> dict:
    """Write the card, credits, `sampling_weights.csv` and `dataset.json`; returns the facts.

    `manifest` holds the rows of the icons in the dataset and no others; `counts` is rows per split.
    """
    folder.mkdir(parents=True, exist_ok=True)
    manifest = manifest.sort_values("icon_id")
    train = manifest[manifest["split"] == "train"]
    columns = (train[name].astype(str) for name in ("icon_id", "family_id", "author"))
    weights = sampling_weights((icon, family, author) for icon, family, author in zip(*columns, strict=True))
    facts = {
        **asdict(info),
        "icons": len(manifest),
        "splits": counts,
        "families": len(set(manifest["family_id"])),
        # without its version: the same icons give the same dataset, and nothing below is trained again
        "made_with": "bioicons_pipeline",
        "obligations": credits.obligations(manifest),
        "licence_mix": {spdx: int(count) for spdx, count in credits.licence_mix(manifest).items()},
        "categories": {name: int(count) for name, count in manifest["category"].value_counts().items()},
        "authors": {name: int(count) for name, count in manifest["author"].value_counts().items()},
        "sampling": {
            "author_cap": round(weights.cap, 6),
            "family_limit": round(weights.limit, 6),
            "author_share": {name: round(share, 4) for name, share in weights.share.items()},
        },
    }
    changes = f"rasterised at {info.render_size} px on white, cropped and padded to a square"
    files = {
        "README.md": card_markdown(facts),
        "ATTRIBUTION.md": credits.attribution_markdown(manifest, changes=changes),
        "ATTRIBUTION.csv": credits.attribution_csv(manifest),
        "dataset.json": json.dumps(facts, indent=1, sort_keys=True, ensure_ascii=False) + "\n",
        "sampling_weights.csv": weights.as_csv(),
        **{f"LICENSES/{name}": text for name, text in credits.licence_texts(manifest).items()},
    }
    for name, text in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8", newline="\n")
    return facts
