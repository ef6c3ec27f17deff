"""Adapters that were trained on icons which upstream, or the rules, have withdrawn since.

An icon or its licence may disappear upstream at any time. The manifest follows at the next snapshot; the
adapter cannot unlearn, so it is shown as out of date, with the names of the icons, until it is trained again.
"""

import io

import pandas as pd

from bioicons_pipeline.library.findings import withdrawn_icons
from bioicons_pipeline.orchestration.stages.base import WEIGHTS
from bioicons_pipeline.orchestration.stages.manifest import whole_manifest
from bioicons_pipeline.store import Store, Version
from bioicons_pipeline.store.names import ALL
from bioicons_pipeline.training.base_models import REGISTRY


def out_of_date(store: Store, bases: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """`<category> on <base>` → `<name> by <author>: <reason>` of each withdrawn icon that it was trained on.

    bases: names of bases beside those of the registry. Adapters without a withdrawn icon are not in it.
    Raises:
        MissingInputError: there is no manifest yet.
    """
    frame = whole_manifest(store)
    found = {}
    for base in sorted({*REGISTRY, *bases}):
        for partition, ref in store.list_refs(WEIGHTS, base).items():
            dataset = (ref.info or {}).get("dataset_version")
            if dataset is None:  # not trained: too few icons
                continue
            if reasons := withdrawn_icons(_icons(store, store.version(str(dataset))), frame):
                found[f"{'the library' if partition == ALL else partition} on {base}"] = reasons
    return found


def _icons(store: Store, dataset: Version) -> pd.DataFrame:
    """icon_id, name, author and spdx of every training row of a dataset, without the pictures."""
    shards = [
        pd.read_parquet(
            io.BytesIO(store.read(dataset, entry.path)), columns=["icon_id", "name", "author", "spdx"]
        )
        for entry in dataset.files
        if entry.path.startswith("data/train-")
    ]
    return pd.concat(shards, ignore_index=True)
