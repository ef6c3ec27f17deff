"""Aspect-ratio buckets: a wide or tall icon is trained on a wide or tall picture instead of a white square.

Belongs here: the sizes, which one an icon gets, and the crop. Does not belong here: in which order icons of
several sizes come (data), remembering and encoding (cache). No torch here. After NovelAI's buckets
(https://github.com/NovelAI/novelai-aspect-ratio-bucketing), but nothing drawn is cut: the white around is.
"""

from __future__ import annotations

import math

from PIL import Image, ImageChops

RATIOS = (1 / 2, 2 / 3, 1.0, 3 / 2, 2.0)
"""Height over width."""
MARGIN = 0.04
"""White on each side, as a share of the longer one: that of rendered pictures."""
_PATCH = 16
"""Sides are multiples of it: VAE factor 8, patches of 2."""
_WHITE = 8
"""What differs from white by this much at most, of 255, is paper."""

Size = tuple[int, int]
"""(height, width) in px."""
Bounds = tuple[int, int, int, int]
"""(left, top, right, bottom) in px, the last two outside."""


def bucket_sizes(resolution: int) -> tuple[Size, ...]:
    """Sizes for trainings at `resolution` px, from wide to tall; the square is among them.

    None has more tokens than the square, so none needs more memory. Below 256 px the ratios are coarse, and
    two may fall together.
    """
    patches = resolution // _PATCH
    sizes = []
    for ratio in RATIOS:
        short = max(1, round(patches * math.sqrt(min(ratio, 1 / ratio))))
        sides = (short * _PATCH, patches**2 // short * _PATCH)
        if ratio == 1 or sides[0] == sides[1]:
            sides = (resolution, resolution)
        sizes.append(sides if ratio <= 1 else sides[::-1])
    return tuple(dict.fromkeys(sizes))


def drawn_bounds(picture: Image.Image) -> Bounds | None:
    """Box of what is drawn on the white of an RGB picture; None where nothing is."""
    red, green, blue = ImageChops.invert(picture).split()
    ink = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    return ink.point([255 * (value > _WHITE) for value in range(256)]).getbbox()


def bucket_of(bounds: Bounds | None, resolution: int) -> Size | None:
    """The size whose ratio is nearest to that of the drawing with its margin.

    None is the square, for which the picture stays as it is, and for one on which nothing is drawn.
    """
    if bounds is None:
        return None
    left, top, right, bottom = bounds
    width, height = right - left, bottom - top
    margin = 2 * MARGIN / (1 - 2 * MARGIN) * max(width, height)
    drawn = math.log((height + margin) / (width + margin))
    nearest = min(bucket_sizes(resolution), key=lambda size: abs(math.log(size[0] / size[1]) - drawn))
    return None if nearest[0] == nearest[1] else nearest


def enlargement(bounds: Bounds, size: Size) -> float:
    """How many px of a bucket's picture a px of the original becomes: the drawing fills it but the margin."""
    left, top, right, bottom = bounds
    height, width = size
    margin = 2 * MARGIN * max(size)
    return min((width - margin) / (right - left), (height - margin) / (bottom - top))


def into_bucket(picture: Image.Image, size: Size) -> Image.Image:
    """The drawing of an RGB picture on white, in the middle, at `size`; nothing of it is cut or distorted."""
    bounds = drawn_bounds(picture)
    height, width = size
    if bounds is None:
        return Image.new("RGB", (width, height), "white")
    scale = enlargement(bounds, size)
    left, top, right, bottom = bounds
    half_width, half_height = width / scale / 2, height / scale / 2
    # the crop may reach beyond the picture: there is white all around it then
    edge = math.ceil(max(half_width, half_height)) + 1
    canvas = Image.new("RGB", (picture.width + 2 * edge, picture.height + 2 * edge), "white")
    canvas.paste(picture, (edge, edge))
    x, y = (left + right) / 2 + edge, (top + bottom) / 2 + edge
    box = (x - half_width, y - half_height, x + half_width, y + half_height)
    return canvas.resize((width, height), Image.Resampling.LANCZOS, box=box)
