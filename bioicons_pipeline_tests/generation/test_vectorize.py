"""A vectorised drawing is small, grouped, safe, inside its budgets, and looks like the picture."""

import io
import re

import numpy as np
import pytest
from lxml import etree
from PIL import Image, ImageDraw, ImageFilter

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.generation import palette, vectorize
from bioicons_pipeline.generation.cutout import cut_out
from bioicons_pipeline.generation.layers import stack
from bioicons_pipeline.generation.paths import Tracing, outline
from bioicons_pipeline.rendering.normalise import normalise
from bioicons_pipeline.rendering.renderers import Resvg

SVG = "{http://www.w3.org/2000/svg}"


def shown(svg: bytes, side: int) -> Image.Image:
    """Our renderer's picture, without a process of its own."""
    from bioicons_pipeline.rendering import png

    icon = normalise(svg)
    scale = side / max(icon.width, icon.height)
    size = max(1, round(icon.width * scale)), max(1, round(icon.height * scale))
    return Image.open(io.BytesIO(png.encode(png.on_white(Resvg(fonts=False).open(icon)(0, 0, scale, *size)))))


def cell(side: int = 128) -> Image.Image:
    """A cell with an outline, a nucleus and a hole, antialiased."""
    large = Image.new("RGBA", (side * 4, side * 4), (0, 0, 0, 0))
    draw = ImageDraw.Draw(large)
    part = side * 4 / 128
    draw.ellipse([8 * part, 16 * part, 120 * part, 112 * part], "#f4c0c8", "#702030", round(4 * part))
    draw.ellipse([30 * part, 40 * part, 70 * part, 80 * part], "#8040a0")
    draw.rectangle([84 * part, 50 * part, 100 * part, 70 * part], (0, 0, 0, 0))
    return large.resize((side, side), Image.Resampling.BOX)


def confetti(count: int, side: int = 256) -> Image.Image:
    """Many separate squares in many colours."""
    picture = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    draw, random = ImageDraw.Draw(picture), np.random.default_rng(1)
    columns = int(np.ceil(count**0.5))
    step = side / columns
    for index in range(count):
        x, y = (index % columns) * step, (index // columns) * step
        colour = tuple(int(value) for value in random.integers(0, 220, 3))
        draw.rectangle([x + 1, y + 1, x + step * 0.7, y + step * 0.7], colour)
    return picture


def test_a_simple_drawing_becomes_its_few_shapes():
    result = vectorize.vectorize(cell(), title="A cell", desc="made here", render=shown)
    root = etree.fromstring(result.svg.encode())
    groups = root.findall(f"{SVG}g")
    assert result.report.shapes == len(root.findall(f".//{SVG}path")) == 3
    assert result.report.colours == len(groups) == 3
    assert [root.find(f"{SVG}{name}").text for name in ("title", "desc")] == ["A cell", "made here"]
    assert root.get("viewBox") == "0 0 2048 2048"
    assert result.report.difference < 1.0 and result.report.bytes == len(result.svg.encode()) < 4000
    assert not result.report.loosened


def test_colours_are_the_drawing_s_own():
    svg = vectorize.vectorize(cell(), compare=False).svg
    found = [
        np.array([int(name[i : i + 2], 16) for i in (0, 2, 4)])
        for name in re.findall(r'fill="#(\w{6})"', svg)
    ]
    for wanted in ((0xF4, 0xC0, 0xC8), (0x70, 0x20, 0x30), (0x80, 0x40, 0xA0)):
        assert min(np.abs(colour - wanted).max() for colour in found) <= 6


def test_the_hole_stays_open_and_neighbours_leave_no_gap():
    svg = vectorize.vectorize(cell(), compare=False).svg
    dark = svg.replace("<title>", '<rect width="2048" height="2048" fill="#00ff00"/><title>', 1)
    picture = np.asarray(shown(dark.encode(), 512).convert("RGB"), dtype=int)
    assert tuple(picture[240, 368]) == (0, 255, 0), "the ground shows through the hole"
    inside = picture[200:300, 60:330]
    assert not ((inside[..., 1] > inside[..., 0] + 40) & (inside[..., 1] > inside[..., 2] + 40)).any()


def test_what_is_soft_becomes_no_extra_shapes():
    ground = Image.new("RGBA", (128, 128), "white")
    ground.alpha_composite(cell())
    soft = cut_out(ground.convert("RGB").filter(ImageFilter.GaussianBlur(0.8))).rgba
    assert vectorize.vectorize(soft, compare=False).report.shapes <= 5


def test_speckles_are_removed_and_counted():
    picture = cell()
    for x, y in ((40, 60), (60, 100), (90, 30), (3, 3)):
        picture.putpixel((x, y), (0, 200, 0, 255))
    report = vectorize.vectorize(picture, compare=False).report
    assert report.shapes == 3 and report.specks >= 2


@pytest.mark.parametrize("budget", [300, 40, 5])
def test_the_shape_budget_holds_and_is_reported(budget):
    report = vectorize.vectorize(confetti(400), max_shapes=budget, compare=False).report
    assert 0 < report.shapes <= budget
    assert report.loosened and (report.step or report.dropped)


def test_the_byte_budget_holds_and_is_reported():
    full = vectorize.vectorize(confetti(100), compare=False)
    assert not full.report.loosened
    tight = vectorize.vectorize(confetti(100), max_bytes=2000, compare=False)
    assert len(tight.svg.encode()) <= 2000 < full.report.bytes
    assert tight.report.loosened and tight.report.dropped


def test_title_and_description_are_text_whatever_is_in_them():
    nasty = "</title><script>alert(1)</script>&\x00\x1b\ufffe"
    root = etree.fromstring(
        vectorize.vectorize(cell(64), title=nasty, desc=nasty, compare=False).svg.encode()
    )
    assert not list(root.iter(f"{SVG}script"))
    assert root.find(f"{SVG}title").text == "</title><script>alert(1)</script>&"


def test_it_passes_the_sanitiser_untouched():
    svg = vectorize.vectorize(cell(), compare=False).svg
    clean = normalise(svg.encode())
    assert not clean.removed and not clean.warnings
    assert clean.svg.count("<path") == svg.count("<path")


def test_the_same_picture_gives_the_same_bytes():
    assert vectorize.vectorize(cell(), compare=False).svg == vectorize.vectorize(cell(), compare=False).svg


@pytest.mark.parametrize(
    ("picture", "options", "words"),
    [
        (Image.new("RGBA", (32, 32), (0, 0, 0, 0)), {}, "nothing to vectorise"),
        (Image.new("RGBA", (2, 32), "red"), {}, "cannot be vectorised"),
        (Image.new("RGBA", (32, 32), "red"), {"max_shapes": 0}, "cannot be met"),
        (b"png", {}, "not a bytes"),
    ],
)
def test_bad_input_is_one_sentence(picture, options, words):
    with pytest.raises(BioiconsError, match=words) as error:
        vectorize.vectorize(picture, **options)
    assert "\n" not in str(error.value)


def test_a_full_square_and_a_wide_picture_work():
    result = vectorize.vectorize(Image.new("RGBA", (64, 32), "#336699"), render=shown)
    assert 'viewBox="0 0 2048 1024"' in result.svg and result.report.shapes == 1
    assert result.report.difference < 1.5


def test_outlines_are_closed_and_in_place():
    mask = np.zeros((40, 40), dtype=bool)
    mask[5:30, 8:30] = True
    mask[12:20, 14:20] = False
    path = outline(mask, 0, 0, Tracing(scale=2.0))
    assert path == "M16 10l44 0 0 50-44 0 0-50zM28 24l0 16 12 0 0-16-12 0z"
    assert outline(mask, 3, 1, Tracing(scale=2.0)).startswith("M18 16l")


def test_a_shape_runs_on_under_what_lies_above():
    labels = np.zeros((30, 30), int)
    labels[5:25, 5:25] = 1
    labels[10:20, 10:20] = 2
    found = palette.ColourMap(labels, np.array([[0, 0, 0], [255, 0, 0]], np.uint8))
    below, above = stack(found, overlap=2)
    assert (below.colour, above.colour) == (0, 1)
    assert below.pixels == 400 and above.pixels == 100


def test_sharpening_leaves_shading_alone():
    ramp = np.repeat(np.linspace(60, 200, 100, dtype=np.float32)[None, :, None], 3, axis=2).repeat(20, axis=0)
    assert np.abs(palette.sharpen(ramp, 2) - ramp).max() < 4
    edge = np.where(np.arange(100)[None, :, None] < 50, 40.0, 220.0).astype(np.float32).repeat(20, axis=0)
    edge = np.repeat(edge, 3, axis=2)
    soft = edge.copy()
    soft[:, 49:51] = [[[100.0] * 3, [160.0] * 3]]
    assert np.array_equal(palette.sharpen(soft, 1), edge)
