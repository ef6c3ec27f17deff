"""Can a picture become a clean vector drawing: paths, bytes, and how far the drawing is off.

Belongs here: these figures of pictures. Does not belong here: vectorising (`generation.vectorize`).

Real icons are measured at the size of the generated ones: more pixels give more paths.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image

from bioicons_pipeline.generation.cutout import CutOutError, cut_out
from bioicons_pipeline.generation.vectorize import VectorizeError, difference_on_white, vectorize
from bioicons_pipeline.rendering import RenderSettings, render_many

DRAWN_SIDE = 256
"""Side in px at which the drawings are rendered, before they are brought to the picture's size."""


@dataclass(frozen=True)
class VectorFacts:
    """paths: `<path>` elements; bytes: of the SVG; difference: mean absolute difference of the drawing to the
    picture, 0 to 255."""

    paths: int
    bytes: int
    difference: float


def vector_facts(
    pictures: Sequence[Image.Image], progress: Callable[[int, int], None] | None = None
) -> list[VectorFacts | None]:
    """Vectorise pictures (RGB on white) and draw them again; None for one that cannot become a drawing."""
    made: dict[str, tuple[Image.Image, str, int]] = {}
    for number, picture in enumerate(pictures):
        try:
            cut = cut_out(picture).rgba
            icon = vectorize(cut, compare=False)
        except (CutOutError, VectorizeError):
            continue
        finally:
            if progress:
                progress(number + 1, len(pictures))
        made[str(number)] = (cut, icon.svg, icon.report.shapes)
    facts: list[VectorFacts | None] = [None] * len(pictures)
    svgs = [(key, svg.encode()) for key, (_, svg, _) in made.items()]
    # one pool for all: a process for each drawing would take longer than tracing it
    for result in render_many(svgs, RenderSettings(size=DRAWN_SIDE, frame=False, alpha=False)):
        if result.png is not None:
            cut, svg, paths = made[result.key]
            drawn = Image.open(io.BytesIO(result.png)).convert("RGB")
            facts[int(result.key)] = VectorFacts(paths, len(svg.encode()), difference_on_white(cut, drawn))
    return facts
