"""From a wish to files: with a pipeline that draws a disc whose colour and size come from the seed."""

import json

import numpy as np
import pytest
from lxml import etree
from PIL import Image, ImageDraw

from bioicons_pipeline.generation import make
from bioicons_pipeline.generation.carriers import read_card
from bioicons_pipeline.generation.copies import CopyIndex
from bioicons_pipeline.generation.make import Wish, WishError, Workshop, make_icons
from bioicons_pipeline.generation.sampler import GenerationError, SamplingSettings
from bioicons_pipeline.generation.training_icons import TrainingIcons
from bioicons_pipeline.training.base_models import BaseLicence, BaseModel

BASE = BaseModel("flux-toy", "/nowhere", BaseLicence("MIT", None, True, ""), "sha256:abc")
SETTINGS = SamplingSettings(size=96, steps=3)


def disc(seed: int, size: int = 96) -> Image.Image:
    picture = Image.new("RGB", (size, size), "white")
    radius = 16 + seed % 16
    box = (48 - radius, 48 - radius, 48 + radius, 48 + radius)
    ImageDraw.Draw(picture).ellipse(box, fill=(200, 40 + seed % 100, 60))
    return picture


@pytest.fixture
def sampled(monkeypatch):
    """Seeds that were really sampled."""
    seen = []

    def sample(_pipeline, prompts, seeds, settings, *, scales, progress):
        seen.extend(seeds)
        assert len(prompts) == len(seeds) and settings is SETTINGS
        progress(settings.steps * len(seeds), settings.steps * len(seeds))
        return [BLANK if seed == 13 else disc(seed) for seed in seeds]

    monkeypatch.setattr(make, "sample", sample)
    monkeypatch.setattr(make, "precision_of", lambda _pipeline: "fp32")
    return seen


BLANK = Image.new("RGB", (96, 96), "white")


def workshop(training=None, settings=SETTINGS):
    return Workshop(BASE, (), settings, pipeline=lambda: object(), training=training)


def test_an_icon_is_a_transparent_png_an_svg_and_a_card(sampled, tmp_path):
    made = list(make_icons(Wish("a red disc", count=2, seed=7), workshop(), tmp_path))
    assert sampled == [7, 8] and [icon.seed for icon in made] == [7, 8]
    for icon in made:
        assert icon.problem == "" and not icon.kept
        alpha = np.asarray(Image.open(icon.files.png))[..., 3]
        assert alpha[0, 0] == 0 and alpha[alpha.shape[0] // 2, alpha.shape[1] // 2] == 255
        root = etree.parse(icon.files.svg).getroot()
        assert root.get("viewBox")
        cards = [read_card(path.read_bytes(), path.suffix) for path in tmp_path.glob(f"*-{icon.seed}.*")]
        assert len(cards) == 3 and all(card == icon.card for card in cards)
        assert icon.card.prompt == "a red disc" and icon.card.caption.startswith("bioicons style, a red disc")
        assert icon.card.status == "AI-generated, not reviewed" and icon.card.seed == icon.seed
        assert icon.card.precision == "fp32"


def test_what_is_finished_is_not_made_again(sampled, tmp_path):
    wish = Wish("a red disc", count=3, seed=7)
    first = list(make_icons(wish, workshop(), tmp_path))
    first[1].files.svg.unlink()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    sampled.clear()
    again = list(make_icons(wish, workshop(), tmp_path))
    assert sampled == [8]
    assert {icon.seed: icon.kept for icon in again} == {7: True, 8: False, 9: True}
    assert all((tmp_path / name).read_bytes() == data for name, data in before.items())
    assert len(list(tmp_path.iterdir())) == 9


def test_another_wish_never_writes_over_an_icon(sampled, tmp_path):
    wish = Wish("a red disc", count=1)
    stems = {
        workshop().stem(wish, 0),
        workshop().stem(wish, 1),
        workshop().stem(Wish("a red disc", category="Animals", count=1), 0),
        workshop().stem(Wish("A red disc!", count=1), 0),
        workshop(settings=SamplingSettings(size=96, steps=4)).stem(wish, 0),
        Workshop(BaseModel("b", "", BASE.licence, "sha256:def"), (), SETTINGS, lambda: None).stem(wish, 0),
    }
    assert len(stems) == 6 and all(stem.startswith("a-red-disc-") for stem in stems)


def test_the_batch_does_not_decide_the_file_name():
    wish = Wish("a red disc")
    names = {workshop(settings=SamplingSettings(size=96, steps=3, batch=n)).stem(wish, 0) for n in (1, 8)}
    assert len(names) == 1


def test_whoever_stops_keeps_what_was_finished(sampled, tmp_path):
    icons = make_icons(Wish("a red disc", count=3, seed=0), workshop(), tmp_path)
    next(icons)
    icons.close()
    assert len(list(tmp_path.glob("*.json"))) == 1 and not list(tmp_path.glob(".*"))


def test_a_blank_picture_is_no_icon_and_stops_nothing(sampled, tmp_path):
    made = list(make_icons(Wish("a disc", count=2, seed=13), workshop(), tmp_path))
    assert [icon.files is None for icon in made] == [True, False] and made[0].problem
    assert len(list(tmp_path.glob("*.png"))) == 1


def test_a_copy_is_marked_and_its_icon_cited(sampled, tmp_path):
    rows = {
        "one": {
            "icon_id": "one", "name": "disc", "author": "A. Painter", "author_url": None, "spdx": "CC-BY-4.0",
            "licence_url": "https://creativecommons.org/licenses/by/4.0/", "source_url": "https://e.org/1",
        }
    }  # fmt: skip
    known = Image.new("RGB", (96, 96), "white")
    draw = ImageDraw.Draw(known)
    draw.polygon([(20, 20), (76, 30), (60, 80), (30, 60)], fill="navy")
    draw.line([(20, 20), (60, 80)], fill="orange", width=5)
    training = TrainingIcons(CopyIndex.build({"one": known}), rows)
    make_one = Wish("a thing", count=1)
    copied = make.finish(make_one, workshop(training), 0, known, tmp_path / "copy")
    other = make.finish(make_one, workshop(training), 1, disc(1), tmp_path / "other")
    assert copied.card.likely_copy and not other.card.likely_copy
    assert "A. Painter" in copied.card.cite_instead and other.card.cite_instead is None
    assert copied.card.nearest[0].source_url == "https://e.org/1"
    assert json.loads(copied.files.card.read_bytes())["cite_instead"] == copied.card.cite_instead


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"prompt": ""}, "prompt is empty"),
        ({"prompt": " ,.! "}, "prompt is empty"),
        ({"prompt": "x" * 10_000}, "10000 characters"),
        ({"prompt": "a cell", "count": 0}, "count of 0"),
        ({"prompt": "a cell", "count": 1_000_000}, "count of 1000000"),
        ({"prompt": "a cell", "seed": -1}, "seed -1"),
        ({"prompt": "a cell", "seed": 2**32}, "seed 4294967296"),
    ],
)
def test_wishes_that_cannot_be_met(wish, said):
    with pytest.raises(WishError, match=said):
        Wish(**wish)


@pytest.mark.parametrize(
    "bad", [{"size": 100}, {"size": 8192}, {"steps": 0}, {"batch": 0}, {"guidance": -1.0}]
)
def test_settings_are_refused_before_the_model_is_loaded(bad, tmp_path):
    def load():
        raise AssertionError("the model was loaded")

    chosen = SamplingSettings(**{"size": 96, "steps": 3, **bad})
    with pytest.raises(GenerationError, match=next(iter(bad)).capitalize() + "|" + next(iter(bad))):
        list(make_icons(Wish("a cell"), Workshop(BASE, (), chosen, load), tmp_path))
    assert not list(tmp_path.iterdir())
