"""White areas inside a subject: holes that show the paper, or white paint?

Belongs here: measuring such areas and the guess. A composite on white does not decide the question, so the
guess is statistical: a logistic regression (Cox, 1958) on what real icons do, whose coefficients
`benchmarks/cutout.py --fit` makes and which stand in `interiors.json`. Whoever calls says how much was
guessed. Does not belong here: finding the paper.
"""

import json
import math
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from bioicons_pipeline.generation import areas

SMALLEST = 0.0005
"""Share of the subject below which an area is kept as paint without a look: a glint, not a window."""
_FAR = 64.0


@dataclass(frozen=True)
class Interior:
    """One enclosed paper-coloured area of at least `SMALLEST` of the subject.

    label: its number in the label picture; pixels: its area; features: what the guess is made from, see
    `FEATURES`, none of them in pixels or otherwise dependent on the size of the picture.
    """

    label: int
    pixels: int
    features: tuple[float, ...]


FEATURES = (
    "log_share",  # area over that of the whole subject
    "log_share_all",  # the same for all areas together
    "log_count",  # how many areas there are
    "contrast",  # of the colour just outside to paper, 0 to 1
    "contrast_dark",  # its square
    "spread",  # how much that colour varies around the area, 0 to 1
    "saturation",  # of that colour, 0 to 1
    "fill",  # of its bounding box, 0 to 1
    "roundness",  # 4 pi area / outline squared, about 0 to 1
    "log_to_outer",  # mean distance from its edge to the paper outside, over the subject's side
    "log_to_blank",  # the same to the nearest other blank area: how thin what surrounds it is
    "nearest",  # least distance to the paper outside, over the subject's side
    "ink",  # share of the subject that is not blank, 0 to 1
)


def measure_interiors(
    colour: np.ndarray, blank: np.ndarray, outer: np.ndarray
) -> tuple[list[Interior], np.ndarray]:
    """Enclosed areas of `blank` and the label picture, 0 where there is none or it is too small to look at.

    colour: (H, W, 3) 0 to 255 on white; blank: (H, W) bool, enclosed paper colour; outer: the paper outside.
    """
    labels, count = areas.label(blank)
    if not count:
        return [], labels
    subject = int((~outer).sum())
    pixels = np.bincount(labels.ravel(), minlength=count + 1)
    kept = [label for label in range(1, count + 1) if pixels[label] >= max(4, SMALLEST * subject)]
    labels = np.where(np.isin(labels, kept), labels, 0)
    if not kept:
        return [], labels
    rows, columns = np.flatnonzero((~outer).any(axis=1)), np.flatnonzero((~outer).any(axis=0))
    side = float(max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1)
    whole = (
        math.log(sum(int(pixels[label]) for label in kept) / subject),
        math.log(len(kept)),
        1 - float(blank.sum()) / subject,
    )
    to_outer = areas.distance(~outer)
    boxes = areas.boxes(labels)
    found = []
    for label in kept:
        box = boxes[label - 1]
        assert box is not None
        reach = int(min(_FAR, side / 4)) + 2
        window = tuple(
            slice(max(0, part.start - reach), min(limit, part.stop + reach))
            for part, limit in zip(box, blank.shape, strict=True)
        )
        area = (box[0].stop - box[0].start) * (box[1].stop - box[1].start)
        values = _features(
            colour[window], labels[window] == label, (blank | outer)[window], to_outer[window], side
        )
        share, fill = math.log(pixels[label] / subject), float(pixels[label] / area)
        found.append(
            Interior(label, int(pixels[label]), (share, *whole[:2], *values[:4], fill, *values[4:], whole[2]))
        )
    return found, labels


def _features(
    colour: np.ndarray, mine: np.ndarray, blank: np.ndarray, to_outer: np.ndarray, side: float
) -> tuple[float, ...]:
    """(contrast, its square, spread, saturation, roundness, log_to_outer, log_to_blank, nearest)."""
    grown = areas.dilated(mine)
    ring = areas.dilated(grown, 2) & ~areas.dilated(grown) & ~blank
    around = colour[ring] if ring.any() else np.full((1, 3), 255.0)
    away = (255 - around.min(axis=1)) / 255
    middle = around.mean(axis=0)
    edge = mine & ~areas.eroded(mine)
    other = blank & ~mine
    gap = areas.distance(~other)[edge] if other.any() else np.full(1, _FAR)
    outline = max(1.0, float(edge.sum()))
    return (
        float(away.mean()),
        float(away.mean() ** 2),
        float(around.std(axis=0).mean() / 255),
        float((middle.max() - middle.min()) / 255),
        min(1.5, 4 * math.pi * float(mine.sum()) / outline**2),
        math.log(float(to_outer[edge].mean()) / side + 1e-3),
        math.log(float(np.minimum(gap, _FAR).mean()) / side + 1e-3),
        float(to_outer[edge].min()) / side,
    )


@cache
def _model() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and spread of the features, and the coefficients, the constant last."""
    facts = json.loads(files("bioicons_pipeline.generation").joinpath("interiors.json").read_text("utf-8"))
    if tuple(facts["features"]) != FEATURES:
        raise RuntimeError("interiors.json was fitted to other features: run benchmarks/cutout.py --fit")
    return np.array(facts["mean"]), np.array(facts["spread"]), np.array(facts["coefficients"])


def hole_probability(area: Interior) -> float:
    """How likely the area is a hole, 0 to 1."""
    mean, spread, coefficients = _model()
    scaled = (np.array(area.features) - mean) / spread
    return float(1 / (1 + np.exp(-np.clip(scaled @ coefficients[:-1] + coefficients[-1], -30, 30))))


def is_hole(area: Interior) -> bool:
    """Whether the area is taken to show the paper."""
    return hole_probability(area) > 0.5
