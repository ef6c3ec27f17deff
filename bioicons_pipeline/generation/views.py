"""Views of a picture for comparing it: what stands out from its ground, tilted, blurred, cut off.

Belongs here: making them. Does not belong here: describing shapes (`library.shape`), searching (`copies`).
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageFilter

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.library.shape import descriptor

SIDE = 128
"""Pictures are compared at this size, px: that of the probes of the library."""
TILTS = (0.0, -6.0, -4.0, -2.0, 2.0, 4.0, 6.0)
"""Degrees by which the picture is turned before it is compared."""
BLURS = (0.008, 0.016)
"""Standard deviations by which training icons are blurred, shares of the side."""
_FAR = 16
"""Levels from the ground, of 255, from which on a pixel counts as drawn."""
_SIDES = ((0.0, 0.0), (0.1, 0.0), (0.0, 0.1), (0.05, 0.05))
_CORNERS = tuple((*y, *x) for y in _SIDES for x in _SIDES)[1:]
PARTS = (*_CORNERS, (0.2, 0, 0, 0), (0, 0.2, 0, 0), (0, 0, 0.2, 0), (0, 0, 0, 0.2))
"""What may have been cut off at top, bottom, left and right, shares of the drawn part."""
Sides = tuple[bool, ...]
"""Top, bottom, left, right."""


class ViewError(BioiconsError):
    """There is no picture to look at."""


def standing_out(picture: np.ndarray | Image.Image, side: int = SIDE) -> tuple[np.ndarray, Sides]:
    """What stands out from the light ground, cropped, the longer side `side` px: (h, w, 4) uint8, and at
    which sides it runs into the border of the picture.

    Transparent pictures are seen on white too: white paint then counts as ground in both that are compared.
    """
    if not isinstance(picture, np.ndarray | Image.Image):
        raise ViewError(f"A picture is needed to compare, not a {type(picture).__name__}.")
    try:
        image = (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).convert("RGBA")
    except (OSError, ValueError, TypeError, SyntaxError) as error:
        raise ViewError(f"The picture cannot be read ({error}): give a whole PNG.") from error
    image.thumbnail((2 * side, 2 * side), Image.Resampling.BOX)
    ground = Image.new("RGBA", image.size, "white")
    ground.alpha_composite(image)
    colour = np.asarray(ground)[..., :3].astype(np.int16)
    drawn = np.abs(colour - _paper(colour)).max(axis=-1) > _FAR
    if not drawn.any():
        return np.zeros((1, 1, 4), np.uint8), (False,) * 4
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    sides = tuple(bool(line.any()) for line in (drawn[0], drawn[-1], drawn[:, 0], drawn[:, -1]))
    window = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    rgba = np.dstack([colour, np.where(drawn, 255, 0)]).astype(np.uint8)[window]
    return np.asarray(resized(Image.fromarray(rgba, "RGBA"), side)), sides


def resized(image: Image.Image, side: int, least: int = 1) -> Image.Image:
    """The longer side at `side` px, the other at `least` px at least."""
    factor = side / max(image.size)
    size = max(least, round(image.width * factor)), max(least, round(image.height * factor))
    return image.resize(size, Image.Resampling.BOX if factor < 1 else Image.Resampling.BILINEAR)


def _paper(colour: np.ndarray) -> np.ndarray:
    """The ground's colour: the middle of the border's light pixels, white where there are few."""
    border = np.concatenate([colour[0], colour[-1], colour[:, 0], colour[:, -1]])
    light = border[border.min(axis=1) >= 225]
    return np.median(light, axis=0) if len(light) * 10 >= len(border) else np.full(3, 255.0)


def tilted(rgba: np.ndarray) -> np.ndarray:
    """Descriptors of the picture at every tilt, in the order of TILTS: (len(TILTS), SIZE)."""
    image = Image.fromarray(rgba, "RGBA")
    views = []
    for tilt in TILTS:
        turned = image.rotate(tilt, Image.Resampling.BICUBIC, expand=True) if tilt else image
        solid = Image.fromarray(np.asarray(turned.getchannel("A")) > 127)
        views.append(descriptor(np.asarray(resized(turned.crop(solid.getbbox()), SIDE))))
    return np.stack(views)


def blurred(rgba: np.ndarray) -> list[np.ndarray]:
    """A cropped picture, blurred on white as much as each of BLURS says, what stands out of it then."""
    pad = SIDE // 16
    image = Image.fromarray(rgba, "RGBA")
    ground = Image.new("RGBA", (image.width + 2 * pad, image.height + 2 * pad), "white")
    ground.alpha_composite(image, (pad, pad))
    blurs = [ImageFilter.GaussianBlur(share * SIDE) for share in BLURS]
    return [standing_out(ground.convert("RGB").filter(blur))[0] for blur in blurs]


def remaining(rgba: np.ndarray, cut: Sequence[float]) -> np.ndarray:
    """What remains of a cropped picture when shares of it are cut off at top, bottom, left and right."""
    height, width = rgba.shape[:2]
    top, bottom, left, right = cut
    rows = slice(round(top * height), max(round(top * height) + 1, round((1 - bottom) * height)))
    return rgba[rows, round(left * width) : max(round(left * width) + 1, round((1 - right) * width))]
