"""What an icon looks like, measured: its palette by area, its outline, its shading.

Belongs here: pixels -> a few numbers and colour names. Does not belong here: the words for a style
(`style`), what is shown. The input is a picture with straight alpha, or one on white; everything is measured
on the foreground, the palette on what is painted in it.

Colour names are Berlin and Kay's basic terms (1969) plus turquoise and beige, as regions in HSV.
"""

import io
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np

SIDE = 128
"""Pictures are measured at this many pixels a side, so that full picture and probe agree."""

LINE = 0.2
"""A step in HSV value from which on the edge of a drawing is taken as an outline."""

GROUND = 0.2
"""Share of its box from which on black around the drawing is its ground, not a frame of lines."""

_HUES = (
    (15, "red"),
    (42, "orange"),
    (68, "yellow"),
    (160, "green"),
    (192, "turquoise"),
    (258, "blue"),
    (300, "purple"),
    (346, "pink"),
    (361, "red"),
)
COLOURS = (
    "black",
    "gray",
    "white",
    "red",
    "orange",
    "yellow",
    "green",
    "turquoise",
    "blue",
    "purple",
    "pink",
    "brown",
    "beige",
)


@dataclass(frozen=True)
class StyleFacts:
    """Measured on the foreground; shares lie in [0, 1].

    palette: (colour name, share of the foreground), largest first, outlines left out.
    outline: share of the silhouette's edge with a darker line. gradient: share of neighbouring pixels inside
    it that differ a little, as in soft shading. detail: share that differs much. dark: share that is
    nearly black. chroma: share that is coloured. cover: foreground over its bounding box. black_ground:
    whether the drawing lies on a black rectangle.
    """

    palette: tuple[tuple[str, float], ...]
    outline: float
    gradient: float
    detail: float
    dark: float
    chroma: float
    cover: float
    black_ground: bool = False

    def as_dict(self) -> dict:
        """JSON-able form; `StyleFacts.from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, facts: dict) -> "StyleFacts":
        """The facts that `as_dict` wrote, after JSON too."""
        palette = tuple((str(name), float(share)) for name, share in facts["palette"])
        ground = bool(facts.get("black_ground", False))
        numbers = {key: float(facts[key]) for key in facts if key not in {"palette", "black_ground"}}
        return cls(palette=palette, black_ground=ground, **numbers)


def measure_picture(png: bytes) -> StyleFacts | None:
    """Measure a PNG (RGBA with straight alpha, or RGB on white); None if nothing is drawn."""
    from PIL import Image

    image = Image.open(io.BytesIO(png)).convert("RGBA")
    image.thumbnail((SIDE, SIDE))
    pixels = np.asarray(image, dtype=np.float32)
    return measure_pixels(pixels[..., :3], pixels[..., 3])


def measure_pixels(rgb: np.ndarray, alpha: np.ndarray) -> StyleFacts | None:
    """Measure `rgb` (H, W, 3) and `alpha` (H, W), both 0 to 255; None without foreground.

    Foreground is what the white around the drawing, as seen on white, does not reach. What shows through a
    ring is no paint: with alpha it is left out of the palette.
    """
    share = alpha[..., None] / 255
    rgb = rgb * share + 255 * (1 - share)
    inside = _not_background(rgb)
    count = int(inside.sum())
    if count < 4:
        return None
    hue, saturation, value = _hsv(rgb)
    dark = inside & (value < 0.32)
    edge = inside & ~_eroded(inside)
    painted = inside & (alpha >= 128)
    if painted.sum() < 4:  # glass all over
        painted = inside
    filled = painted & ~dark & ~edge
    # A drawing that is all lines has no fill: then the lines are its colour.
    area = filled if filled.sum() >= 0.12 * painted.sum() else painted
    names = _name_pixels(hue, saturation, value)
    shares = np.bincount(names[area], minlength=len(COLOURS)) / area.sum()
    order = sorted(range(len(COLOURS)), key=lambda index: (-shares[index], index))
    small, large, pairs = _steps(rgb, inside)
    ys, xs = np.nonzero(inside)
    box = (np.ptp(ys) + 1) * (np.ptp(xs) + 1)
    black = names[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1] == COLOURS.index("black")
    return StyleFacts(
        palette=tuple((COLOURS[i], round(float(shares[i]), 3)) for i in order if shares[i] >= 0.03),
        outline=round(_outlined(value, inside, edge), 3),
        gradient=round(small / pairs, 3) if pairs else 0.0,
        detail=round(large / pairs, 3) if pairs else 0.0,
        dark=round(float(dark.sum()) / count, 3),
        chroma=round(float((inside & (saturation > 0.15) & (value > 0.2)).sum()) / count, 3),
        cover=round(count / float(box), 3),
        black_ground=_is_ground(black),
    )


def _not_background(rgb: np.ndarray) -> np.ndarray:
    """What is not the white that reaches the picture's edge (a white mouse stays foreground)."""
    return ~_reached(np.all(rgb > 247, axis=2, keepdims=False))


def _is_ground(black: np.ndarray) -> bool:
    """Whether black fills the edge of the drawing's box, is more than a frame and has a drawing on it."""
    black = black[1:-1, 1:-1]  # the outermost pixels may be half paper
    if not black.size:
        return False
    edge = np.concatenate([black[0], black[-1], black[:, 0], black[:, -1]])
    return bool(edge.mean() > 0.98 and _reached(black).mean() > GROUND and (~black).mean() > GROUND)


def _reached(mask: np.ndarray) -> np.ndarray:
    """The part of `mask` that hangs together with what lies outside the picture."""
    from scipy import ndimage

    regions = cast(Any, ndimage).label(np.pad(mask, 1, constant_values=True))[0]  # its stubs lack the result
    return regions[1:-1, 1:-1] == regions[0, 0]


def _eroded(mask: np.ndarray) -> np.ndarray:
    padded = np.pad(mask, 1)
    return mask & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]


def _outlined(value: np.ndarray, inside: np.ndarray, edge: np.ndarray) -> float:
    """Share of `edge` pixels that have a line: something clearly darker beside them than further in.

    Antialiasing pales a thin line at 128 px to half its darkness, so the step counts, not the tone.
    """
    darkest = -_highest(np.where(inside, -value, -1.0), 1)
    brightest = _highest(np.where(inside, value, 0.0), 5)
    return float((edge & (brightest - darkest > LINE)).sum()) / max(1, int(edge.sum()))


def _highest(field: np.ndarray, reach: int) -> np.ndarray:
    """The largest value within `reach` pixels, per pixel."""
    height, width = field.shape
    padded = np.pad(field, reach, mode="edge")
    for axis, size in ((0, height), (1, width)):
        shifted = [padded.take(range(i, i + size), axis=axis) for i in range(2 * reach + 1)]
        padded = np.maximum.reduce(shifted)
    return padded


def _steps(rgb: np.ndarray, inside: np.ndarray) -> tuple[int, int, int]:
    """Neighbouring foreground pixels: how many pairs differ a little, how many much, how many there are."""
    small = large = pairs = 0
    for first, second in (
        ((slice(1, None),), (slice(None, -1),)),
        ((slice(None), slice(1, None)), (slice(None), slice(None, -1))),
    ):
        both = inside[first] & inside[second]
        step = np.abs(rgb[first] - rgb[second]).max(axis=2)[both]
        small += int(((step >= 1.5) & (step <= 12)).sum())
        large += int((step > 60).sum())
        pairs += step.size
    return small, large, pairs


def _hsv(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hue in degrees, saturation and value in [0, 1]."""
    scaled = rgb / 255
    high, low = scaled.max(axis=2), scaled.min(axis=2)
    span = high - low
    safe = np.where(span > 0, span, 1)
    red, green, blue = scaled[..., 0], scaled[..., 1], scaled[..., 2]
    hue = np.where(
        high == red,
        (green - blue) / safe % 6,
        np.where(high == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    return hue * 60, np.where(high > 0, span / np.where(high > 0, high, 1), 0), high


def _name_pixels(hue: np.ndarray, saturation: np.ndarray, value: np.ndarray) -> np.ndarray:
    """The index in `COLOURS` of each pixel's colour."""
    index = {name: number for number, name in enumerate(COLOURS)}
    names = np.zeros(hue.shape, dtype=np.int64)
    for limit, name in reversed(_HUES):
        names[hue < limit] = index[name]
    warm = hue < 50
    names[((hue < 12) | (hue >= 330)) & (saturation < 0.52) & (value > 0.72)] = index["pink"]
    names[(hue >= 300) & (hue < 330) & (value < 0.78)] = index["purple"]
    names[(hue >= 330) & (hue < 346) & (value < 0.6)] = index["purple"]
    names[warm & (hue >= 14) & (value < 0.72)] = index["brown"]
    names[warm & (hue < 14) & (value < 0.55) & (saturation < 0.75)] = index["brown"]
    names[((hue < 14) | (hue >= 345)) & (saturation < 0.6) & (value < 0.68)] = index["brown"]
    names[(hue >= 12) & (hue < 48) & (saturation < 0.36) & (value >= 0.72)] = index["beige"]
    # a light tint is seen as one, a grey one is not
    neutral = saturation < np.where(value >= 0.93, 0.06, 0.11)
    names[neutral & (value >= 0.93)] = index["white"]
    names[neutral & (value < 0.93)] = index["gray"]
    names[(value < 0.22) | (neutral & (value < 0.32))] = index["black"]
    return names
