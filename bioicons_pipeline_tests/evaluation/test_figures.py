"""The figures on planted faults: each moves the right way, and a broken one is not reported."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from bioicons_pipeline.evaluation import figures
from bioicons_pipeline.evaluation.adherence import askable, ranks, words_of
from bioicons_pipeline.evaluation.figures import Gallery
from bioicons_pipeline.evaluation.measure import BASE, CHANCE, GRAIN, NOISE, REAL
from bioicons_pipeline.evaluation.memorization import Scored, by_prompt
from bioicons_pipeline.evaluation.vectorizability import grainy, vector_facts, vector_measures
from bioicons_pipeline.generation.copies import CopyIndex
from bioicons_pipeline_tests.evaluation.conftest import SHAPES, icon, soft

HELDOUT = range(30, 46)


@pytest.fixture(scope="module")
def gallery(library):
    """Sixteen held-out families; the base draws soft pictures of any shape, the LoRA clean ones as asked."""
    pictures, families, _ = library
    heldout = [icon(family) for family in HELDOUT]
    groups = tuple(f"family {family}" for family in HELDOUT)
    asked = {
        BASE: [soft(icon(100 + family % 3)) for family in HELDOUT],
        "lora": [icon(200 + family) for family in HELDOUT],
        "ignores words": [icon(300 + 4 * family) for family in HELDOUT],
    }
    prompts = tuple(f"a {SHAPES[family % 4]}" for family in HELDOUT)
    return Gallery(prompts, groups, asked, (heldout, groups), (pictures, families))


def test_style_of_clean_drawings_is_closer_than_that_of_soft_ones(gallery):
    style, features = figures.style_measure(gallery)
    assert style.reported and style.verdicts["lora"].state == "good"
    assert style.lines["lora"].value < style.lines[BASE].value < style.lines[NOISE].value
    rows = figures.feature_table(features, list(gallery.drawn))
    softness = next(row for row in rows if row["feature"] == "soft gradient share")
    assert abs(softness["lora off"]) < 1 < softness["base off"]


def test_a_style_figure_that_puts_the_base_before_real_icons_is_not_reported(gallery):
    """The planted fault: base and training icons exchanged."""
    real = dataclasses.replace(gallery, drawn={**gallery.drawn, BASE: gallery.heldout[0]})
    soft_train = [soft(picture) for picture in gallery.train[0]]
    style, _ = figures.style_measure(dataclasses.replace(real, train=(soft_train, gallery.train[1])))
    assert not style.reported and "real icons are closer to real icons than the base is" in style.why_not


def test_one_held_out_family_is_too_few_for_a_distance(gallery):
    one = (gallery.heldout[0][:2], ("only", "only"))
    style, _ = figures.style_measure(dataclasses.replace(gallery, heldout=one))
    assert not style.reported and "two families" in style.why_not


def test_drawing_what_was_asked_beats_ignoring_words(gallery, library):
    asked = [frozenset({SHAPES[family % 4]}) for family in HELDOUT]
    words = figures.word_measure(gallery, asked, library[2])
    assert words.reported and words.lines[REAL].low > words.lines[CHANCE].value
    assert words.lines["lora"].value > words.lines["ignores words"].value + 0.3
    # the words of shuffled captions: everything falls to chance, real icons too, and nothing is reported
    shuffled = asked[2:] + asked[:2]
    broken = figures.word_measure(gallery, shuffled, library[2])
    assert broken.lines["lora"].value < words.lines["lora"].value and not broken.reported
    none = figures.word_measure(gallery, [frozenset({"unicorn"})] * len(asked), library[2])
    assert not none.reported and "Too few" in none.why_not


def test_words_of_names_and_which_can_be_asked():
    assert words_of("tiger_mosquito-2") == {"tiger", "mosquito"} and words_of("Mice") == {"mice"}
    known = [frozenset({"mosquito"})] * 3 + [frozenset({"common"})] * 6 + [frozenset({"rare"})]
    asked = [frozenset({"mosquito", "rare"}), frozenset({"common"}), frozenset({"unknown"})]
    assert askable(asked, known) == ["mosquito", None, None]


def test_the_rank_of_the_right_caption():
    texts = np.eye(5)
    assert ranks(texts, texts, range(5)).tolist() == [0] * 5
    assert ranks(texts[[1]], texts, [0]).tolist() == [(1 + 3 / 2) / 4]  # one better, the others equal
    random = np.random.default_rng(0).normal(size=(400, 8))
    random /= np.linalg.norm(random, axis=1, keepdims=True)
    own = np.random.default_rng(1).integers(400, size=400)
    assert ranks(random, random, own).mean() == pytest.approx(0.5, abs=0.05)
    pictures = {REAL: texts, "lora": texts, "shuffled": texts[[1, 2, 3, 4, 0]]}
    own = {name: range(5) for name in pictures}
    groups = {name: list("abcde") for name in pictures}
    found = figures.retrieval_measure(pictures, texts, own, groups, "toy")
    assert found.reported and found.lines["shuffled"].value > 0.5 > found.lines["lora"].value
    with pytest.raises(ValueError, match="two captions"):
        ranks(texts[:1], texts[:1], [0])


@pytest.fixture(scope="module")
def index(library):
    pictures, families, _ = library
    keys = [f"{family} {number}" for number, family in enumerate(families)]
    return CopyIndex.build(dict(zip(keys, pictures, strict=True)), dict(zip(keys, families, strict=True)))


def scored(index, pictures, groups=None):
    groups = groups or tuple(map(str, range(len(pictures))))
    return Scored(tuple(index.score(picture) for picture in pictures), tuple(groups))


def test_training_icons_score_as_copies_and_make_the_check_fail(library, index):
    pictures = library[0]
    squares = [Image.new("RGB", (96, 96), "white") for _ in range(10)]
    for number, square in enumerate(squares):
        square.paste("#333333", (4 + number, 30, 90, 44 + 3 * number))
        square.paste("#aa3333", (10, 60, 20 + 7 * number, 92))
    real = scored(index, squares)
    copied = scored(index, pictures[:20:2])
    honest = scored(index, squares)
    found = figures.copy_measure({BASE: honest, "copies": copied, "honest": honest}, real, copied)
    assert found.reported and found.lines["copies"].value == 1 and found.lines[REAL].value < 0.3
    assert {name: said.state for name, said in found.verdicts.items()} == {"copies": "bad", "honest": "good"}
    blind = figures.copy_measure({BASE: honest, "copies": copied}, real, honest)
    assert not blind.reported and blind.verdicts  # a score that misses training icons says nothing


def test_copies_are_counted_prompt_by_prompt(library, index):
    pictures = [library[0][0], library[0][0], Image.new("RGB", (96, 96), "white")]
    rows = by_prompt(["a disc", "a disc", "nothing"], [index.score(picture) for picture in pictures])
    assert [(row.prompt, row.pictures, row.copies) for row in rows] == [("a disc", 2, 2), ("nothing", 1, 0)]
    assert rows[0].nearest.startswith("family 0") and rows[1].nearest == "" and rows[1].score == 0


@pytest.fixture(scope="module")
def vectors():
    """Vector facts of two drawings, the same with a soft look, with grain, and of blank pictures."""
    drawings = [icon(family).resize((64, 64)) for family in (0, 2)]
    return {
        REAL: vector_facts(drawings),
        BASE: vector_facts([soft(drawing) for drawing in drawings]),
        GRAIN: vector_facts([grainy(drawing) for drawing in drawings]),
        "nothing": vector_facts([Image.new("RGB", (64, 64), "white")] * 2),
    }


def test_drawings_with_grain_need_more_shapes_and_bytes_and_are_farther_off(vectors):
    assert vectors["nothing"] == [None, None]
    measures = vector_measures(vectors, dict.fromkeys(vectors, ("a", "b")))
    for measure in measures:
        assert measure.reported and "nothing" not in measure.lines
        assert measure.lines[REAL].value < measure.lines[GRAIN].value
    blind = vector_measures({**vectors, GRAIN: vectors[REAL]}, dict.fromkeys(vectors, ("a", "b")))
    assert not any(measure.reported for measure in blind)
