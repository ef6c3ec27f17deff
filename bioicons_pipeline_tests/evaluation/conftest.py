"""A toy library of drawings whose families, styles and words are known, for all tests of this room."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

SHAPES = ("disc", "bar", "tent", "ring")
COLOURS = ("#d22020", "#20a040", "#2040c0", "#f08000", "#a04090", "#603010")


def icon(family: int, member: int = 0, size: int = 96) -> Image.Image:
    """A flat drawing with a dark outline: shape and place by family, colour by member."""
    random = np.random.default_rng(family)
    picture = Image.new("RGB", (size, size), "white")
    draw = ImageDraw.Draw(picture)
    colour = COLOURS[(family + member) % len(COLOURS)]
    left, top = random.integers(6, 26, 2).tolist()
    right, bottom = (size - random.integers(6, 26, 2)).tolist()
    shape, look = SHAPES[family % 4], {"fill": colour, "outline": "#202020", "width": 3}
    if shape == "disc":
        draw.ellipse((left, top, right, bottom), **look)
    elif shape == "bar":
        draw.rectangle((left, top + 20, right, bottom - 20), **look)
    elif shape == "tent":
        draw.polygon([(left, bottom), ((left + right) // 2, top), (right, bottom)], **look)
    else:
        draw.ellipse((left, top, right, bottom), outline=colour, width=9)
    x, y = random.integers(30, 60, 2).tolist()
    draw.rectangle((x, y, x + 10, y + 10), fill=COLOURS[(family + 3) % len(COLOURS)])
    return picture


def soft(picture: Image.Image) -> Image.Image:
    """The same as a raster-like picture: blurred, on a ground that is not quite white."""
    grey = Image.blend(picture, Image.new("RGB", picture.size, "#8090a0"), 0.15)
    return grey.filter(ImageFilter.GaussianBlur(3))


@pytest.fixture(scope="session")
def library():
    """(pictures, families, words) of 30 families with two members each."""
    places = [(family, member) for family in range(30) for member in range(2)]
    return (
        [icon(*place) for place in places],
        tuple(f"family {family}" for family, _ in places),
        [frozenset({SHAPES[family % 4]}) for family, _ in places],
    )
