"""Can a picture become a clean vector drawing: paths, bytes, and how far the drawing is off.

Belongs here: these figures of pictures. Does not belong here: vectorising (`generation.vectorize`).

Real icons are measured at the size of the generated ones: more pixels give more paths.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from bioicons_pipeline.evaluation.intervals import mean_estimate
from bioicons_pipeline.evaluation.measure import BASE, GRAIN, REAL, Measure, Proof
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


def grainy(picture: Image.Image) -> Image.Image:
    """The same with grain: a known fault, which makes the vector drawing of any picture worse."""
    pixels = np.asarray(picture.convert("RGB"), dtype=np.float64)
    grain = np.random.default_rng(0).normal(0, 40, pixels.shape)
    return Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8), "RGB")


def vector_measures(
    facts: Mapping[str, Sequence[VectorFacts | None]], groups: Mapping[str, Sequence[str]]
) -> list[Measure]:
    """Paths, kB and difference by model, REAL and GRAIN, the first real icons made `grainy`. Pictures that
    gave no drawing are left out."""
    wanted = (
        ("vector_paths", "Vector drawing: number of shapes", "paths", 1.0),
        ("vector_size", "Vector drawing: size in kB", "bytes", 1e-3),
        ("vector_difference", "Vector drawing: difference to the picture (of 255)", "difference", 1.0),
    )
    explained = "What becomes of a picture as an SVG that one can edit. The nearer to real icons the better."
    measures = []
    for key, title, field, factor in wanted:
        lines = {}
        for name, found in facts.items():
            kept = [
                (getattr(one, field) * factor, group)
                for one, group in zip(found, groups[name], strict=True)
                if one is not None
            ]
            if kept:
                values, units = zip(*kept, strict=True)
                lines[name] = mean_estimate(values, units)
        pairs = [
            (getattr(real, field), getattr(worse, field))
            for real, worse in zip(facts[REAL], facts[GRAIN], strict=False)
            if real and worse
        ]
        if not pairs or BASE not in lines:
            measures.append(Measure(key, title, explained, "near real", absent="Nothing could be drawn."))
            continue
        worse = sum(after - before for before, after in pairs) > 0
        proof = Proof("real icons with grain laid over them come out worse than without", worse)
        measures.append(Measure(key, title, explained, "near real", lines, proofs=(proof,)))
    return measures
