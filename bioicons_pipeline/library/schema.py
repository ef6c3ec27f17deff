"""The manifest's declared schema as pandera checks it, and what must hold across its columns.

Belongs here: the pandera schema made from `records.COLUMNS`, and checks of the whole table. Does not belong
here: the columns' meaning (`records`). pandera is imported when a table is checked: it takes a second.

https://pandera.readthedocs.io/en/stable/dataframe_schemas.html
"""

from typing import TYPE_CHECKING

import pandas as pd

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.library.licences import BY_SPDX, LicencePolicy
from bioicons_pipeline.library.records import COLUMNS, ExclusionReason

if TYPE_CHECKING:
    import pandera.pandas as pa


class ManifestError(BioiconsError):
    """A manifest that breaks its own schema; the message names the first column and value."""


def manifest_schema() -> "pa.DataFrameSchema":
    """The pandera schema: columns in order, dtypes, closed sets, and the rules between columns."""
    import pandera.pandas as pa

    checks = {
        "icon_id": [pa.Check.str_matches(r"^[0-9a-f]{16}$")],
        "sha256": [pa.Check.str_matches(r"^[0-9a-f]{64}$")],
        "spdx": [pa.Check.isin(list(BY_SPDX))],
        "folder_spdx": [pa.Check.isin(list(BY_SPDX))],
        "exclusion_reason": [pa.Check.isin([reason.value for reason in ExclusionReason])],
        "split": [pa.Check.isin(["train", "heldout"])],
        "author_url": [pa.Check.str_matches(r"^https?://")],
        "byte_size": [pa.Check.ge(0)],
        "raster_share": [pa.Check.in_range(0, 1)],
        "ink": [pa.Check.in_range(0, 1)],
        "family_size": [pa.Check.ge(1)],
    }
    columns = {
        name: pa.Column(
            column.dtype,
            checks.get(name, []),
            nullable=column.nullable,
            unique=name in {"icon_id", "source_path"},
            description=column.description,
        )
        for name, column in COLUMNS.items()
    }
    across = [
        pa.Check(
            lambda df: df["included"].astype(bool) == df["exclusion_reason"].isna(),
            error="an icon is included exactly if it has no exclusion_reason",
        ),
        pa.Check(
            lambda df: (
                ~df["included"].astype(bool)
                | df[["author", "spdx", "licence_url", "source_url"]].notna().all(axis=1)
            ),
            error="an included icon has author, licence and source link",
        ),
        pa.Check(
            lambda df: df.groupby("family_id")["split"].nunique().max() <= 1 if len(df) else True,
            error="a family is on one side of the split",
        ),
    ]
    return pa.DataFrameSchema(columns, checks=across, strict=True, ordered=True, name="icon_manifest")


def validate_manifest(df: pd.DataFrame, policy: LicencePolicy | None = None) -> pd.DataFrame:
    """`df` if it keeps the schema; with `policy`, also if no included icon is outside the preset.

    Raises:
        ManifestError: it does not; one sentence with the first case.
    """
    import pandera.errors

    typed = df.astype({name: column.dtype for name, column in COLUMNS.items() if name in df.columns})
    try:
        manifest_schema().validate(typed)
    except pandera.errors.SchemaError as error:
        where = (
            f"column {error.schema.name}"
            if error.schema is not None and error.schema.name in COLUMNS
            else "table"
        )
        told = str(error).splitlines()[0][:300]
        raise ManifestError(f"The manifest breaks its schema ({where}): {told}.") from error
    if policy is not None:
        included = df.loc[df["included"].astype(bool)]
        outside = included.loc[~included["spdx"].map(policy.allows).astype(bool)]
        if len(outside):
            first = outside.iloc[0]
            raise ManifestError(
                f"{len(outside)} included icons are outside the preset {policy.preset}, the first being "
                f"{first['source_path']} ({first['spdx']}): build the manifest again."
            )
    return df


def counts(df: pd.DataFrame) -> pd.DataFrame:
    """Icons per category, licence, author and exclusion reason (empty: included), most first."""
    keys = ["category", "spdx", "author", "exclusion_reason"]
    table = df.assign(**{key: df[key].astype("object").where(df[key].notna(), "") for key in keys})
    grouped = pd.DataFrame({"icons": table.groupby(keys, sort=True)["icon_id"].count()}).reset_index()
    return grouped.sort_values(["icons", *keys], ascending=[False, *[True] * len(keys)], ignore_index=True)
