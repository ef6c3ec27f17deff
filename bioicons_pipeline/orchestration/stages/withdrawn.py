"""Adapters that were trained on icons which upstream, or the rules, have withdrawn since.

An icon or its licence may disappear upstream at any time. The manifest follows at the next snapshot; the
adapter cannot unlearn, so it is shown as out of date, with the names of the icons, until it is trained again.
"""

import io

import pandas as pd

from bioicons_pipeline.library.findings import withdrawn
from bioicons_pipeline.orchestration.stages.base import WEIGHTS
from bioicons_pipeline.orchestration.stages.gates import BlockedError
from bioicons_pipeline.orchestration.stages.gone import WithdrawnError, gone_since
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
            if icons := withdrawn_from(store, str(dataset), frame):
                found[f"{'the library' if partition == ALL else partition} on {base}"] = icons
    return found


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
    if icons := withdrawn_from(store, dataset, whole_manifest(store)):
        more = f" and {len(icons) - 1} more" if len(icons) > 1 else ""
        raise BlockedError(
            f"The dataset of {category or 'the library'} is older than the manifest, which has withdrawn "
            f"{icons[0]}{more}: build the dataset again first (`bioicons run --until icon_dataset`, or "
            "materialize icon_dataset)."
        )


def withdrawn_from(store: Store, dataset: str, manifest: pd.DataFrame) -> list[str]:
    """`<name> by <author>: <reason>` of each training icon of a dataset that the manifest has withdrawn."""
    icons = _icons(store, store.version(dataset))
    used = dict(zip(icons["icon_id"].astype(str), icons["spdx"].astype(str), strict=True))
    said = icons.set_index("icon_id")
    return [
        f"{said.at[icon, 'name']} by {said.at[icon, 'author']}: {reason}"
        for icon, reason in sorted(withdrawn(used, manifest).items())
    ]


def _icons(store: Store, dataset: Version) -> pd.DataFrame:
    """icon_id, name, author and spdx of every training row of a dataset, without the pictures."""
    columns = ["icon_id", "name", "author", "spdx"]
    shards = [
        pd.read_parquet(io.BytesIO(store.read(dataset, entry.path)), columns=columns)
        for entry in dataset.files
        if entry.path.startswith("data/train-")
    ]
    return pd.concat([pd.DataFrame(columns=columns), *shards], ignore_index=True)
