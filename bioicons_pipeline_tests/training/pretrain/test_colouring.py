"""Colours by chance: the right ones, the same ones every time, and no other pixel."""

import numpy as np
import pytest

from bioicons_pipeline.captioning.picture import measure_pixels
from bioicons_pipeline.captioning.style import colour_of
from bioicons_pipeline.training.pretrain import colouring, sets
from bioicons_pipeline.training.pretrain.colouring import PAINTS, paint, painted, turned


def drawn(colour):
    pixels = np.full((32, 32, 3), 255, dtype=np.uint8)
    pixels[8:24, 8:24] = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return pixels


@pytest.mark.parametrize("name", [name for name in PAINTS if name != "black"])
def test_a_paint_is_measured_as_the_colour_it_is_called(name, monkeypatch):
    monkeypatch.setattr(colouring, "PAINTS", {name: PAINTS[name]})
    chance = np.random.default_rng(0)
    found = [
        colour_of(measure_pixels(drawn(paint(chance)), np.full((32, 32), 255, np.uint8))) for _ in range(40)
    ]
    assert np.mean([one == name for one in found]) > 0.8, (name, found)


def test_only_the_named_colours_are_painted_and_always_alike():
    body = '<path fill="currentColor"/><path stroke="#2F88FF"/><path fill="#000"/>'
    found = painted(body, ("currentColor", "#2F88FF"), "a/heart")
    assert found == painted(body, ("currentColor", "#2F88FF"), "a/heart")
    assert "currentColor" not in found and "#2F88FF" not in found and 'fill="#000"' in found
    assert found != painted(body, ("currentColor", "#2F88FF"), "a/star")
    assert painted(body, (), "a/heart") == body


def test_turning_changes_the_hue_and_neither_white_nor_the_value():
    pixels = drawn("#d02020")
    found = [turned(pixels, f"a/{number}") for number in range(40)]
    assert all((one[0, 0] == 255).all() for one in found)
    assert all(abs(int(one[16, 16].max()) - 0xD0) <= 2 for one in found)
    named = {colour_of(measure_pixels(one, np.full((32, 32), 255, np.uint8))) for one in found}
    assert len(named) >= 4


def test_the_end_of_a_name_says_how_it_is_drawn():
    assert sets.style_of("ph/heart-duotone") == "two tones of one colour"
    assert sets.stem("ph/heart-duotone") == "heart" and sets.stem("noto/heart-flat") == "heart-flat"
    by_name = {source.name: source for source in sets.WIDER}
    assert sets.manner(by_name["ph"], "heart-thin") is None  # too thin for 64 px
    assert sets.manner(by_name["solar"], "heart-broken") is None
    assert sets.manner(by_name["game-icons"], "wolf-head") == ("detailed silhouette", "wolf-head")


@pytest.mark.parametrize("name", ["account-off", "wifi-strength", "file-plus", "github", "currency-eur"])
def test_buttons_and_logos_are_left_out(name):
    assert sets.of_interface(name)
    assert not sets.of_interface("microscope") and not sets.of_interface("mushroom-gills")
