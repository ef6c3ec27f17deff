"""Measured properties of one icon, from its probe.

Belongs here: numbers about a single drawing (shape of the foreground, ink, embedded pictures, text, drawn
paths). Does not belong here: judging them (`rules`) or comparing icons (`audit`, `families`).

Facts that the renderer reports are taken as they are (`natural_size`, `content_box`, `fill_fraction`,
`blank`, `near_white`, `embedded_raster_share`); what a probe does not report is measured from its picture
and its normalised SVG.
"""

import io
from dataclasses import dataclass

import numpy as np

from bioicons_pipeline.library.geometry import Geometry, no_geometry, read_geometry
from bioicons_pipeline.library.records import IconSource, Probe
from bioicons_pipeline.library.shape import descriptor, foreground

FAINT = 8
"""Alpha (of 255) up to which a pixel counts as not drawn."""
NEAR_WHITE = 244
"""On white, a picture with no pixel darker than this (of 255) cannot be seen."""


@dataclass(frozen=True)
class Measured:
    """One icon's measures; None where nothing was drawn. `shape` is a descriptor of `shape.SIZE` floats."""

    aspect: float | None
    ink: float | None
    blank: bool
    raster_share: float
    text_chars: int
    geometry: Geometry
    shape: np.ndarray | None
    refusal: str | None


def measure(icon: IconSource, probe: Probe | None) -> Measured:
    """Measure one icon. A missing probe counts as a refusal `not_probed`."""
    if probe is None:
        return Measured(None, None, True, 0.0, 0, no_geometry(), None, "not_probed")
    geometry = read_geometry(probe.svg) if probe.svg else no_geometry()
    report = probe.report or {}
    share = report.get("embedded_raster_share")
    if share is None:
        share = min(1.0, geometry.raster_chars / max(1, icon.byte_size))
    picture = rgba(probe.png) if probe.png else None
    drawn = foreground(picture) if picture is not None else None
    text = geometry.text_chars if report.get("has_text", True) else 0
    text += geometry.outlined_chars + int(report.get("label_chars") or 0)
    return Measured(
        aspect=_aspect(report, drawn),
        ink=_ink(report, drawn),
        blank=_blank(report, picture),
        raster_share=float(share),
        text_chars=text,
        geometry=geometry,
        shape=descriptor(picture) if picture is not None and drawn is not None and drawn.any() else None,
        refusal=probe.refusal if probe.png is None else None,
    )


def rgba(png: bytes) -> np.ndarray:
    """A PNG as (H, W, 4) uint8, straight alpha."""
    from PIL import Image

    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGBA"))


def _aspect(report, drawn: np.ndarray | None) -> float | None:
    box = report.get("content_box")
    if box:
        width, height = box[2] - box[0], box[3] - box[1]
        if width > 0 and height > 0:
            return float(width / height)
    if drawn is None or not drawn.any():
        return None
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    return float((columns[-1] - columns[0] + 1) / (rows[-1] - rows[0] + 1))


def _ink(report, drawn: np.ndarray | None) -> float | None:
    if report.get("fill_fraction") is not None:
        return float(report["fill_fraction"])
    return None if drawn is None else float(drawn.mean())


def _blank(report, picture: np.ndarray | None) -> bool:
    if report.get("blank") or report.get("near_white"):
        return True
    if picture is None:
        return True
    alpha = picture[..., 3:].astype(np.float32) / 255
    on_white = picture[..., :3] * alpha + 255 * (1 - alpha)
    return bool((picture[..., 3] <= FAINT).all() or on_white.min() > NEAR_WHITE)
