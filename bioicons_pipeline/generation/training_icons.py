"""The icons that the adapters were trained on: to be compared with, and to be credited.

Belongs here: reading them from the datasets in the store, the copy index of them, kept in the cache. Does not
belong here: the copy score itself (`copies`).
"""

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from PIL import Image

from bioicons_pipeline.generation.copies import CopyError, CopyIndex, CopyScore
from bioicons_pipeline.generation.provenance import NearestIcon
from bioicons_pipeline.store import Store
from bioicons_pipeline.whole import write_whole

CODE_VERSION = 1
_FACTS = ("icon_id", "name", "author", "author_url", "spdx", "licence_url", "source_url", "family_id")


@dataclass(frozen=True)
class TrainingIcons:
    """`index`: the icons' shapes; `facts`: by icon_id, who made each, under which licence, and where."""

    index: CopyIndex
    facts: Mapping[str, Mapping[str, Any]]

    def nearest(self, score: CopyScore) -> tuple[NearestIcon, ...]:
        """The nearest icons of a score with their credits, for a card."""
        return tuple(
            NearestIcon(
                **{name: self.facts[found.key][name] or "" for name in _FACTS[:-1] if name != "author_url"},
                author_url=self.facts[found.key]["author_url"] or None,
                similarity=max(0.0, found.similarity),
            )
            for found in score.nearest
        )


def read_training_icons(
    store: Store,
    datasets: Sequence[str],
    cache: Path,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> TrainingIcons:
    """The training icons of some dataset versions, each icon once; the index is built once and kept in
    `cache`.

    Raises:
        StoreError: a dataset is not in the store, or is damaged.
        CopyError: they have no icon to compare with.
    """
    name = hashlib.sha256(json.dumps([CODE_VERSION, sorted(set(datasets))]).encode()).hexdigest()[:16]
    index_file, facts_file = cache / f"{name}.npz", cache / f"{name}.json"
    try:
        return TrainingIcons(CopyIndex.load(index_file), json.loads(facts_file.read_bytes()))
    except (CopyError, OSError, ValueError):
        pass  # not built yet, or left by another version of the program
    rows: dict[str, dict] = {}
    for dataset in sorted(set(datasets)):
        version = store.version(dataset)
        for entry in version.files:
            if entry.path.startswith("data/train-"):
                table = pq.read_table(io.BytesIO(store.read(version, entry.path)), columns=[*_FACTS, "image"])
                rows |= {row["icon_id"]: row for row in table.to_pylist()}
    if not rows:
        raise CopyError("The datasets of these adapters have no training icons: build them again.")
    pictures = {
        key: Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB") for key, row in sorted(rows.items())
    }
    index = CopyIndex.build(pictures, {key: row["family_id"] for key, row in rows.items()}, progress=progress)
    facts = {key: {name: row[name] for name in _FACTS} for key, row in sorted(rows.items())}
    index.save(index_file)
    write_whole(facts_file, json.dumps(facts, ensure_ascii=False).encode())
    return TrainingIcons(index, facts)
