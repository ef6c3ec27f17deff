"""Cut-out: a picture of one subject on white becomes the subject on nothing.

Belongs here: where the paper is, how much of it shines through each pixel, crop and pad. Does not belong
here: which white interiors are holes (`interiors`), vectorising.

Follows the composite equation of Porter and Duff, "Compositing digital images" (1984): a pixel seen is
c = a·F + (1 − a)·B. B is the paper, measured at the border; F at an edge is the colour that the picture
settles at a pixel or three further inside; a is then the one unknown, and the colour kept is F solved from
the equation, so that laid on its paper the cut-out is the picture again.
"""

from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.generation import areas
from bioicons_pipeline.generation.interiors import is_hole, measure_interiors

MIN_SIDE, MAX_SIDE = 16, 8192
LIGHTEST_PAPER = 200
"""A border darker than this (of 255) in any channel is no paper but part of the picture."""
REACH = 3
"""Pixels from the paper inwards in which an edge may still be mixed with it."""
_SHIFTS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]


class CutOutError(BioiconsError):
    """The picture cannot be cut out at all."""


@dataclass(frozen=True)
class CutOutReport:
    """What was found. Colours 0 to 255; areas in pixels of the picture given.

    paper: the background's colour; noise: how far its pixels stray from it, largest channel; plain: whether
    there was a plain light paper at all (if not, nothing was cut away); drawn: share of pixels with any
    opacity, 0 to 1; holes, kept_white: enclosed paper-coloured areas taken as holes and as white paint;
    undecided: their pixels together, which the picture alone does not decide; specks: stray dots removed;
    touches_edge: the subject runs into the picture's border; box: x0, y0, x1, y1 of the subject.
    """

    paper: tuple[int, int, int]
    noise: float
    plain: bool
    drawn: float
    holes: int
    kept_white: int
    undecided: int
    specks: int
    touches_edge: bool
    box: tuple[int, int, int, int]
    warnings: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class CutOut:
    """`rgba`: the cut-out, straight alpha; `report`: what was found."""

    rgba: Image.Image
    report: CutOutReport


@dataclass(frozen=True)
class Matte:
    """A cut-out before cropping: `rgba` (H, W, 4) uint8; `undecided` (H, W) bool, enclosed paper colour."""

    rgba: np.ndarray
    undecided: np.ndarray
    report: CutOutReport


def cut_out(rgb: Image.Image, *, margin: float = 0.04, square: bool = True) -> CutOut:
    """The subject of a picture on white as RGBA, cropped to what is drawn and padded.

    margin: empty on each side as a share of the longer side of the result, 0 to 0.4; square: pad to a
    square. Where there is no plain light border the whole picture stays, with a warning.

    Raises:
        CutOutError: no picture, a side outside 16 to 8192 px, a wrong margin, or nothing is drawn.
    """
    if not 0 <= margin <= 0.4:
        raise CutOutError(f"A margin of {margin} is outside 0 to 0.4: give the share of the side left empty.")
    found = matte(rgb)
    x0, y0, x1, y1 = found.report.box
    subject = found.rgba[y0:y1, x0:x1]
    longest = max(subject.shape[:2])
    pad = round(longest * margin / (1 - 2 * margin))
    height, width = (longest, longest) if square else subject.shape[:2]
    canvas = np.zeros((height + 2 * pad, width + 2 * pad, 4), np.uint8)
    top, left = (canvas.shape[0] - subject.shape[0]) // 2, (canvas.shape[1] - subject.shape[1]) // 2
    canvas[top : top + subject.shape[0], left : left + subject.shape[1]] = subject
    return CutOut(Image.fromarray(canvas, "RGBA"), found.report)


def matte(rgb: Image.Image) -> Matte:
    """The cut-out at the size and place of the picture given; raises as `cut_out`."""
    colour = _pixels(rgb)
    paper, noise, plain = _paper(colour)
    if not plain:
        return _whole(colour, paper, noise)
    away = np.abs(colour - paper).max(axis=-1)
    limit = max(2.0, noise * 1.15)
    quiet = away if noise <= 2 else np.abs(areas.smoothed(colour) - paper).max(axis=-1)
    blank = (away <= limit) | (quiet <= limit / 2.2) if noise > 2 else away <= limit
    blank, specks = _without_specks(blank, away, limit, noise)
    if blank.all():
        raise CutOutError(
            "Nothing is drawn in the picture, it is all background: try another seed or prompt."
        )
    outer = _outer(blank)
    inside, labels = measure_interiors(colour, blank & ~outer, outer)
    holes = [area for area in inside if is_hole(area)]
    empty = outer | np.isin(labels, [area.label for area in holes])
    alpha, ink = _edges(colour, paper, empty, away, max(4.0, limit))
    rgba = np.dstack([ink, alpha * 255])
    rgba = np.where(alpha[..., None] > 0, rgba, 0).round().astype(np.uint8)
    drawn = rgba[..., 3] > 0
    report = CutOutReport(
        paper=_triple(paper),
        noise=round(float(noise), 1),
        plain=True,
        drawn=round(float(drawn.mean()), 4),
        holes=len(holes),
        kept_white=len(inside) - len(holes),
        undecided=int(sum(area.pixels for area in inside)),
        specks=specks,
        touches_edge=_touches(drawn),
        box=_box(drawn),
        warnings=("the subject runs into the border of the picture",) if _touches(drawn) else (),
    )
    return Matte(rgba, labels > 0, report)


def _pixels(rgb: Image.Image) -> np.ndarray:
    """(H, W, 3) float32; whatever transparency there is gets laid on white."""
    if not isinstance(rgb, Image.Image):
        raise CutOutError(f"A picture is needed to cut out, not a {type(rgb).__name__}.")
    if not MIN_SIDE <= min(rgb.size) <= max(rgb.size) <= MAX_SIDE:
        raise CutOutError(
            f"A picture of {rgb.width} x {rgb.height} px cannot be cut out: sides are {MIN_SIDE} to "
            f"{MAX_SIDE} px."
        )
    try:
        picture = rgb.convert("RGBA")
    except (OSError, ValueError, SyntaxError) as error:
        raise CutOutError(f"The picture is damaged ({error}): give a whole PNG, JPEG or WebP.") from error
    ground = Image.new("RGBA", picture.size, "white")
    ground.alpha_composite(picture)
    return np.asarray(ground.convert("RGB"), dtype=np.float32)


def _paper(colour: np.ndarray) -> tuple[np.ndarray, float, bool]:
    """Colour of the border, how far it strays (the channel that strays most), and whether it is plain.

    Half of the border may be subject; what strays more than 24 from the middle is taken for it.
    """
    width = max(2, min(colour.shape[:2]) // 64)
    ring = np.concatenate(
        [
            colour[:width].reshape(-1, 3),
            colour[-width:].reshape(-1, 3),
            colour[:, :width].reshape(-1, 3),
            colour[:, -width:].reshape(-1, 3),
        ]
    )
    light = ring[ring.min(axis=1) >= LIGHTEST_PAPER]
    if len(light) < len(ring) / 2:
        return np.median(ring, axis=0), 0.0, False
    middle = np.median(light, axis=0)
    strays = np.abs(ring - middle).max(axis=1)
    near = strays <= 24
    if near.mean() < 0.5:
        return middle, 0.0, False
    return middle, float(np.quantile(strays[near], 0.98)), True


def _whole(colour: np.ndarray, paper: np.ndarray, noise: float) -> Matte:
    """Nothing to cut: the picture has no plain light border."""
    height, width = colour.shape[:2]
    rgba = np.dstack([colour, np.full((height, width), 255)]).round().astype(np.uint8)
    report = CutOutReport(
        paper=_triple(paper),
        noise=round(noise, 1),
        plain=False,
        drawn=1.0,
        holes=0,
        kept_white=0,
        undecided=0,
        specks=0,
        touches_edge=True,
        box=(0, 0, width, height),
        warnings=("no plain light background was found: nothing was cut away",),
    )
    return Matte(rgba, np.zeros((height, width), dtype=bool), report)


def _without_specks(
    blank: np.ndarray, away: np.ndarray, limit: float, noise: float
) -> tuple[np.ndarray, int]:
    """Dots that noise drew on the paper, and pinholes that it left in light paint, are undone."""
    if noise <= 2:
        return blank, 0
    smallest = max(6, blank.size // 20000)
    labels, count = areas.label(~blank, corners=True)
    index = np.arange(1, count + 1)
    pixels = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    strongest = areas.largest(away, labels, count)
    weak = (pixels < smallest) & (strongest < 4 * limit)
    blank = blank | np.isin(labels, index[weak])
    labels, holes = areas.label(blank)
    pixels = np.bincount(labels.ravel(), minlength=holes + 1)
    return blank & ~(pixels < smallest)[labels], int(weak.sum())


def _outer(blank: np.ndarray) -> np.ndarray:
    """The paper that reaches the border; neighbours share a side, so a closed line of one pixel holds."""
    labels, _ = areas.label(blank)
    border = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    return np.isin(labels, border[border > 0])


def _edges(
    colour: np.ndarray, paper: np.ndarray, empty: np.ndarray, away: np.ndarray, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Opacity (H, W) 0 to 1 and the colour without paper in it (H, W, 3), from what is surely empty."""
    band = ~empty & (areas.steps(~empty) <= REACH)
    alpha = np.where(empty, 0.0, 1.0)
    ink = colour.copy()
    rows, columns = np.nonzero(band)
    if not len(rows):
        return alpha, ink
    inner = _settled(colour - paper, away, rows, columns, tolerance)
    full = (colour - paper).reshape(-1, 3)[inner]
    here = (colour - paper)[rows, columns]
    share = (here * full).sum(axis=1) / np.maximum((full * full).sum(axis=1), 1e-6)
    share = np.clip(share, 0.0, 1.0)
    share[share > 0.97] = 1.0
    solved = paper + here / np.maximum(share, 1e-3)[:, None]
    # At little opacity the division would enlarge the rounding of the picture: there F itself is better.
    solved = np.where(share[:, None] < 0.15, paper + full, solved)
    alpha[rows, columns] = share
    ink[rows, columns] = np.clip(solved, 0, 255)
    return alpha, ink


def _settled(
    offset: np.ndarray, away: np.ndarray, rows: np.ndarray, columns: np.ndarray, tolerance: float
) -> np.ndarray:
    """For each pixel given, the flat index of the pixel whose colour its edge climbs to.

    From a pixel one goes to the neighbour that is clearly further from the paper and of the same hue, at
    most `REACH` times, and stays where the picture is flat: a light area beside a dark line stays light.
    """
    height, width = away.shape
    here = rows * width + columns
    flat, strength = offset.reshape(-1, 3), away.reshape(-1)
    for _ in range(REACH):
        y, x = here // width, here % width
        best, target = strength[here] * 1.08 + tolerance, here.copy()
        own, size = flat[here], np.maximum(np.linalg.norm(flat[here], axis=1), 1e-6)
        for dy, dx in _SHIFTS:
            there = np.clip(y + dy, 0, height - 1) * width + np.clip(x + dx, 0, width - 1)
            other = flat[there]
            length = np.maximum(np.linalg.norm(other, axis=1), 1e-6)
            # how far the mixture of paper and the other colour misses this one, in levels
            miss = size * np.sqrt(np.clip(1 - ((own * other).sum(axis=1) / (size * length)) ** 2, 0, 1))
            better = (strength[there] > best) & (miss <= tolerance + 0.06 * size)
            best, target = np.where(better, strength[there], best), np.where(better, there, target)
        if (target == here).all():
            break
        here = target
    return here


def _triple(colour: np.ndarray) -> tuple[int, int, int]:
    red, green, blue = (round(float(value)) for value in colour)
    return red, green, blue


def _box(drawn: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _touches(drawn: np.ndarray) -> bool:
    return bool(drawn[0].any() or drawn[-1].any() or drawn[:, 0].any() or drawn[:, -1].any())
