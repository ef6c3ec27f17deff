"""What must hold of a dataset, asked of its rows: counts, credits, and that nothing held out is trained on.

Belongs here: the questions, as functions of the rows and the facts beside them. Does not belong here: writing
datasets (`build`), what is done about a finding (orchestration).
"""

from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd

CREDIT_COLUMNS = ("name", "author", "spdx", "licence_url", "source_url")
COLUMNS = ("icon_id", "sha256", "family_id", *CREDIT_COLUMNS)
"""What these questions need of the rows; `split` comes from the shard that a row lies in."""


def count_faults(rows: pd.DataFrame, facts: Mapping[str, Any]) -> list[str]:
    """Where the numbers of `dataset.json` are not those of the rows, and icon_ids that are there twice."""
    found = []
    if facts["icons"] != len(rows):
        found.append(f"dataset.json says {facts['icons']} icons, the shards have {len(rows)}")
    for split, number in facts["splits"].items():
        there = int((rows["split"] == split).sum())
        if there != number:
            found.append(f"dataset.json says {number} icons in {split}, the shards have {there}")
    twice = rows.loc[rows["icon_id"].duplicated(), "icon_id"].astype(str)
    return found + [f"{icon}: it is in the dataset twice" for icon in sorted(twice)]


def credit_faults(rows: pd.DataFrame, credited: Collection[str]) -> list[str]:
    """Rows without author, licence or source link, and icon_ids that are not among those `credited`."""
    credit = rows[list(CREDIT_COLUMNS)].fillna("").astype(str)
    lacking = rows.loc[(credit == "").any(axis=1), "icon_id"].astype(str)
    unnamed = set(rows["icon_id"].astype(str)) - set(credited)
    return [f"{icon}: its row lacks a credit" for icon in sorted(lacking)] + [
        f"{icon}: the attribution does not name it" for icon in sorted(unnamed - set(lacking))
    ]


def leaks(rows: pd.DataFrame) -> list[str]:
    """Families and identical drawings that are both in training and held out."""
    found = []
    for column, what in (("family_id", "family"), ("sha256", "drawing")):
        sides = pd.Series(rows.groupby(column)["split"].nunique())
        found += [
            f"{what} {key}: it is in training and held out" for key in sorted(sides.loc[sides > 1].index)
        ]
    return found
