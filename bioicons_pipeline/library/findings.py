"""What must hold of a manifest, as lists of the rows that break it; and icons that are no longer published.

Belongs here: the questions that asset checks and reports ask of a whole manifest. Does not belong here: the
gate that stops a bad manifest from being written (`schema`), which does not rely on anybody asking.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from bioicons_pipeline.library.licences import LicencePolicy

CREDIT_COLUMNS = ("author", "spdx", "licence_url", "source_url")


def outside_preset(frame: pd.DataFrame, policy: LicencePolicy) -> list[str]:
    """source_paths of included icons whose licence the preset does not allow."""
    included = _included(frame)
    return _paths(included.loc[~included["spdx"].map(policy.allows).astype(bool)])


def duplicate_ids(frame: pd.DataFrame) -> list[str]:
    """source_paths of icons that share their icon_id with another."""
    return _paths(frame.loc[frame["icon_id"].duplicated(keep=False)])


def without_credit(frame: pd.DataFrame) -> list[str]:
    """source_paths of included icons that lack author, licence or source link."""
    included = _included(frame)
    credit = included[list(CREDIT_COLUMNS)].fillna("").astype(str)
    return _paths(included.loc[(credit == "").any(axis=1)])


def torn_families(frame: pd.DataFrame) -> list[str]:
    """family_ids with icons on both sides of the split."""
    return torn(_included(frame))


def torn(icons: pd.DataFrame) -> list[str]:
    """The same of rows that are all in use, a dataset's for instance; columns `family_id` and `split`."""
    sides = pd.Series(icons.groupby("family_id")["split"].nunique())
    return sorted(str(family) for family in sides.loc[sides > 1].index)


def withdrawn(used: Mapping[str, str], frame: pd.DataFrame) -> dict[str, str]:
    """icon_id → why it may not be used any more, of icons that were used under the licence they map to.

    An icon is withdrawn when upstream deleted it, when the manifest leaves it out now, or when its licence
    has changed since.
    """
    rows: dict[Any, Any] = frame.drop_duplicates("icon_id").set_index("icon_id").to_dict("index")
    found = {}
    for icon_id, spdx in used.items():
        row = rows.get(icon_id)
        if row is None:
            found[icon_id] = "deleted upstream"
            continue
        if not row["included"]:
            found[icon_id] = f"left out now ({row['exclusion_reason']})"
        elif row["spdx"] != spdx:
            found[icon_id] = f"its licence is {row['spdx']} now, it was {spdx}"
    return found


def withdrawn_icons(icons: pd.DataFrame, frame: pd.DataFrame) -> list[str]:
    """`<name> by <author>: <reason>` of each of `icons` that is withdrawn in the manifest `frame`.

    icons: `icon_id`, `name`, `author` and `spdx` as they were used, of a dataset's rows for instance.
    """
    used = dict(zip(icons["icon_id"].astype(str), icons["spdx"].astype(str), strict=True))
    said = icons.drop_duplicates("icon_id").set_index("icon_id")
    return [
        f"{said.at[icon, 'name']} by {said.at[icon, 'author']}: {reason}"
        for icon, reason in sorted(withdrawn(used, frame).items())
    ]


def in_short(reasons: Sequence[str], most: int = 5) -> str:
    """The first few of what `withdrawn_icons` found, and how many more there are, as part of a sentence."""
    more = f" and {len(reasons) - most} more" if len(reasons) > most else ""
    return "; ".join(reasons[:most]) + more


def _included(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.loc[frame["included"].astype(bool)]


def _paths(frame: pd.DataFrame) -> list[str]:
    return sorted(frame["source_path"].astype(str))
