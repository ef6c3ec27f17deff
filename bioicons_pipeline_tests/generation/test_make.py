"""From a wish to files: with a pipeline that draws a disc whose colour and size come from the seed."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
from lxml import etree
from PIL import Image, ImageDraw

from bioicons_pipeline.generation import make
from bioicons_pipeline.generation.carriers import read_card
from bioicons_pipeline.generation.copies import CopyIndex
from bioicons_pipeline.generation.make import Wish, WishError, Workshop, make_icons
from bioicons_pipeline.generation.review import review
from bioicons_pipeline.generation.sampler import GenerationError, SamplingSettings
from bioicons_pipeline.generation.training_icons import TrainingIcons
from bioicons_pipeline.generation.vectorize import VectorizeError
from bioicons_pipeline.training.base_models import BaseLicence, BaseModel
from bioicons_pipeline.whole import WriteError

BASE = BaseModel("flux-toy", "/nowhere", BaseLicence("MIT", None, True, ""), "sha256:abc")
SETTINGS = SamplingSettings(size=96, steps=3)
ANY_SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><path d="M0 0h1v1z"/></svg>'


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
    monkeypatch.setattr(make, "unread", lambda _pipeline, caption, _settings: caption[200:])
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
    first[1].files.card.unlink()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    sampled.clear()
    again = list(make_icons(wish, workshop(), tmp_path))
    assert sampled == [8]
    assert {icon.seed: icon.kept for icon in again} == {7: True, 8: False, 9: True}
    assert all((tmp_path / name).read_bytes() == data for name, data in before.items())
    assert len(list(tmp_path.iterdir())) == 9


@pytest.mark.parametrize("reviewed", [False, True])
@pytest.mark.parametrize("way", ["no vectors", "svg deleted"])
def test_only_the_svg_is_made_where_only_it_is_missing(sampled, tmp_path, way, reviewed):
    """From the PNG that is there, and with its card: drawn again, it would lose a person's sign-off."""
    (first,) = make_icons(Wish("a red disc", None, 1, 7, vectors=way != "no vectors"), workshop(), tmp_path)
    drawn = first.files.svg.read_bytes() if first.files.svg else b""
    if first.files.svg:
        first.files.svg.unlink()
    if reviewed:
        review(first.files.png, "0000-0002-1825-0097", "approved")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    sampled.clear()
    (made,) = make_icons(Wish("a red disc", None, 1, 7), workshop(), tmp_path)
    assert sampled == [] and not made.kept and made.problem == ""
    assert {path: path.read_bytes() for path in before} == before
    svg = made.files.svg.read_bytes()
    assert read_card(svg, ".svg") == made.card == read_card(first.files.card.read_bytes(), ".json")
    assert len(made.card.reviews) == reviewed and made.card.status.encode() in svg
    assert reviewed or not drawn or svg == drawn
    assert [icon.kept for icon in make_icons(Wish("a red disc", None, 1, 7), workshop(), tmp_path)] == [True]
    review(made.files.svg, "0000-0002-1825-0097", "needs-work")  # all its files have one card


@pytest.mark.parametrize("reviewed", [False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_what_is_to_say_of_a_later_svg_is_said(sampled, tmp_path, monkeypatch, reviewed, fails):
    """In the card; in that of a person's sign-off nothing is changed, and it is told."""
    (first,) = make_icons(Wish("a red disc", None, 1, 7, vectors=False), workshop(), tmp_path)
    if reviewed:
        review(first.files.png, "0000-0002-1825-0097", "approved")
    card = read_card(first.files.card.read_bytes(), ".json")

    def vectorize(*_arguments, **_words):
        if fails:
            raise VectorizeError("Too many colours.")
        return SimpleNamespace(svg=ANY_SVG, report=SimpleNamespace(loosened=("Fewer colours.",)))

    monkeypatch.setattr(make, "vectorize", vectorize)
    (made,) = make_icons(Wish("a red disc", None, 1, 7), workshop(), tmp_path)
    said = "No SVG: Too many colours." if fails else "Fewer colours."
    assert made.card == (card if reviewed else card.model_copy(update={"notes": (*card.notes, said)}))
    assert (made.files.svg is None) == fails
    assert made.problem == (said if fails or reviewed else "")
    cards = [read_card(path.read_bytes(), path.suffix) for path in tmp_path.iterdir()]
    assert len(cards) == (2 if fails else 3) and all(one == made.card for one in cards)


@pytest.mark.parametrize("lost", [".png", ".json", "damaged"])
def test_a_card_with_a_sign_off_is_never_written_over(sampled, tmp_path, lost):
    (first,) = make_icons(Wish("a red disc", None, 1, 7, vectors=False), workshop(), tmp_path)
    review(first.files.png, "0000-0002-1825-0097", "approved")
    if lost == "damaged":
        first.files.png.write_bytes(first.files.png.read_bytes()[:-40])
    else:
        first.files.png.with_suffix(lost).unlink()
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    sampled.clear()
    made = list(make_icons(Wish("a red disc", None, 2, 7), workshop(), tmp_path))
    assert sampled == [8] and {icon.seed: icon.files is None for icon in made} == {7: True, 8: False}
    assert "sign-off" in made[0].problem
    late = make.finish(
        Wish("a red disc", None, 1, 7), workshop(), 7, disc(7), tmp_path
    )  # signed while it was drawn
    assert late.files is None and "sign-off" in late.problem
    assert {path: path.read_bytes() for path in before} == before


def test_a_folder_that_cannot_be_written_is_refused_before_the_model_is_loaded(sampled, tmp_path):
    (tmp_path / "file").write_text("mine")
    shop = dataclasses.replace(workshop(), pipeline=lambda: pytest.fail("the model was loaded"))
    with pytest.raises(WriteError, match="is a file, not a folder: choose another"):
        list(make_icons(Wish("a disc"), shop, tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "mine"


def test_what_a_pdf_has_between_its_words_is_a_blank(sampled, tmp_path):
    (made,) = make_icons(Wish("a mouse\x02 cell\x1b\n", count=1), workshop(), tmp_path)
    assert made.card.prompt == "a mouse  cell" and "a mouse cell, " in made.card.caption
    assert {path.suffix for path in tmp_path.iterdir()} == {".png", ".svg", ".json"}


def test_the_end_that_a_model_does_not_read_is_said(sampled, tmp_path):
    (made,) = make_icons(Wish(f"a cell{' with a nucleus' * 20}", count=1), workshop(), tmp_path)
    assert "not read: “" in made.problem and made.problem in made.card.notes
    assert made.card.caption[200:] in made.problem


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
