"""Changed drawings are found again in the index, strangers are not."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.generation import closer, copies


def blob(seed: int, side: int = 96) -> Image.Image:
    """A random figure of a few ellipses and bars, RGBA."""
    random = np.random.default_rng(seed)
    picture = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    draw = ImageDraw.Draw(picture)
    for _ in range(6):
        x, y = random.integers(8, side - 40, 2)
        w, h = random.integers(10, 34, 2)
        colour = tuple(int(value) for value in random.integers(0, 230, 3))
        (draw.ellipse if random.random() < 0.6 else draw.rectangle)([x, y, x + w, y + h], colour, "black", 2)
    return picture


def on_white(rgba: Image.Image) -> Image.Image:
    ground = Image.new("RGBA", rgba.size, "white")
    ground.alpha_composite(rgba)
    return ground.convert("RGB")


PICTURES = {f"icon-{seed}": blob(seed) for seed in range(24)}
CHANGES = {
    "same": lambda picture: on_white(picture),
    "hue": lambda picture: Image.fromarray(np.asarray(on_white(picture))[..., [2, 0, 1]]),
    "blur": lambda picture: on_white(picture).filter(ImageFilter.GaussianBlur(1)),
    "mirrored": lambda picture: ImageOps.mirror(on_white(picture)),
    "turned": lambda picture: on_white(picture.rotate(90)),
    "tilted": lambda picture: on_white(picture.rotate(5, Image.Resampling.BICUBIC, expand=True)),
    "cut off": lambda picture: on_white(picture.crop(picture.getbbox())),
}


@pytest.fixture(scope="module")
def index() -> copies.CopyIndex:
    return copies.CopyIndex.build(PICTURES)


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_drawing_is_found_again(index, change):
    for key in list(PICTURES)[:6]:
        (best, second) = index.nearest(CHANGES[change](PICTURES[key]), 2)
        assert best.key == key
        assert best.similarity > 0.9 > second.similarity


def test_a_piece_is_found_by_the_parts_of_the_index(index):
    for key in list(PICTURES)[:6]:
        whole = on_white(PICTURES[key].crop(PICTURES[key].getbbox()))
        piece = whole.crop((0, 0, round(whole.width * 0.8), whole.height))
        best = index.nearest(piece, 1)[0]
        assert best.key == key and best.part and best.similarity > 0.95
        assert index.score(piece).threshold == copies.threshold(cut=True)


def bar(seed: int) -> Image.Image:
    """A thin row of boxes on a bar: stretched to a square, a tilt changes it beyond recognition."""
    random = np.random.default_rng(seed)
    picture = Image.new("RGBA", (192, 192), (0, 0, 0, 0))
    draw = ImageDraw.Draw(picture)
    draw.rectangle([8, 92, 184, 100], (90, 160, 90), "black")
    for x in np.cumsum(random.integers(14, 40, 5)):
        high, wide = random.integers(5, 16), random.integers(8, 24)
        draw.rectangle([x, 96 - high, x + wide, 96 + high], (200, 60, 40), "black")
    return picture


PLATE = Image.new("RGBA", (192, 192), (0, 0, 0, 0))
ImageDraw.Draw(PLATE).ellipse([10, 10, 182, 182], (240, 230, 180), "black", 3)


def oval() -> Image.Image:
    """The same plate, seen from the side: another icon, though the descriptor cannot know it well."""
    picture = Image.new("RGBA", (192, 192), (0, 0, 0, 0))
    ImageDraw.Draw(picture).ellipse([10, 40, 182, 152], (240, 230, 180), "black", 3)
    return picture


@pytest.fixture(scope="module")
def hard() -> copies.CopyIndex:
    return copies.CopyIndex.build({**{f"bar-{seed}": bar(seed) for seed in range(8)}, "plate": PLATE})


def test_a_thin_icon_tilted_and_mirrored_is_a_copy_and_another_one_is_not(hard):
    for seed in range(4):
        changed = ImageOps.mirror(bar(seed)).rotate(5, Image.Resampling.BICUBIC, expand=True)
        found = hard.score(on_white(changed))
        assert found.likely_copy and found.nearest[0].key == f"bar-{seed}"
        assert found.nearest[1].similarity < found.threshold
    assert not hard.score(on_white(bar(100))).likely_copy


def test_an_oval_plate_is_no_copy_of_a_round_one_nor_one_with_a_grid_on_it(hard):
    grid = PLATE.copy()
    for x in range(40, 160, 20):
        ImageDraw.Draw(grid).line([x, 40, x, 150], "black", 3)
    assert hard.score(on_white(PLATE)).likely_copy
    for other in (oval(), grid):
        found = hard.score(on_white(other))
        assert not found.likely_copy and found.nearest[0].similarity < found.threshold - 0.02


def test_it_is_the_moving_that_finds_a_tilted_icon(hard, monkeypatch):
    changed = on_white(bar(1).rotate(5, Image.Resampling.BICUBIC, expand=True))
    monkeypatch.setattr(closer, "TILTS", (0.0,))
    assert hard.score(changed).likely_copy
    monkeypatch.setattr(closer, "_STEPS", 0)
    assert not hard.score(changed).likely_copy


@pytest.mark.parametrize("size", [(1, 128), (128, 1), (128, 128), (3, 2)])
@pytest.mark.parametrize("sides", [(False,) * 4, (True,) * 4])
def test_a_line_or_a_full_square_has_a_likeness(size, sides):
    rgba = np.zeros((*size, 4), np.uint8)
    rgba[..., 3] = 255
    values = closer.likeness(rgba, sides, [rgba, copies.standing_out(PLATE)[0]])
    assert np.isfinite(values).all() and (np.abs(values) < 1.001).all()
    assert any(sides) or values[0] > 0.99


def test_the_score_says_what_is_likely_a_copy(index):
    copy, stranger = index.score(on_white(PICTURES["icon-3"])), index.score(on_white(blob(999)))
    assert copy.likely_copy and copy.score > 0.99 and copy.nearest[0].key == "icon-3"
    assert not stranger.likely_copy and stranger.score < stranger.threshold
    assert len(copy.nearest) == 5 == len({neighbour.key for neighbour in copy.nearest})


def test_one_family_counts_once_and_can_be_left_out():
    pictures = {"a": blob(1), "a-red": blob(1), "b": blob(2)}
    index = copies.CopyIndex.build(pictures, {"a": "A", "a-red": "A", "b": "B"})
    assert [n.key for n in index.nearest(pictures["a"], 5)][1:] == ["b"]
    assert [n.key for n in index.nearest(pictures["a"], 5, without_family="A")] == ["b"]


def test_an_empty_picture_resembles_nothing(index):
    score = index.score(Image.new("RGBA", (64, 64)))
    assert score.nearest == () and score.score == 0 and not score.likely_copy


def test_the_index_comes_back_from_its_file(index, tmp_path):
    index.save(tmp_path / "index.npz")
    again = copies.CopyIndex.load(tmp_path / "index.npz")
    assert again.nearest(PICTURES["icon-1"]) == index.nearest(PICTURES["icon-1"])


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 damaged", b"\x80\x04]."])
def test_a_damaged_index_is_one_sentence(tmp_path, content):
    (tmp_path / "index.npz").write_bytes(content)
    with pytest.raises(BioiconsError, match="build it again"):
        copies.CopyIndex.load(tmp_path / "index.npz")


def test_bad_input_is_one_sentence(index):
    with pytest.raises(BioiconsError, match="no training icons"):
        copies.CopyIndex.build({})
    with pytest.raises(BioiconsError, match="not a str"):
        index.score("picture.png")
    with pytest.raises(BioiconsError, match="cannot be read"):
        index.score(np.zeros((2, 2, 7)))


def test_the_calibration_is_the_one_that_the_script_made():
    facts = copies.calibration()
    assert facts["made_by"].startswith("benchmarks/copies.py")
    assert 0.8 < copies.threshold() < 1
    assert set(facts["recall"]) == {"hue_shift", "blur", "crop", "tilt", "mirrored"}
