"""The cut-out gives back the alpha of drawings whose true alpha is known."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.generation import cutout
from bioicons_pipeline.generation.cutout import cut_out, matte

SIDE, FINE = 96, 8


def drawn(draw_on) -> Image.Image:
    """RGBA with exact antialiasing: drawn eight times as large, alpha averaged, colour from full coverage."""
    large = Image.new("RGBA", (SIDE * FINE, SIDE * FINE), (0, 0, 0, 0))
    draw_on(ImageDraw.Draw(large))
    pixels = np.asarray(large, dtype=np.float64).reshape(SIDE, FINE, SIDE, FINE, 4)
    alpha = pixels[..., 3].mean(axis=(1, 3)) / 255
    colour = (pixels[..., :3] * pixels[..., 3:]).mean(axis=(1, 3)) / 255
    colour = colour / np.maximum(alpha, 1e-9)[..., None]
    return Image.fromarray(np.dstack([colour, alpha * 255]).round().astype(np.uint8), "RGBA")


def on_white(rgba: Image.Image) -> Image.Image:
    ground = Image.new("RGBA", rgba.size, "white")
    ground.alpha_composite(rgba)
    return ground.convert("RGB")


def scaled(*values: float) -> tuple[float, ...]:
    return tuple(value * FINE for value in values)


def disc(colour: str, hole: bool = False):
    def draw(on: ImageDraw.ImageDraw) -> None:
        on.ellipse(scaled(12, 16, 84, 80), fill=colour)
        if hole:
            on.ellipse(scaled(30, 34, 62, 60), fill=(0, 0, 0, 0))

    return draw


def outlined(on: ImageDraw.ImageDraw) -> None:
    """A white body in a dark outline, with a coloured spot."""
    on.rounded_rectangle(scaled(14, 14, 82, 82), radius=20 * FINE, fill="white", outline="#202040", width=24)
    on.ellipse(scaled(40, 40, 56, 56), fill="#d04040")


def iou(found: np.ndarray, true: np.ndarray) -> float:
    mine, other = found[..., 3] > 127, true[..., 3] > 127
    return float((mine & other).sum() / (mine | other).sum())


@pytest.mark.parametrize("colour", ["#101010", "#c83030", "#3a7bd5", "#f0e070", "#e8e8e8"])
def test_alpha_and_colour_come_back_at_the_edge(colour):
    true = drawn(disc(colour))
    found = matte(on_white(true)).rgba
    alpha, wanted = found[..., 3].astype(int), np.asarray(true)[..., 3].astype(int)
    edge = (wanted > 0) & (wanted < 255)
    assert iou(found, np.asarray(true)) > 0.99
    tolerance = 30 if colour == "#e8e8e8" else 14  # 23 levels of contrast leave alpha in steps of a 23rd
    assert np.abs(alpha - wanted)[edge].mean() < tolerance
    solid = edge & (alpha > 60)
    assert (
        np.abs(found[..., :3].astype(int) - np.asarray(true)[..., :3])[solid].mean() < 12
    )  # no white fringe


def test_thresholding_would_fail_where_the_cut_out_holds():
    """The same measure on the usual short way: the fringe test above can fail."""
    true = np.asarray(drawn(disc("#3a7bd5")))
    rgb = np.asarray(on_white(Image.fromarray(true, "RGBA")))
    edge = (true[..., 3] > 0) & (true[..., 3] < 255)
    assert np.abs(rgb.astype(int) - true[..., :3])[edge].mean() > 40


def test_laid_on_white_again_it_is_the_picture():
    picture = on_white(drawn(outlined))
    again = on_white(Image.fromarray(matte(picture).rgba, "RGBA"))
    assert np.abs(np.asarray(again, dtype=int) - np.asarray(picture)).max() <= 3


def test_white_specks_inside_a_subject_are_kept_and_counted(monkeypatch):
    picture = on_white(drawn(outlined))
    monkeypatch.setattr(cutout, "is_hole", lambda area: False)
    kept = matte(picture)
    assert kept.rgba[24, 48, 3] == 255 and kept.report.kept_white == 1 and kept.report.holes == 0
    monkeypatch.setattr(cutout, "is_hole", lambda area: True)
    opened = matte(picture)
    assert opened.rgba[24, 48, 3] == 0 and opened.report.holes == 1 and opened.rgba[48, 48, 3] == 255
    assert kept.report.undecided == opened.report.undecided > 2000


def test_a_ring_is_open_in_the_middle():
    found = matte(on_white(drawn(disc("#204060", hole=True))))
    assert found.rgba[47, 46, 3] == 0
    assert found.report.holes == 1


@pytest.mark.parametrize("seed", range(3))
def test_noise_and_an_off_white_paper_do_not_matter(seed):
    random = np.random.default_rng(seed)
    for draw, colour in ((disc("#c83030"), (200, 48, 48)), (disc("#8fb0d8"), (143, 176, 216))):
        true = drawn(draw)
        picture = np.asarray(on_white(true), dtype=float) * (249 / 255) + random.uniform(
            -6, 6, (SIDE, SIDE, 3)
        )
        found = matte(Image.fromarray(picture.clip(0, 255).round().astype(np.uint8)))
        assert iou(found.rgba, np.asarray(true)) > 0.985
        assert found.rgba[4:10, :, 3].max() == 0, "the paper is empty"
        assert found.rgba[40:56, 30:66, 3].min() == 255, "the inside has no pinholes"
        assert np.abs(found.rgba[48, 48, :3].astype(int) - np.array(colour)).max() < 16


def test_crop_and_pad():
    result = cut_out(on_white(drawn(disc("#c83030"))), margin=0.1)
    assert result.rgba.width == result.rgba.height
    alpha = np.asarray(result.rgba)[..., 3]
    columns = np.flatnonzero((alpha > 0).any(axis=0))
    assert columns[0] == result.rgba.width - 1 - columns[-1] == pytest.approx(result.rgba.width * 0.1, abs=1)
    flat = cut_out(on_white(drawn(disc("#c83030"))), margin=0, square=False)
    assert flat.rgba.size == (72, 64) or flat.rgba.size == (73, 65)


def test_a_subject_that_runs_into_the_border_is_said():
    def half(on: ImageDraw.ImageDraw) -> None:
        on.rectangle(scaled(0, 40, 60, 96), fill="#307040")

    report = cut_out(on_white(drawn(half))).report
    assert report.touches_edge and report.warnings


def test_without_a_plain_light_border_nothing_is_cut():
    random = np.random.default_rng(1)
    for picture in (
        Image.new("RGB", (64, 64), "#304050"),
        Image.fromarray(random.integers(0, 255, (64, 64, 3), dtype=np.uint8)),
    ):
        found = cut_out(picture, margin=0)
        assert not found.report.plain and found.report.warnings
        assert np.asarray(found.rgba)[..., 3].min() == 255


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (Image.new("RGB", (64, 64), "white"), "Nothing is drawn"),
        (Image.new("RGB", (3, 64), "white"), "cannot be cut out"),
        ("a path", "not a str"),
    ],
)
def test_bad_input_is_one_sentence(picture, words):
    with pytest.raises(BioiconsError, match=words) as error:
        cut_out(picture)
    assert "\n" not in str(error.value)


def test_a_wrong_margin_is_refused():
    with pytest.raises(BioiconsError, match=r"outside 0 to 0\.4"):
        cut_out(Image.new("RGB", (64, 64)), margin=0.9)
