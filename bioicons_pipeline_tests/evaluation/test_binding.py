"""The descriptor tells shapes and colours apart; a base that ignores words comes out at chance."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from bioicons_pipeline.evaluation.binding import COPY, binding, bound_of_real_icons, prompt_words
from bioicons_pipeline.evaluation.descriptor import nearest, shape_and_colour

COLOURS = {"red": "#d22", "green": "#2a4", "blue": "#24c", "orange": "#f80"}


def drawing(shape, colour, shift=0):
    picture = Image.new("RGB", (64, 64), "white")
    draw = ImageDraw.Draw(picture)
    box = (10 + shift, 10, 50 + shift, 50)
    if shape == "disc":
        draw.ellipse(box, fill=COLOURS[colour])
    elif shape == "bar":
        draw.rectangle((4, 26 + shift, 60, 36 + shift), fill=COLOURS[colour])
    else:
        draw.polygon([(10, 50), (30 + shift, 10), (54, 50)], fill=COLOURS[colour])
    return np.asarray(picture)


def library():
    words, vectors = [], []
    for shape in ("disc", "bar", "tent"):
        for colour in COLOURS:
            for shift in range(4):
                words.append(frozenset({shape, colour}))
                vectors.append(shape_and_colour(drawing(shape, colour, shift)))
    return words, np.stack(vectors)


def test_shape_decides_before_colour_and_colour_among_equal_shapes():
    disc = shape_and_colour(drawing("disc", "red"))
    assert disc @ disc == pytest.approx(1, abs=1e-5)
    recoloured = disc @ shape_and_colour(drawing("disc", "blue"))
    other = disc @ shape_and_colour(drawing("bar", "red"))
    assert 0.6 < recoloured < 0.8 and other < recoloured
    assert disc @ shape_and_colour(drawing("disc", "red", 2)) > 0.95
    assert not shape_and_colour(np.full((64, 64, 3), 255, np.uint8)).any()


def test_a_base_that_draws_the_word_is_bound_and_one_that_ignores_it_is_at_chance():
    words, vectors = library()
    asked = ["disc", "bar", "tent"] * 20
    told = binding(asked, [shape_and_colour(drawing(word, "red", 1)) for word in asked], words, vectors)
    assert told.bound == told.prompts == 60 and told.copies == 60 and min(told.similarities) >= COPY
    deaf = binding(asked, [shape_and_colour(drawing("disc", "red", 1)) for _ in asked], words, vectors)
    assert deaf.bound == 20 and deaf.hits[:3] == (True, False, False)
    random = np.random.default_rng(0)
    rows = random.integers(len(words), size=(4000, 5))
    share = np.mean([any("disc" in words[row] for row in five) for five in rows])
    assert told.chance == pytest.approx(share, abs=0.03)


def test_nearest_are_in_order_and_the_picture_itself_comes_first():
    words, vectors = library()
    rows, similarity = nearest([vectors[21]], vectors, k=30)
    assert words[rows[0, 0]] == words[21] and similarity[0, 0] == pytest.approx(1, abs=1e-5)
    assert (np.diff(similarity[0]) <= 0).all() and similarity[0, -1] < 0.8


def test_prompt_words_are_trained_often_enough_and_the_same_every_time():
    keywords = [frozenset({"often", f"rare{index}"}) for index in range(10)]
    keywords += [frozenset({"cat"})] * 5 + [frozenset({"dog"})] * 6
    assert prompt_words(keywords, 8, least=5, most=9) == ["cat", "dog"]
    many = [frozenset({f"w{index % 30}"}) for index in range(300)]
    assert prompt_words(many, 8) == prompt_words(many, 8) != prompt_words(many, 8, seed=1)


def test_real_icons_bind_where_a_word_has_a_look_and_themselves_do_not_count():
    words, vectors = library()
    assert bound_of_real_icons(["disc", "tent"], words, vectors) == 2
    # a word that one red disc and one blue bar share: each finds discs or bars, not the other
    odd = list(words)
    for row in (0, 24):
        odd[row] = odd[row] | {"business"}
    assert bound_of_real_icons(["business"], odd, vectors) == 0
    odd[1] = odd[1] | {"business"}
    assert bound_of_real_icons(["business", "disc"], odd, vectors) == pytest.approx(2 / 3 + 1)
    # of two icons that are the same to a pixel each finds the other
    twins = [frozenset({"twin"})] * 2
    assert bound_of_real_icons(["twin"], twins, np.stack([vectors[3]] * 2), k=1) == 1
