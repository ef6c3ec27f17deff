"""What is measured in a picture, on drawings whose answer is known."""

import io
import json

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from bioicons_pipeline.captioning import StyleFacts, measure_picture
from bioicons_pipeline.captioning.picture import _reached
from bioicons_pipeline.captioning.style import colour_of, look_of, sub_style


def drawing(fill, outline=None, *, width=4, white=False, blur=False) -> bytes:
    image = Image.new("RGBA", (128, 128), "white" if white else (0, 0, 0, 0))
    ImageDraw.Draw(image).ellipse((20, 20, 108, 108), fill=fill, outline=outline, width=width)
    if blur:
        image = image.filter(ImageFilter.GaussianBlur(12))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("fill", "name"),
    [
        ("#e02020", "red"),
        ("#f59ac0", "pink"),
        ("#2b6cd0", "blue"),
        ("#30a050", "green"),
        ("#ffd92e", "yellow"),
        ("#f58220", "orange"),
        ("#8a4b22", "brown"),
        ("#8040c0", "purple"),
        ("#909090", "gray"),
        ("#f4dfc0", "beige"),
        ("#20b0b8", "turquoise"),
        # fills of icons of the library that are named after their colour, by eye
        ("#a37c71", "brown"),
        ("#9e635d", "brown"),
        ("#87525f", "brown"),
        ("#af4690", "purple"),
        ("#fbab8e", "orange"),
        ("#f6deeb", "pink"),
        ("#f4f4f6", "white"),
    ],
)
@pytest.mark.parametrize("white", [False, True])
def test_colour_by_area_whatever_the_outline(fill, name, white):
    facts = measure_picture(drawing(fill, "black", white=white))
    assert facts is not None and colour_of(facts) == name


def test_a_white_mouse_on_white_is_white_where_it_has_an_outline():
    facts = measure_picture(drawing("white", "black", white=True))
    assert facts is not None and facts.palette[0][0] == "white"


def test_a_wall_that_touches_at_its_corners_keeps_the_outside_out():
    """As a flood from the corner of the picture does, which steps along rows and columns."""
    open_ = np.array(
        [[1, 1, 1, 1, 1], [1, 1, 0, 1, 1], [1, 0, 1, 0, 1], [1, 1, 0, 1, 1], [1, 1, 1, 1, 0]], dtype=bool
    )
    reached = open_.copy()
    reached[2, 2] = False
    assert np.array_equal(_reached(open_), reached)
    assert not _reached(np.zeros((3, 3), dtype=bool)).any()


def test_paper_seen_through_a_ring_is_no_white_paint():
    ring = drawing((0, 0, 0, 0), "#30a050", width=8)
    facts = measure_picture(ring)
    assert facts is not None and colour_of(facts) == "green"
    # white paint inside is white, and without alpha nobody can tell
    for png in (drawing("white", "#30a050", width=8), drawing("white", "#30a050", width=8, white=True)):
        painted = measure_picture(png)
        assert painted is not None and painted.palette[0][0] == "white"


def test_outline_and_shading_are_told_apart():
    flat = measure_picture(drawing("#2b6cd0"))
    lined = measure_picture(drawing("#9cc4f0", "black"))
    soft = measure_picture(drawing("#2b6cd0", blur=True))
    assert flat and lined and soft
    assert (look_of(flat), look_of(lined), look_of(soft)) == ("flat", "outlined flat", "shaded")
    assert look_of(measure_picture(drawing("black"))) == "silhouette"
    assert lined.outline > 0.9 > 0.1 > flat.outline
    assert sub_style(None, "Animals", lined) == "dark outlines and flat colors"


def on_black(draw) -> bytes:
    """A picture with an empty margin, a black square and what `draw` puts on it."""
    image = Image.new("RGBA", (128, 128), (0, 0, 0, 0))
    canvas = ImageDraw.Draw(image)
    canvas.rectangle((8, 8, 119, 119), fill="black")
    draw(canvas)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def test_a_black_square_behind_a_drawing_is_its_ground():
    facts = measure_picture(on_black(lambda canvas: canvas.ellipse((12, 12, 115, 115), fill="#30a050")))
    assert facts is not None and facts.black_ground and colour_of(facts) == "green"
    assert StyleFacts.from_dict(json.loads(json.dumps(facts.as_dict()))).black_ground


@pytest.mark.parametrize(
    "png",
    [
        pytest.param(drawing("#30a050", "black"), id="an outline"),
        pytest.param(drawing("black"), id="a black disc"),
        pytest.param(on_black(lambda canvas: None), id="a black square"),
        pytest.param(on_black(lambda on: on.rectangle((11, 11, 116, 116), fill="white")), id="a frame"),
        pytest.param(on_black(lambda on: on.ellipse((50, 50, 70, 70), fill="red")), id="a lens"),
    ],
)
def test_black_that_is_the_drawing_itself_is_no_ground(png):
    facts = measure_picture(png)
    assert facts is not None and not facts.black_ground


def test_facts_written_before_the_ground_was_measured_are_read():
    facts = measure_picture(drawing("#e02020", "black"))
    assert facts is not None
    old = {key: value for key, value in facts.as_dict().items() if key != "black_ground"}
    assert StyleFacts.from_dict(old) == facts


def test_nothing_drawn_measures_nothing():
    assert measure_picture(drawing((0, 0, 0, 0))) is None
    assert measure_picture(drawing("white", white=True)) is None
    assert colour_of(None) is None and sub_style(None, "Animals", None) is None


def test_facts_survive_json():
    facts = measure_picture(drawing("#e02020", "black"))
    assert facts and StyleFacts.from_dict(json.loads(json.dumps(facts.as_dict()))) == facts
