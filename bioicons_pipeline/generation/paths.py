"""Outlines: a mask becomes the `d` of an SVG path, by vtracer, written short.

Belongs here: calling vtracer (https://github.com/visioncortex/vtracer) on one mask, and SVG path syntax
(SVG 2, section 9). Does not belong here: which masks.
"""

import io
import re
from dataclasses import dataclass

import numpy as np
from PIL import Image

_PATH = re.compile(r'<path d="([^"]*)"[^>]*?transform="translate\(([^,)]+),([^)]+)\)"')
_TOKEN = re.compile(r"[MLCZ]|-?(?:\d+\.?\d*|\.\d+)(?:e-?\d+)?")
Point = tuple[float, float]


@dataclass(frozen=True)
class Tracing:
    """How closely outlines are followed; vtracer's own meaning of the first two.

    corner: turn in degrees from which a corner is sharp; length: longest segment, px, that is not divided;
    scale: units of the drawing a pixel; flat: units that a curve may be off a straight line that replaces it.
    """

    corner: int = 60
    length: float = 4.0
    scale: float = 2.0
    flat: float = 0.6


def outline(mask: np.ndarray, top: int, left: int, tracing: Tracing) -> str:
    """The path data of one mask (h, w) bool that starts at row `top` and column `left`; "" for an empty one.

    Coordinates are whole numbers, units of `tracing.scale` a pixel. Holes are subpaths: fill by even-odd.
    """
    import vtracer

    # vtracer leaves out what touches the edge of its picture by half a pixel: one empty pixel around
    grey = np.where(np.pad(mask, 1), 0, 255).astype(np.uint8)
    png = io.BytesIO()
    Image.fromarray(grey).convert("RGB").save(png, "PNG", compress_level=0)
    svg = vtracer.convert_raw_image_to_svg(
        png.getvalue(),
        img_format="png",
        colormode="binary",
        mode="spline",
        filter_speckle=0,
        corner_threshold=tracing.corner,
        length_threshold=tracing.length,
        splice_threshold=45,
        max_iterations=10,
        path_precision=3,
    )
    parts = []
    for data, dx, dy in _PATH.findall(svg):
        moved = (left - 1 + float(dx), top - 1 + float(dy))
        parts += [_written(subpath, tracing) for subpath in _subpaths(data, moved, tracing.scale)]
    return "".join(parts)


def _subpaths(data: str, moved: Point, scale: float) -> list[list[tuple[Point, ...]]]:
    """vtracer's absolute M, L, C and Z as lists of segments, each a tuple of 1 (line) or 3 (curve) points;
    the first segment of a list is the start. In units of the drawing."""
    found: list[list[tuple[Point, ...]]] = []
    tokens = _TOKEN.findall(data)
    position = 0
    command = ""
    while position < len(tokens):
        if tokens[position] in "MLCZ":
            command = tokens[position]
            position += 1
            continue
        count = 6 if command == "C" else 2
        numbers = [float(token) for token in tokens[position : position + count]]
        position += count
        points = tuple(
            ((numbers[i] + moved[0]) * scale, (numbers[i + 1] + moved[1]) * scale) for i in range(0, count, 2)
        )
        if command == "M":
            found.append([points])
        else:
            found[-1].append(points)
    return found


def _written(subpath: list[tuple[Point, ...]], tracing: Tracing) -> str:
    """One closed subpath in relative commands and whole numbers, rounding errors not adding up."""
    start = _rounded(subpath[0][0])
    parts, here, command = [f"M{start[0]}{_sign(start[1])}"], start, "M"
    for points in subpath[1:]:
        places = [_rounded(point) for point in points]
        if places[-1] == here:
            continue
        straight = len(points) == 1 or _is_straight(here, points, tracing.flat)
        chosen = places[-1:] if straight else places
        text = "".join(_sign(x - here[0]) + _sign(y - here[1]) for x, y in chosen)
        letter = "l" if straight else "c"
        parts.append((letter + text.lstrip(" ")) if letter != command else text)
        command, here = letter, places[-1]
    return "".join(parts) + "z" if len(parts) > 2 else ""


def _rounded(point: Point) -> tuple[int, int]:
    return round(point[0]), round(point[1])


def _sign(value: int) -> str:
    """A number with the separator it needs: the minus sign is one."""
    return str(value) if value < 0 else f" {value}"


def _is_straight(start: tuple[int, int], points: tuple[Point, ...], flat: float) -> bool:
    """Whether a cubic's control points are within `flat` of its chord, and between its ends."""
    (x0, y0), (x3, y3) = start, points[-1]
    dx, dy = x3 - x0, y3 - y0
    length = (dx * dx + dy * dy) ** 0.5
    if length < 1e-9:
        return False
    for x, y in points[:2]:
        off = abs((x - x0) * dy - (y - y0) * dx) / length
        along = ((x - x0) * dx + (y - y0) * dy) / (length * length)
        if off > flat or not -0.05 <= along <= 1.05:
            return False
    return True
