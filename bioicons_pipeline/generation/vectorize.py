"""Vectorising: a cut-out becomes an SVG that a person can edit, inside a budget of shapes and bytes.

Belongs here: the order of the steps, the budgets, the comparison with the picture. Does not belong here:
colours (`palette`), overlap (`layers`), outlines (`paths`), the SVG itself (`document`), the card inside it
(`carriers`).

There is as much detail as a tolerance asks for, and less in steps until both budgets are met; what was
loosened for them is in the report. The result is
cleaned by the same sanitiser as strangers' SVGs and drawn again by the same renderer.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.generation import palette
from bioicons_pipeline.generation.document import UNITS, document
from bioicons_pipeline.generation.layers import Area, count_areas, stack
from bioicons_pipeline.generation.paths import Tracing, outline
from bioicons_pipeline.rendering import RenderSettings, render_one

MAX_SHAPES, MAX_BYTES = 300, 150_000
"""Default budgets; 150 kB is what upstream asks of contributions."""
WORKING_SIDE = 1024
"""Pictures are traced at about this many pixels, enlarged by at most four times."""
TOLERANCE = 4.0
"""Levels, of 255 in the mean over what is drawn, that flat colours may be off the picture: there is no more
detail than that needs."""
SPECKLE_PIXELS = 3
"""Areas under this many pixels of the picture given are dropped at every step."""
Render = Callable[[bytes, int], Image.Image]


class VectorizeError(BioiconsError):
    """The picture cannot become a vector drawing."""


@dataclass(frozen=True)
class Detail:
    """How much is kept. colours: at most so many; near: CIELAB distance under which two are one; speckle:
    areas under this many pixels of a picture of 512 x 512 are dropped; length: see `paths.Tracing`."""

    colours: int
    near: float
    speckle: int
    length: float


STEPS = (
    Detail(24, 5.0, 16, 8.0),
    Detail(20, 7.0, 20, 8.0),
    Detail(18, 8.5, 24, 8.0),
    Detail(16, 10.0, 30, 8.0),
    Detail(14, 12.0, 40, 8.0),
    Detail(12, 14.0, 56, 8.0),
    Detail(8, 18.0, 80, 10.0),
    Detail(5, 24.0, 200, 10.0),
    Detail(3, 30.0, 500, 10.0),
    Detail(2, 40.0, 1500, 10.0),
)


@dataclass(frozen=True)
class VectorReport:
    """What came out. shapes: `<path>` elements; colours: of them; bytes: of the SVG; specks: small areas
    removed; step: of detail, 0 (most) to len(STEPS) - 1; dropped: shapes left out because even the last step
    was over a budget; loosened: sentences on what was given up; difference: mean absolute difference of the
    drawing to the picture, both on white, 0 to 255, None where it was not compared."""

    shapes: int
    colours: int
    bytes: int
    specks: int
    step: int
    dropped: int
    loosened: tuple[str, ...]
    difference: float | None


@dataclass(frozen=True)
class VectorIcon:
    """`svg`: the document, UTF-8 text; `report`: what came out."""

    svg: str
    report: VectorReport


def vectorize(
    rgba: Image.Image,
    *,
    title: str = "Icon",
    desc: str = "",
    max_shapes: int = MAX_SHAPES,
    max_bytes: int = MAX_BYTES,
    tolerance: float = TOLERANCE,
    render: Render | None = None,
    compare: bool = True,
) -> VectorIcon:
    """A cut-out (RGBA, straight alpha) as SVG with a viewBox, a group for each colour, title and desc.

    tolerance: how far, in levels of 255 in the mean, flat colours may be off; less gives more shapes.
    render: draws SVG bytes at a side in px as RGB on white; default our own renderer (starts a process).
    compare: False leaves drawing it again to the caller.

    Raises:
        VectorizeError: no picture, nothing drawn, a side over 4096 px, a budget under 1 shape or 1,000 bytes,
            or the drawing does not pass our own sanitiser.
    """
    pixels = _pixels(rgba)
    if max_shapes < 1 or max_bytes < 1000:
        raise VectorizeError(
            f"A budget of {max_shapes} shapes and {max_bytes} bytes cannot be met: allow at least 1 and 1000."
        )
    colour, drawn = palette.flat_colour(pixels)
    if not drawn.any():
        raise VectorizeError("The picture is empty, there is nothing to vectorise: cut out another one.")
    times = max(1, min(4, round(WORKING_SIDE / max(drawn.shape))))
    alpha = np.where(drawn, np.maximum(pixels[..., 3], 128), pixels[..., 3]) / 255
    colour, drawn = palette.enlarge(colour, alpha, times)
    colour = palette.sharpen(colour, times)
    svg, report = _within_budget(
        colour, drawn, times, rgba.size, (title, desc), (max_shapes, max_bytes), tolerance
    )
    if compare:
        report = _compared(svg, report, pixels, render or _drawn_by_us)
    return VectorIcon(svg, report)


def _pixels(rgba: Image.Image) -> np.ndarray:
    if not isinstance(rgba, Image.Image):
        raise VectorizeError(f"A picture is needed to vectorise, not a {type(rgba).__name__}.")
    if not 4 <= min(rgba.size) <= max(rgba.size) <= 4096:
        raise VectorizeError(
            f"A picture of {rgba.width} x {rgba.height} px cannot be vectorised: sides are 4 to 4096 px."
        )
    try:
        return np.asarray(rgba.convert("RGBA"))
    except (OSError, ValueError, SyntaxError) as error:
        raise VectorizeError(f"The picture is damaged ({error}): give a whole PNG.") from error


@dataclass(frozen=True)
class _Sketch:
    """A colour map at one step of detail."""

    found: palette.ColourMap
    specks: int
    step: int


def _within_budget(
    colour: np.ndarray,
    drawn: np.ndarray,
    times: int,
    size: tuple[int, int],
    words: tuple[str, str],
    budget: tuple[int, int],
    tolerance: float,
) -> tuple[str, VectorReport]:
    """The simplest drawing within `tolerance`, or a simpler one where the budgets ask for it."""
    colours = palette.swatches(colour, drawn)

    def sketch(step: int) -> _Sketch | None:
        """None where nothing is left at that step."""
        detail = STEPS[step]
        chosen = palette.choose_colours(colours, detail.colours, detail.near)
        smallest = max(SPECKLE_PIXELS * times * times, round(detail.speckle * drawn.size / 512**2))
        found, specks = palette.without_speckles(palette.assign(colour, drawn, chosen), smallest)
        return _Sketch(found, specks, step) if len(found.colours) else None

    low, high = 0, len(STEPS) - 1  # the simplest step within the tolerance, by bisection
    while low < high:
        middle = (low + high + 1) // 2
        tried = sketch(middle)
        if tried is not None and palette.misses(tried.found, colour, drawn) <= tolerance:
            low = middle
        else:
            high = middle - 1
    simplest = None
    for step in range(low, len(STEPS)):
        tried = sketch(step)
        if tried is None:
            break
        simplest = tried
        if count_areas(tried.found) > budget[0]:
            continue
        areas, paths = _traced(tried.found, STEPS[step], drawn.shape)
        svg = document(areas, paths, tried.found.colours, size, words)
        if len(svg.encode()) <= budget[1]:
            return svg, _report(svg, paths, tried.specks, low, step, 0)
    if simplest is None:  # nothing but specks: then they are the drawing
        found = palette.assign(colour, drawn, palette.choose_colours(colours, 2, 40.0))
        simplest = _Sketch(found, 0, len(STEPS) - 1)
    areas, paths = _traced(simplest.found, STEPS[simplest.step], drawn.shape)
    return _largest(
        areas, paths, simplest.found.colours, size, words, budget, (simplest.specks, low, simplest.step)
    )


def _traced(found: palette.ColourMap, detail: Detail, shape: tuple[int, ...]) -> tuple[list[Area], list[str]]:
    areas = stack(found, overlap=2)
    tracing = Tracing(length=detail.length, scale=UNITS / max(shape))
    return areas, [outline(area.mask, area.top, area.left, tracing) for area in areas]


def _largest(
    areas: list[Area],
    paths: list[str],
    colours: np.ndarray,
    size: tuple[int, int],
    words: tuple[str, str],
    budget: tuple[int, int],
    facts: tuple[int, int, int],
) -> tuple[str, VectorReport]:
    """Even the simplest drawing is too much: only the largest shapes that fit."""
    largest = sorted(range(len(areas)), key=lambda index: -areas[index].pixels)
    count = min(len(areas), budget[0])
    while count:
        kept = sorted(largest[:count])
        shown = [areas[index] for index in kept], [paths[index] for index in kept]
        svg = document(*shown, colours, size, words)
        if len(svg.encode()) <= budget[1]:
            return svg, _report(svg, shown[1], *facts, len(areas) - count)
        count = count * 3 // 4
    raise VectorizeError(
        f"The drawing does not fit into {budget[1]} bytes, not even as one shape: allow more, or simplify it."
    )


def _report(svg: str, paths: list[str], specks: int, wanted: int, step: int, dropped: int) -> VectorReport:
    """wanted: the step that the picture asks for; step: the one that the budgets allow."""
    asked, used = STEPS[wanted], STEPS[step]
    loosened = []
    if step > wanted:
        loosened.append(
            f"at most {used.colours} colours instead of {asked.colours}, areas under {used.speckle} instead "
            f"of {asked.speckle} px (of 512 x 512) left out, to meet the budget"
        )
    if dropped:
        loosened.append(f"the {dropped} smallest shapes left out, to meet the budget")
    return VectorReport(
        shapes=sum(bool(path) for path in paths),
        colours=svg.count("<g "),
        bytes=len(svg.encode()),
        specks=specks,
        step=step,
        dropped=dropped,
        loosened=tuple(loosened),
        difference=None,
    )


def _drawn_by_us(svg: bytes, side: int) -> Image.Image:
    """The drawing as our renderer shows it: RGB on white, longer side `side` px."""
    result = render_one(svg, RenderSettings(size=side, frame=False, alpha=False))
    if result.png is None:
        raise VectorizeError(
            f"The drawing does not pass our own sanitiser ({result.refusal}): a fault of ours."
        )
    return Image.open(io.BytesIO(result.png)).convert("RGB")


def _compared(svg: str, report: VectorReport, pixels: np.ndarray, render: Render) -> VectorReport:
    side = max(8, *pixels.shape[:2])
    again = render(svg.encode(), side)
    difference = difference_on_white(Image.fromarray(pixels, "RGBA"), again)
    return VectorReport(**{**vars(report), "difference": round(difference, 3)})


def difference_on_white(rgba: Image.Image, drawn: Image.Image) -> float:
    """Mean absolute difference of a cut-out laid on white and a picture on white, 0 to 255."""
    ground = Image.new("RGBA", rgba.size, "white")
    ground.alpha_composite(rgba)
    ours = np.asarray(ground.convert("RGB"), dtype=np.int16)
    if drawn.size != rgba.size:
        drawn = drawn.resize(rgba.size, Image.Resampling.BICUBIC)
    return float(np.abs(ours - np.asarray(drawn.convert("RGB"), dtype=np.int16)).mean())
