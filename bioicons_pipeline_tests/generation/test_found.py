"""Files of icons that a search found say truly how they differ from upstream's."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from bioicons_pipeline.generation.found import NotFreeError, check_free, draw_hits, write_found
from bioicons_pipeline.generation.search import Hit

ROW = {
    "icon_id": "0001",
    "sha256": "0" * 64,
    "name": "wide_fish",
    "category": "Animals",
    "author": "Ann Lee",
    "author_url": "https://ann.example",
    "spdx": "CC-BY-4.0",
    "source_path": "cc-by-4.0/Animals/Ann_Lee/wide_fish.svg",
    "source_url": "https://example.org/wide_fish.svg",
}
SVG = b"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 100"><metadata>who drew it</metadata>
<script>alert(1)</script><rect x="20" y="40" width="100" height="20" fill="#c33"/></svg>"""


def test_the_credits_state_the_changes_that_were_made(tmp_path):
    (drawn,) = draw_hits([Hit(ROW, "name")], lambda _: SVG)
    assert write_found([drawn], tmp_path) == 5
    svg, png = (tmp_path / f"01-wide-fish.{kind}" for kind in ("svg", "png"))
    # what is claimed below did happen: rewritten, rasterised, cropped to the drawing, padded to a square
    assert (
        b"<rect" in svg.read_bytes() and b"script" not in svg.read_bytes() and b"who" not in svg.read_bytes()
    )
    picture = Image.open(io.BytesIO(png.read_bytes()))
    columns = np.flatnonzero(np.asarray(picture)[..., 3].any(axis=0))
    assert picture.size == (512, 512) and columns[0] < 30 and columns[-1] > 480
    credit = (tmp_path / "ATTRIBUTION.md").read_text()
    assert "Changes: none" not in credit
    for text in (credit, drawn.citation):
        changes = text.split("Changes: ")[1]
        assert all(word in changes for word in ("SVG rewritten", "without script", "metadata"))
        assert all(word in changes for word in ("PNG rasterised", "cropped", "padded to a square"))
    # the icon itself, where it is upstream, is cited as it is
    assert drawn.hit.citation.endswith("Changes: none.")


def test_the_notices_that_the_credits_point_to_are_there(tmp_path):
    """MIT and BSD ask for the copyright notice and the licence's text with every copy."""
    row = {**ROW, "notice": None}
    rows = [
        row,
        {**row, "spdx": "MIT", "notice": "Copyright 2021 Bo Mit"},
        {**row, "spdx": "BSD-3-Clause", "notice": "Copyright 2021 Cy Bsd"},
    ]
    drawn = draw_hits([Hit(row, "name") for row in rows], lambda _: SVG)
    written = write_found(drawn, tmp_path)
    assert written == sum(path.is_file() for path in tmp_path.rglob("*"))
    pointed = re.findall(r"`(LICENSES/[^`]+)`", (tmp_path / "ATTRIBUTION.md").read_text())
    assert pointed == ["LICENSES/BSD-3-Clause.txt", "LICENSES/MIT.txt"]
    for path, notice in zip(pointed, ("Copyright 2021 Cy Bsd", "Copyright 2021 Bo Mit"), strict=True):
        text = (tmp_path / path).read_text()
        assert notice in text and len(text) > 500
    assert (tmp_path / "LICENSES" / "CC-BY-4.0.txt").is_file()


def test_a_second_search_does_not_take_the_credits_of_the_first(tmp_path):
    check_free(tmp_path / "new" / "folder")
    assert not (tmp_path / "new").exists()  # a search that finds nothing leaves nothing
    check_free(tmp_path)
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "ATTRIBUTION.md").write_text("credits")
    with pytest.raises(NotFreeError, match="is not empty: give each search a folder of its own"):
        check_free(tmp_path / "kept")
    with pytest.raises(NotFreeError, match="choose another folder"):
        check_free(tmp_path / "kept" / "ATTRIBUTION.md")
