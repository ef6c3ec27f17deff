"""The sample grid shows each picture in its own place."""

import pytest
from PIL import Image

from bioicons_pipeline.generation.grid import CELL, GridRow, compose


def test_every_cell_shows_its_own_picture():
    colours = [("red", "lime"), ("blue", "yellow")]
    rows = [
        GridRow(f"row {index}", tuple(Image.new("RGB", (64, 64), name) for name in names))
        for index, names in enumerate(colours)
    ]
    picture = compose(rows, ("base", "lora"), "title", "footer")
    pixels = picture.load()
    found = [
        [pixels[x, y] for x in range(picture.width - 2 * CELL, picture.width, CELL)]
        for y in (84 + CELL // 2, 84 + CELL // 2 + CELL + 12)
    ]
    expected = [[(255, 0, 0), (0, 255, 0)], [(0, 0, 255), (255, 255, 0)]]
    assert found == expected


def test_blocks_stand_side_by_side_in_reading_order():
    names = ["red", "lime", "blue", "yellow", "black"]
    rows = [GridRow(name, (Image.new("RGB", (64, 64), name),)) for name in names]
    picture = compose(rows, ("one",), "title", blocks=2)
    pixels = picture.load()
    places = [
        (x, 84 + CELL // 2 + line * (CELL + 12)) for x in (300, 300 + picture.width // 2) for line in range(3)
    ]
    found = [pixels[x + CELL // 2, y] for x, y in places]
    assert found == [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 0, 0), (255, 255, 255)]


def test_a_missing_picture_leaves_the_cell_white():
    picture = compose([GridRow("one", (None,))], ("real",), "title")
    assert picture.getpixel((picture.width - 40, 100)) == (255, 255, 255)


def test_rows_must_fit_the_columns():
    with pytest.raises(ValueError, match="one image or None per column"):
        compose([GridRow("one", (None,))], ("a", "b"), "title")
    with pytest.raises(ValueError, match="at least one row"):
        compose([], ("a",), "title")
