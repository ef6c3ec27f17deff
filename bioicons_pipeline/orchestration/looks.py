"""How assets look in the UI: what all share, columns of tables and where they come from, links.

Belongs here: what a person reads in the asset graph and catalog and no stage needs. Does not belong here:
metadata of one materialization (the assets), pictures (reporting).
"""

from typing import TypedDict

import dagster as dg

from bioicons_pipeline.library.records import COLUMNS
from bioicons_pipeline.orchestration.recovery import STEP_RETRIES
from bioicons_pipeline.orchestration.stages.codes import CODE_VERSIONS

INPUTS = "0_inputs"
LIBRARY = "1_library"
DATASET = "2_dataset"
MODEL = "3_model"
LIBRARY_WIDE = "4_library_wide"
"""Groups. The UI sorts them by name; the numbers put them in the order of the flow."""

OWNERS = {
    LIBRARY: "team:curators",
    DATASET: "team:curators",
    MODEL: "team:ml_engineers",
    LIBRARY_WIDE: "team:ml_engineers",
}
"""Whom to ask: curators decide what is in, engineers how it is trained. An observed input belongs
to the owner of what is made from it first."""

MANIFEST_SCHEMA = dg.TableSchema(
    [dg.TableColumn(name, column.dtype, column.description) for name, column in COLUMNS.items()]
)

_FROM_MANIFEST = (
    *("icon_id", "sha256", "name", "category", "author", "author_url", "spdx", "licence_url"),
    *("source_url", "family_id"),
)
_MANIFEST = dg.AssetKey("icon_manifest")
_DRAWN = {"image": "PNG on white.", "width": "Pixels.", "height": "Pixels."}
_WORDS = {"caption": "The first caption.", "captions": "All captions, the first one first."}

DATASET_SCHEMA = dg.TableSchema(
    [
        dg.TableColumn("image", "image", _DRAWN["image"]),
        dg.TableColumn("caption", "string", _WORDS["caption"]),
        dg.TableColumn("captions", "list[string]", _WORDS["captions"]),
        *(dg.TableColumn(name, COLUMNS[name].dtype, COLUMNS[name].description) for name in _FROM_MANIFEST),
        dg.TableColumn("width", "int32", _DRAWN["width"]),
        dg.TableColumn("height", "int32", _DRAWN["height"]),
    ]
)
"""Columns of the dataset's Parquet files; a test holds them to `dataset.schema`."""

DATASET_LINEAGE = dg.TableColumnLineage(
    {
        **{name: [dg.TableColumnDep(_MANIFEST, name)] for name in _FROM_MANIFEST},
        **{name: [dg.TableColumnDep(_MANIFEST, "sha256")] for name in _DRAWN},
        **{
            name: [dg.TableColumnDep(_MANIFEST, of) for of in ("name", "category", "caption")]
            for name in _WORDS
        },
    }
)
"""Which columns of the manifest a column of the dataset is made from: pictures through the SVG's hash."""

LIBRARY_DATASET_LINEAGE = dg.TableColumnLineage(
    {
        column.name: [dg.TableColumnDep(dg.AssetKey("icon_dataset"), column.name)]
        for column in DATASET_SCHEMA.columns
    }
)


class Looks(TypedDict):
    """Arguments of `dg.asset`, by name: of a plain dict a type checker cannot tell what the call makes."""

    group_name: str
    owners: list[str]
    code_version: str
    retry_policy: dg.RetryPolicy


def looks(stage: str, group: str) -> Looks:
    """Arguments of `dg.asset` that all assets share: group, owner, code version and retry policy."""
    return {
        "group_name": group,
        "owners": [OWNERS[group]],
        "code_version": CODE_VERSIONS[stage],
        "retry_policy": STEP_RETRIES,
    }


def input_spec(name: str, kind: str, first_used_in: str, description: str) -> dg.AssetSpec:
    """An observed input; `first_used_in`: the group whose owner has it."""
    return dg.AssetSpec(
        name,
        group_name=INPUTS,
        owners=[OWNERS[first_used_in]],
        kinds={kind},
        description=description,
    )


def upstream_link(commit: str, source: str) -> dg.MetadataValue:
    """The upstream state as a link that a person can open, where its source is on GitHub; else the commit."""
    from bioicons_pipeline.library.tree import github_page

    if page := github_page(source):
        return dg.MetadataValue.url(f"{page}/tree/{commit}/static/icons")
    return dg.MetadataValue.text(commit)
