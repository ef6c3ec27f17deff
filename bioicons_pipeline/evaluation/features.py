"""What the style of an icon is, in sixteen numbers that need no downloaded weights.

Belongs here: measuring one picture. Does not belong here: comparing sets of pictures (`distance`).

Each number is something a designer would name: flat areas or soft shading, few colours or many, a dark
outline, a clean white ground, how much of the canvas is used, symmetry, fine detail. None of them knows what
is drawn. Pictures are brought to one size first, for all of them depend on it.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage

SIDE = 64
"""Side in px at which style is measured: that of flux-nano, the smallest base that draws."""
_FLAT, _EDGE = 2.0, 24.0
"""Levels of 255 from one pixel to the next: below is flat, from the second on it is an edge."""
_INK = 16
"""Levels from white, of 255, from which on a pixel counts as drawn."""

LEAST = {
    "soft gradient share": 0.02,
    "flat share": 0.02,
    "edge share": 0.02,
    "colours for 90 %": 0.25,
    "share of main colour": 0.02,
    "saturation": 0.02,
    "outline darkness": 0.02,
    "outline contrast": 0.02,
    "darkest tenth": 0.02,
    "background off white": 1.0,
    "border off white": 1.0,
    "coverage": 0.02,
    "extent": 0.02,
    "symmetry left-right": 0.05,
    "spectrum slope": 0.1,
    "fine detail": 0.1,
}
"""The smallest difference of each feature that a person would notice: where real icons hardly differ, as in
their white ground, a difference counts in these and not in their tiny spread."""
NAMES = tuple(LEAST)
"""The features in the order of `style_features`."""


def style_features(picture: Image.Image) -> np.ndarray:
    """(len(NAMES),) float64 of a picture on white (transparency is laid on white), any size, all finite."""
    pixels = _on_white(picture)
    light = pixels @ np.array([0.299, 0.587, 0.114])
    drawn = (255 - pixels).max(axis=-1) > _INK
    return np.array(
        [
            *_gradients(pixels, drawn),
            *_palette(pixels, drawn),
            *_outline(light, drawn),
            *_ground(pixels, drawn),
            *_layout(drawn),
            _symmetry(light),
            *_spectrum(light),
        ]
    )


def _on_white(picture: Image.Image) -> np.ndarray:
    """(SIDE, SIDE, 3) float64, 0 to 255."""
    ground = Image.new("RGBA", picture.size, "white")
    ground.alpha_composite(picture.convert("RGBA"))
    flat = ground.convert("RGB")
    if flat.size != (SIDE, SIDE):
        # a box, as rendering does: a sharper filter rings at edges, and a ring is no flat colour
        flat = flat.resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(flat, dtype=np.float64)


def _gradients(pixels: np.ndarray, drawn: np.ndarray) -> tuple[float, float, float]:
    """Shares of what is drawn, its rim included, that change softly, not at all, and sharply."""
    across = np.abs(np.diff(pixels, axis=1, append=pixels[:, -1:])).max(axis=-1)
    down = np.abs(np.diff(pixels, axis=0, append=pixels[-1:])).max(axis=-1)
    strength = np.maximum(across, down)[ndimage.binary_dilation(drawn)]
    if not strength.size:
        return 0.0, 0.0, 0.0
    soft = (strength >= _FLAT) & (strength < _EDGE)
    return float(soft.mean()), float((strength < _FLAT).mean()), float((strength >= _EDGE).mean())


def _palette(pixels: np.ndarray, drawn: np.ndarray) -> tuple[float, float, float]:
    """log2 of how many colours (of 16 levels each) make up 90 %, share of the most frequent, saturation."""
    if not drawn.any():
        return 0.0, 0.0, 0.0
    ink = pixels[drawn]
    codes = (ink // 16).astype(np.int64) @ np.array([256, 16, 1])
    share = np.sort(np.bincount(codes, minlength=4096))[::-1] / len(codes)
    needed = int(np.searchsorted(np.cumsum(share), 0.9)) + 1
    return float(np.log2(needed)), float(share[0]), float((ink.max(axis=1) - ink.min(axis=1)).mean() / 255)


def _outline(light: np.ndarray, drawn: np.ndarray) -> tuple[float, float, float]:
    """Darkness of the rim of what is drawn, how much darker it is than the inside, of the darkest tenth."""
    if not drawn.any():
        return 0.0, 0.0, 0.0
    dark = 1 - light / 255
    rim = drawn & ~np.asarray(ndimage.binary_erosion(drawn, iterations=2, border_value=0), dtype=bool)
    inside = drawn & ~rim
    difference = dark[rim].mean() - dark[inside].mean() if inside.any() else 0.0
    return float(dark[rim].mean()), float(difference), float(np.quantile(dark[drawn], 0.9))


def _ground(pixels: np.ndarray, drawn: np.ndarray) -> tuple[float, float]:
    """log2(1 + levels of 255 from white) of the ground well away from the drawing, and of the border."""
    away = ~np.asarray(ndimage.binary_dilation(drawn, iterations=2), dtype=bool)
    off = (255 - pixels).mean(axis=-1)
    border = np.concatenate([off[:2].ravel(), off[-2:].ravel(), off[:, :2].ravel(), off[:, -2:].ravel()])
    ground = off[away].mean() if away.any() else 255.0
    return float(np.log2(1 + ground)), float(np.log2(1 + border.mean()))


def _layout(drawn: np.ndarray) -> tuple[float, float]:
    """Share of the canvas that is drawn, and that the box around it takes."""
    if not drawn.any():
        return 0.0, 0.0
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    box = (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
    return float(drawn.mean()), float(box / drawn.size)


def _symmetry(light: np.ndarray) -> float:
    """Correlation with the mirror image, -1 to 1; 0 for a plain picture."""
    centred = light - light.mean()
    power = float((centred**2).sum())
    return float((centred * centred[:, ::-1]).sum() / power) if power > 1e-6 else 0.0


def _spectrum(light: np.ndarray) -> tuple[float, float]:
    """Slope of log power over log frequency, and log10 of the share of power in the upper half."""
    power = np.abs(np.fft.fft2(light - light.mean())) ** 2
    frequency = np.fft.fftfreq(SIDE) * SIDE
    ring = np.rint(np.hypot(frequency[:, None], frequency[None])).astype(int)
    rings = np.arange(1, SIDE // 2 + 1)
    mean = np.array([power[ring == radius].mean() for radius in rings])
    total = power.sum()
    if total < 1e-6:
        return 0.0, -6.0
    slope = np.polyfit(np.log(rings), np.log(mean + 1e-9 * total), 1)[0]
    return float(slope), float(np.log10(power[ring > SIDE // 4].sum() / total + 1e-6))
