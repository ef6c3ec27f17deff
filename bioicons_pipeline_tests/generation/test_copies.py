"""Changed drawings are found again in the index, strangers are not."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.generation import copies


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
        whole_only = max(
            index.wholes.similarities(copies.tilted(copies.standing_out(piece)[0]))[0].max(axis=0)
        )
        assert whole_only < best.similarity


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
