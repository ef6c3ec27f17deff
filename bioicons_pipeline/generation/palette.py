"""A picture with soft edges becomes a map of few flat colours: what a tracer needs to find few, clean shapes.

Belongs here: sharpening, choosing colours, removing speckles. Does not belong here: outlines (`paths`), what
is above what (`layers`).

Antialiasing and blur put colours between two areas that belong to neither; traced as they are, each becomes
a sliver of its own. They are undone first, by moving a pixel that lies between its neighbours' colours to
the nearer one (a shock filter: Osher and Rudin, "Feature-oriented image enhancement using shock filters",
1990). Colours are then merged pairwise at least cost (Ward, "Hierarchical grouping to optimize an objective
function", 1963) in CIELAB, where distances are about what a person sees.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from bioicons_pipeline.generation.areas import label, nearest, steps

FAINT = 8
"""Alpha (of 255) up to which a pixel counts as empty."""
FIRST_COLOURS = 64
_EDGE = 24.0
"""Least contrast, levels, of an edge that is sharpened: shading is left alone."""
_AXES = ((0, 1), (1, 0), (1, 1), (1, -1))


@dataclass(frozen=True)
class ColourMap:
    """`labels` (H, W) int: 0 is empty, n is `colours[n - 1]`; colours (N, 3) uint8."""

    labels: np.ndarray
    colours: np.ndarray


def flat_colour(rgba: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is drawn, without half-transparent edges: colour (H, W, 3) float32 and a bool mask (H, W).

    rgba: (H, W, 4) uint8, straight alpha. At the outline the colour is the paint's own, and a pixel counts
    when it is at least half covered; inside, what shines through is seen as on white paper.
    """
    alpha = rgba[..., 3].astype(np.float32) / 255
    some = rgba[..., 3] > FAINT
    inside = steps(np.pad(some, 1))[1:-1, 1:-1] > 2
    colour = rgba[..., :3].astype(np.float32)
    colour = np.where(inside[..., None], colour * alpha[..., None] + 255 * (1 - alpha[..., None]), colour)
    drawn = inside | (alpha >= 0.5)
    return _spread(colour, drawn), drawn


def _spread(colour: np.ndarray, known: np.ndarray) -> np.ndarray:
    """`colour` with every pixel outside `known` taken from the nearest one inside."""
    if known.all() or not known.any():
        return colour
    rows, columns = nearest(known)
    return colour[rows, columns]


def enlarge(colour: np.ndarray, alpha: np.ndarray, times: int) -> tuple[np.ndarray, np.ndarray]:
    """Both at `times` the size, by a bilinear filter: edges keep their place to a fraction of a pixel."""
    if times == 1:
        return colour, alpha >= 0.5
    size = (colour.shape[1] * times, colour.shape[0] * times)
    channels = [
        np.asarray(Image.fromarray(channel).resize(size, Image.Resampling.BILINEAR))
        for channel in (*np.moveaxis(colour, 2, 0), alpha.astype(np.float32))
    ]
    return np.dstack(channels[:3]).clip(0, 255), channels[3] >= 0.5


def sharpen(colour: np.ndarray, reach: int) -> np.ndarray:
    """(H, W, 3) float32 with edges of up to about `2 * reach` pixels made hard."""
    height, width = colour.shape[:2]
    flat = colour.reshape(-1, 3).copy()
    where = _uneven(colour, reach)
    rows, columns = where // width, where % width
    for distance in (2 * reach, reach, reach):
        own = flat[where]
        best, snapped = np.full(len(where), _EDGE, np.float32), own.copy()
        for dy, dx in _AXES:
            ends = [
                np.clip(rows + way * dy * distance, 0, height - 1) * width
                + np.clip(columns + way * dx * distance, 0, width - 1)
                for way in (1, -1)
            ]
            one, other = flat[ends[0]], flat[ends[1]]
            across = other - one
            contrast = np.abs(across).max(axis=-1)
            length = np.maximum((across * across).sum(axis=-1), 1e-6)
            place = ((own - one) * across).sum(axis=-1) / length
            miss = np.abs(own - one - place[:, None] * across).max(axis=-1)
            between = (contrast > best) & (place > 0.02) & (place < 0.98) & (miss < 10 + 0.06 * contrast)
            snapped[between] = np.where((place < 0.5)[:, None], one, other)[between]
            best[between] = contrast[between]
        flat[where] = snapped
    return flat.reshape(colour.shape)


def _uneven(colour: np.ndarray, reach: int) -> np.ndarray:
    """Flat indices of the pixels within `reach` of a step in colour: the only ones that may be sharpened."""
    levels = colour.astype(np.uint8)
    step = np.zeros(levels.shape[:2], dtype=bool)
    for axis in (0, 1):
        change = (np.abs(np.diff(levels.astype(np.int16), axis=axis)) > 3).any(axis=-1)
        step |= np.pad(change, ((1, 0), (0, 0)) if axis == 0 else ((0, 0), (1, 0)))
    return np.flatnonzero(grown(step, reach))


def grown(mask: np.ndarray, pixels: int) -> np.ndarray:
    """A bool mask grown by a square of `2 * pixels + 1`."""
    for axis in (0, 1):
        wide = mask.copy()
        for shift in range(1, min(pixels, mask.shape[axis] - 1) + 1):
            ahead, behind = [slice(None)] * 2, [slice(None)] * 2
            ahead[axis], behind[axis] = slice(shift, None), slice(None, -shift)
            wide[tuple(ahead)] |= mask[tuple(behind)]
            wide[tuple(behind)] |= mask[tuple(ahead)]
        mask = wide
    return mask


@dataclass(frozen=True)
class Swatches:
    """Colours of a picture and how many pixels have about each: colours (N, 3) float, counts (N,)."""

    colours: np.ndarray
    counts: np.ndarray


def swatches(colour: np.ndarray, drawn: np.ndarray) -> Swatches:
    """At most `FIRST_COLOURS` for the drawn pixels, by median cut and k-means."""
    pixels = colour[drawn].round().clip(0, 255).astype(np.uint8)
    strip = Image.fromarray(pixels[None, :, :])
    method, dither = Image.Quantize.MEDIANCUT, Image.Dither.NONE
    index = np.asarray(strip.quantize(FIRST_COLOURS, method=method, kmeans=2, dither=dither))[0]
    counts = np.bincount(index, minlength=256).astype(float)
    used = np.flatnonzero(counts)
    sums = np.stack([np.bincount(index, pixels[:, channel], 256) for channel in range(3)], axis=1)
    return Swatches(sums[used] / counts[used, None], counts[used])


def choose_colours(found: Swatches, most: int, near: float) -> np.ndarray:
    """At most `most` colours (N, 3) uint8 in their place, no two nearer than `near` in CIELAB."""
    mean, count = found.colours.copy(), found.counts.copy()
    while len(mean) > 1:
        place = lab(mean)
        distance = np.linalg.norm(place[:, None] - place[None], axis=-1)
        np.fill_diagonal(distance, np.inf)
        if distance.min() < near:
            first, second = np.unravel_index(distance.argmin(), distance.shape)
        elif len(mean) > most:
            ward = np.sqrt(count[:, None] * count[None] / (count[:, None] + count[None])) * distance
            first, second = np.unravel_index(ward.argmin(), ward.shape)
        else:
            break
        both = count[first] + count[second]
        mean[first] = (mean[first] * count[first] + mean[second] * count[second]) / both
        count[first] = both
        mean, count = np.delete(mean, second, axis=0), np.delete(count, second)
    return mean.round().astype(np.uint8)


def misses(found: ColourMap, colour: np.ndarray, drawn: np.ndarray) -> float:
    """Mean absolute difference of the map to the picture, both on white, over what is drawn, 0 to 255."""
    some = drawn[::2, ::2]
    if not some.any():
        return 0.0
    table = np.concatenate([np.full((1, 3), 255, np.int16), found.colours.astype(np.int16)])
    return float(np.abs(table[found.labels[::2, ::2][some]] - colour[::2, ::2][some]).mean())


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIELAB under D65 of sRGB colours (..., 3), 0 to 255 (IEC 61966-2-1, CIE 15)."""
    linear = np.asarray(rgb, dtype=np.float64) / 255
    linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = linear @ to_xyz.T / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.stack(
        [116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1
    )


def assign(colour: np.ndarray, drawn: np.ndarray, colours: np.ndarray) -> ColourMap:
    """Every drawn pixel gets the nearest of `colours`, to six bits a channel."""
    pixels = colour[drawn].clip(0, 255).astype(np.int32) >> 2
    codes = pixels[:, 0] << 12 | pixels[:, 1] << 6 | pixels[:, 2]
    used = np.flatnonzero(np.bincount(codes, minlength=1 << 18))
    middle = (np.stack([used >> 12, used >> 6 & 63, used & 63], axis=1) << 2) + 1.5
    distance = ((lab(middle)[:, None] - lab(colours)[None]) ** 2).sum(axis=-1)
    table = np.zeros(1 << 18, np.int32)
    table[used] = distance.argmin(axis=1) + 1
    labels = np.zeros(drawn.shape, np.int32)
    labels[drawn] = table[codes]
    return ColourMap(labels, colours)


def without_speckles(found: ColourMap, smallest: int) -> tuple[ColourMap, int]:
    """Areas under `smallest` pixels take the colour next to them (empty, where they stand alone); returns
    the map and how many were removed. Empty pinholes inside the subject count as such areas too."""
    labels, removed = found.labels.copy(), 0
    small = np.zeros(labels.shape, dtype=bool)
    for value in range(len(found.colours) + 1):
        pieces, count = label(labels == value)
        if count:
            few = np.bincount(pieces.ravel(), minlength=count + 1) < smallest
            few[0] = False
            small |= few[pieces]
            removed += int(few.sum())
    if not small.all():
        labels = _spread(labels[..., None], ~small)[..., 0]
    used = np.unique(labels[labels > 0])
    renumber = np.zeros(len(found.colours) + 1, np.int32)
    renumber[used] = np.arange(1, len(used) + 1)
    return ColourMap(renumber[labels], found.colours[used - 1]), removed
