"""Rows of the manifest have the names and kinds that its columns declare."""

from typing import get_type_hints

import pandas as pd

from bioicons_pipeline.library.records import COLUMNS, ManifestRow, each_row

KINDS = {str: ("string", False), str | None: ("string", True), bool: ("boolean", False)}


def test_a_row_has_what_the_columns_declare():
    for name, kind in get_type_hints(ManifestRow).items():
        assert (COLUMNS[name].dtype, COLUMNS[name].nullable) == KINDS[kind], name


def test_rows_are_read_by_name_also_of_some_columns():
    (row,) = each_row(pd.DataFrame({"icon_id": ["1"], "spdx": ["MIT"]}))
    assert (row.icon_id, row.spdx) == ("1", "MIT")
