"""One icon, from bytes to result: what a worker process does. Never called on strange bytes elsewhere.

Belongs here: the order of the steps and who steps in when one fails. The steps are in their own modules.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from bioicons_pipeline.rendering import png
from bioicons_pipeline.rendering.framing import Box, Frame, look
from bioicons_pipeline.rendering.normalise import Normalised, normalise
from bioicons_pipeline.rendering.renderers import Cairo, Region, Resvg
from bioicons_pipeline.rendering.result import RefusalReason, Refused, RenderResult
from bioicons_pipeline.rendering.settings import RenderSettings

_COMPARE_SIZE = 128  # px
_DISAGREE = 8.0  # mean absolute difference from which a person sees two pictures


@cache
def _resvg(fonts: bool) -> Resvg:
    return Resvg(fonts=fonts)


@cache
def _cairo() -> Cairo:
    return Cairo()


def process(svg: bytes, settings: RenderSettings) -> Iterator[RenderResult]:
    """Yields the result; with `settings.compare` a second, final one that also has the comparison.

    The first is complete in itself, so that a second renderer that hangs or dies costs nothing else.
    """
    icon: Normalised | None = None
    try:
        icon = normalise(svg)
        result, first = _picture(icon, len(svg), settings)
    except Refused as refused:
        yield _refusal(refused, icon)
        return
    yield result
    if settings.compare and first == "resvg":
        yield _compared(result, icon, settings)


def _refusal(refused: Refused, icon: Normalised | None) -> RenderResult:
    report: dict[str, Any] = {"detail": refused.detail}
    if refused.reason is RefusalReason.NOTHING_DRAWN:
        report["blank"] = True
    if icon is None:
        return RenderResult("", refusal=refused.reason.value, report=report)
    return RenderResult(
        "",
        svg=icon.svg.encode(),
        refusal=refused.reason.value,
        warnings=tuple(icon.warnings),
        report={**_facts(icon), **report},
    )


def _picture(icon: Normalised, size: int, settings: RenderSettings) -> tuple[RenderResult, str]:
    """Draw with the first renderer that can."""
    order = ("resvg", "cairosvg") if settings.renderer == "auto" else (settings.renderer,)
    warnings = list(icon.warnings)
    for name in order:
        try:
            renderer = _resvg(settings.fonts == "auto") if name == "resvg" else _cairo()
            draw = renderer.open(icon)
            frame = look(draw, icon.width, icon.height)
            if frame.box is None:
                raise Refused(RefusalReason.NOTHING_DRAWN, "nothing in it draws a pixel")
            picture, alpha = _raster(draw, icon, frame, frame.box, settings)
        except Refused as refused:
            if refused.reason is RefusalReason.NOTHING_DRAWN or name == order[-1]:
                raise
            warnings.append(f"drawn by the second renderer, as the first refused it ({refused.detail})")
            continue
        report = {**_facts(icon), **_seen(frame, icon), "renderer": name}
        report["embedded_raster_share"] = round(min(1.0, icon.raster_chars / max(1, size)), 4)
        result = RenderResult(
            "",
            png=picture,
            alpha_png=alpha,
            svg=icon.svg.encode() if settings.keep_svg else None,
            warnings=(*warnings, *_remarks(icon, frame)),
            report=report,
        )
        return result, name
    raise AssertionError("the loop returns or raises")


def _raster(
    draw: Region, icon: Normalised, frame: Frame, box: Box, settings: RenderSettings
) -> tuple[bytes, bytes | None]:
    """(the picture, the alpha file or None) at full size."""
    if not settings.frame:
        scale = settings.size / max(icon.width, icon.height)
        width, height = (max(1, round(side * scale)) for side in (icon.width, icon.height))
        return _files(draw(0.0, 0.0, scale, width, height), settings)
    inner = settings.size - 2 * round(settings.margin * settings.size)
    scale = inner / max(box[2] - box[0], box[3] - box[1])
    width = min(inner, max(1, round((box[2] - box[0]) * scale)))
    height = min(inner, max(1, round((box[3] - box[1]) * scale)))
    left, top = (settings.size - width) // 2, (settings.size - height) // 2
    # The renderer's own PNG of the whole square serves as the alpha file, unless most of it is empty.
    if not frame.overflows and width * height > 0.68 * settings.size**2:
        raster = draw(box[0] - left / scale, box[1] - top / scale, scale, settings.size, settings.size)
        return _files(raster, settings)
    # Draw the box alone, then pad: what hangs out of the view box must not show in the margin.
    inside = np.s_[top : top + height, left : left + width]
    pixels = np.zeros((settings.size, settings.size, 4), np.uint8)
    pixels[inside] = png.decode_rgba(draw(box[0], box[1], scale, width, height))
    if settings.mode == "probe":
        return png.encode(pixels), None
    flat = np.full((settings.size, settings.size, 3), 255, np.uint8)
    flat[inside] = png.flatten(pixels[inside])
    return png.encode(flat), png.encode(pixels) if settings.alpha else None


def _files(raster: bytes, settings: RenderSettings) -> tuple[bytes, bytes | None]:
    if settings.mode == "probe":
        return raster, None
    return png.encode(png.on_white(raster)), raster if settings.alpha else None


def _facts(icon: Normalised) -> dict:
    return {
        "natural_size": [round(icon.natural[0], 3), round(icon.natural[1], 3)],
        "has_text": icon.has_text,
        "label_chars": icon.label_chars,
        "element_count": icon.element_count,
        "embedded_raster_count": icon.raster_count,
        "embedded_raster_bytes": icon.raster_bytes,
        "removed": dict(sorted(icon.removed.items())),
        "renderers_disagree": None,
    }


def _seen(frame: Frame, icon: Normalised) -> dict:
    assert frame.box is not None
    x0, y0, x1, y1 = frame.box
    back = icon.natural[0] / icon.width  # to the size before very large and small ones were rescaled
    return {
        "blank": False,
        "content_box": [round(value * back, 3) for value in frame.box],
        "content_fraction": round((x1 - x0) * (y1 - y0) / (icon.width * icon.height), 4),
        "fill_fraction": frame.fill_fraction,
        "touches_edge": frame.touches_edge,
        "opaque_background": frame.opaque_background,
        "near_white": frame.near_white,
    }


def _remarks(icon: Normalised, frame: Frame) -> list[str]:
    remarks = []
    if frame.opaque_background not in (None, "#ffffff"):
        remarks.append(f"has an opaque background ({frame.opaque_background})")
    if frame.near_white:
        remarks.append("everything drawn is nearly white: it cannot be seen on white")
    if icon.removed.get("foreign_object"):
        remarks.append("HTML inside the SVG was left out")
    return remarks


def _compared(result: RenderResult, icon: Normalised, settings: RenderSettings) -> RenderResult:
    """The same result with `renderers_disagree`; text is left out of both, as their fonts differ."""
    plain = icon.without_text() if icon.has_text else icon
    scale = _COMPARE_SIZE / max(icon.width, icon.height)
    width, height = (max(1, round(side * scale)) for side in (icon.width, icon.height))
    pictures = []
    for renderer in (_resvg(settings.fonts == "auto"), _cairo()):
        try:
            pictures.append(png.on_white(renderer.open(plain)(0.0, 0.0, scale, width, height)))
        except Refused as refused:
            warning = f"the second renderer cannot draw it ({refused.detail})"
            return replace(result, warnings=(*result.warnings, warning))
    difference = float(np.abs(pictures[0].astype(np.int16) - pictures[1]).mean())
    warnings = result.warnings
    if difference > _DISAGREE:
        warnings = (*warnings, f"the two renderers disagree (mean difference {difference:.1f} of 255)")
    return replace(
        result, warnings=warnings, report={**result.report, "renderers_disagree": round(difference, 2)}
    )
