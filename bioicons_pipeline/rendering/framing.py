"""Where in the SVG the drawing is, and what the drawing is like: measured on small, cheap rasters.

Belongs here: the content box (found before the full-size raster, so that nothing is rendered or encoded
twice at full size), backgrounds, and the shares of what is drawn. Not here: the final raster.
"""

import math
from dataclasses import dataclass

import numpy as np

from bioicons_pipeline.rendering import png
from bioicons_pipeline.rendering.renderers import Region

_LOOK = 256  # px, longer side of the first look
_PAD = 6  # px around the view box, to see what hangs out of it
_DRAWN = 8  # alpha of 255 above which a pixel counts as drawn
_LIGHT = 247  # grey value from which ink cannot be told from paper

Box = tuple[float, float, float, float]


@dataclass(slots=True)
class Frame:
    """What one look at an icon tells. `box` is None if nothing is drawn; natural px."""

    box: Box | None
    overflows: bool = False
    fill_fraction: float = 0.0
    touches_edge: bool = False
    opaque_background: str | None = None
    near_white: bool = False


def look(draw: Region, width: float, height: float) -> Frame:
    """Find the content of an SVG of `width` x `height` natural px."""
    side = _LOOK
    while True:
        scale = side / max(width, height)
        columns, rows = max(1, round(width * scale)), max(1, round(height * scale))
        raster = png.decode_rgba(
            draw(-_PAD / scale, -_PAD / scale, scale, columns + 2 * _PAD, rows + 2 * _PAD)
        )
        inside = raster[_PAD : _PAD + rows, _PAD : _PAD + columns]
        alpha = inside[..., 3]
        if alpha.any():
            break
        if side >= 1024:  # a hairline may vanish in the small raster, not in this one
            return Frame(None)
        side = 1024
    background = _background(inside)
    drawn = alpha > _DRAWN
    ink = alpha > 0
    on_paper = _on_white_grey(inside)
    if background is not None and background != "mixed" and _is_light(background):
        visible = on_paper < _LIGHT
        ink = visible if visible.any() else ink
    x0, y0, x1, y1 = _bounds(ink)
    box = (x0 / scale, y0 / scale, min(x1 / scale, width), min(y1 / scale, height))
    frame = Frame(
        box=box,
        overflows=_overflows(raster),
        fill_fraction=round(float(drawn.mean()), 4),
        touches_edge=x0 == 0 or y0 == 0 or x1 >= columns or y1 >= rows,
        opaque_background=background,
        near_white=bool((on_paper >= _LIGHT).all()),
    )
    if max(x1 - x0, y1 - y0) < side / 3:
        frame.box = _refine(draw, box, (width, height), 1 / scale)
    return frame


def _refine(draw: Region, box: Box, limits: tuple[float, float], pixel: float) -> Box:
    """Look again, closer, at a small drawing: the first look knows its edges only to a pixel."""
    for _ in range(4):
        x0, y0 = max(0.0, box[0] - pixel), max(0.0, box[1] - pixel)
        x1, y1 = min(limits[0], box[2] + pixel), min(limits[1], box[3] + pixel)
        scale = _LOOK / max(x1 - x0, y1 - y0)
        columns, rows = max(1, math.ceil((x1 - x0) * scale)), max(1, math.ceil((y1 - y0) * scale))
        alpha = png.decode_rgba(draw(x0, y0, scale, columns, rows))[..., 3]
        if not alpha.any():
            return box
        left, top, right, bottom = _bounds(alpha > 0)
        pixel = 1 / scale
        box = (x0 + left * pixel, y0 + top * pixel, min(x0 + right * pixel, x1), min(y0 + bottom * pixel, y1))
        if max(right - left, bottom - top) >= _LOOK / 3:
            break
    return box


def _bounds(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _overflows(raster: np.ndarray) -> bool:
    """Whether anything is drawn outside the view box (a browser clips it), half a pixel aside."""
    alpha = raster[..., 3].copy()
    alpha[_PAD - 1 : -_PAD + 1, _PAD - 1 : -_PAD + 1] = 0
    return bool((alpha > 0).any())


def _on_white_grey(pixels: np.ndarray) -> np.ndarray:
    """The darkest channel of each pixel once composited on white."""
    darkest = pixels[..., :3].min(axis=2).astype(np.uint16)
    alpha = pixels[..., 3].astype(np.uint16)
    return 255 - (255 - darkest) * alpha // 255


def _is_light(colour: str) -> bool:
    return min(int(colour[i : i + 2], 16) for i in (1, 3, 5)) >= _LIGHT


def _background(pixels: np.ndarray) -> str | None:
    """The colour of an opaque ground that reaches all four edges, 'mixed' if it varies, None if none."""
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    if (edge[:, 3] >= 250).mean() < 0.98:
        return None
    colours = edge[:, :3]
    middle = np.median(colours, axis=0)
    if (np.abs(colours - middle).max(axis=1) <= 12).mean() < 0.9:
        return "mixed"
    red, green, blue = (int(value) for value in middle)
    return f"#{red:02x}{green:02x}{blue:02x}"
