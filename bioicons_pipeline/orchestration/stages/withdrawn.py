"""Adapters that were trained on icons which upstream, or the rules, have withdrawn since.

An icon or its licence may disappear upstream at any time. The manifest follows at the next snapshot; the
adapter cannot unlearn, so it is shown as out of date, with the names of the icons, until it is trained again.
"""

import io

import pandas as pd

from bioicons_pipeline.library.findings import in_short, withdrawn_icons
from bioicons_pipeline.orchestration.stages.base import WEIGHTS
from bioicons_pipeline.orchestration.stages.gates import BlockedError
from bioicons_pipeline.orchestration.stages.gone import WithdrawnError, gone_since
from bioicons_pipeline.orchestration.stages.manifest import whole_manifest
from bioicons_pipeline.store import Store, StoreError, Version
from bioicons_pipeline.store.names import ALL
from bioicons_pipeline.training.base_models import REGISTRY

UNREADABLE = "a dataset that cannot be read any more"
"""Stands where the icons would be named: whether one of them was withdrawn nobody can tell."""


def out_of_date(store: Store, bases: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """`<category> on <base>` → `<name> by <author>: <reason>` of each withdrawn icon that it was trained on.

    bases: names of bases beside those of the registry. Adapters without a withdrawn icon are not in it; one
    whose dataset is gone is, with `UNREADABLE`: a single one must not hide what is to be said of the others.
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
            if reasons := _withdrawn(store, str(dataset), frame):
                found[f"{'the library' if partition == ALL else partition} on {base}"] = reasons
    return found


def _withdrawn(store: Store, dataset: str, frame: pd.DataFrame) -> list[str]:
    """What to say of an adapter that was trained on this version of a dataset; [] where all is well."""
    try:
        icons = _icons(store, store.version(dataset))
    except StoreError:
        return [UNREADABLE]
    return withdrawn_icons(icons, frame)


def refuse_withdrawn(store: Store, category: str | None, dataset: str) -> None:
    """Let a training on this dataset of `category` (None: the library) through, if all of it may be used now.

    Raises:
        WithdrawnError: upstream has withdrawn the category.
        BlockedError: the manifest leaves out an icon that the dataset has.
    """
    if commit := gone_since(store, category):
        raise WithdrawnError(
            f"{category} was withdrawn upstream (seen at {commit[:12]}): nothing is trained on it any more, "
            "choose another category."
        )
    if reasons := withdrawn_icons(_icons(store, store.version(dataset)), whole_manifest(store)):
        raise BlockedError(
            f"The dataset of {category or 'the library'} is older than the manifest, which has withdrawn "
            f"{in_short(reasons)}: build the dataset again first (`bioicons run --until icon_dataset`, or "
            "materialize icon_dataset)."
        )


def _icons(store: Store, dataset: Version) -> pd.DataFrame:
    """icon_id, name, author and spdx of every training row of a dataset, without the pictures."""
    columns = ["icon_id", "name", "author", "spdx"]
    shards = [
        pd.read_parquet(io.BytesIO(store.read(dataset, entry.path)), columns=columns)
        for entry in dataset.files
        if entry.path.startswith("data/train-")
    ]
    return pd.concat([pd.DataFrame(columns=columns), *shards], ignore_index=True)
