"""Colours by chance for icons whose own colours say nothing.

Belongs here: an icon of one colour painted in a colour of the caption grammar, an icon of few colours turned
around the colour circle. Does not belong here: the word for what comes out (`captioning.style` measures it).
The same icon gets the same colours on every machine.
"""

from __future__ import annotations

import colorsys
import hashlib
from collections.abc import Sequence

import numpy as np

PAINTS: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    "black": ((0, 1), (0.0, 0.3), (0.02, 0.12)),
    "gray": ((0, 1), (0.0, 0.05), (0.4, 0.7)),
    "red": ((0.97, 1.02), (0.7, 0.95), (0.7, 0.95)),
    "orange": ((0.06, 0.09), (0.75, 1.0), (0.9, 1.0)),
    "yellow": ((0.13, 0.16), (0.6, 0.95), (0.9, 1.0)),
    "green": ((0.25, 0.4), (0.4, 0.9), (0.4, 0.8)),
    "turquoise": ((0.47, 0.52), (0.5, 0.95), (0.6, 0.9)),
    "blue": ((0.56, 0.65), (0.45, 0.95), (0.5, 0.95)),
    "purple": ((0.73, 0.8), (0.35, 0.8), (0.45, 0.85)),
    "pink": ((0.9, 0.97), (0.25, 0.55), (0.9, 1.0)),
    "brown": ((0.04, 0.08), (0.5, 0.8), (0.3, 0.55)),
    "beige": ((0.09, 0.11), (0.15, 0.3), (0.85, 0.95)),
}
"""Ranges of hue, saturation and value of the colours that are drawn, all in [0, 1]."""


def chance_of(purpose: str, key: str) -> np.random.Generator:
    """The same draws for the same icon and purpose, on every machine."""
    return np.random.default_rng(list(hashlib.sha256(f"{purpose}{key}".encode()).digest()))


def paint(chance: np.random.Generator) -> str:
    """A colour of one of `PAINTS`, as `#rrggbb`."""
    hue, saturation, value = (chance.uniform(*bounds) for bounds in PAINTS[str(chance.choice(list(PAINTS)))])
    return "#" + "".join(
        f"{round(part * 255):02x}" for part in colorsys.hsv_to_rgb(hue % 1, saturation, value)
    )


def painted(body: str, colours: Sequence[str], key: str) -> str:
    """An SVG body with each of `colours` replaced by one that is drawn."""
    chance = chance_of("paint of ", key)
    for colour in colours:
        body = body.replace(colour, paint(chance))
    return body


def turned(pixels: np.ndarray, key: str) -> np.ndarray:
    """(S, S, 3) uint8 with all hues turned by the same angle; grays stay, and light and dark do."""
    from PIL import Image

    picture = np.asarray(Image.fromarray(pixels).convert("HSV")).copy()
    picture[..., 0] += np.uint8(chance_of("turn of ", key).integers(0, 256))
    return np.asarray(Image.fromarray(picture, "HSV").convert("RGB"))
