"""What must hold of a training picture, asked of its bytes.

Belongs here: faults of one finished picture, and which icons the two renderers draw differently. Does not
belong here: rendering, and what is done about a fault (orchestration).
"""

import io
from collections.abc import Iterable

import numpy as np
from PIL import Image

from bioicons_pipeline.rendering.result import RenderResult

DIFFER = 12.0
"""Mean absolute difference of the two renderers, 0 to 255, from which on a person should look."""
_VISIBLE = 8
"""Levels from white, of 255, under which nothing can be seen."""


def picture_fault(png: bytes, size: int) -> str | None:
    """What is wrong with a PNG that should be RGB, `size` px square, on pure white; None if nothing is."""
    try:
        with Image.open(io.BytesIO(png)) as opened:
            mode, shape = opened.mode, opened.size
            pixels = np.asarray(opened.convert("RGB"))
    except (OSError, ValueError, SyntaxError):
        return "the file is no readable picture"
    if mode != "RGB":
        return f"its mode is {mode}, not RGB"
    if shape != (size, size):
        return f"it has {shape[0]} x {shape[1]} px instead of {size} x {size}"
    if (255 - pixels.min()) < _VISIBLE:
        return "nothing can be seen on it"
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    if (border < 255).any():
        return "its border is not pure white"
    return None


def picture_faults(pictures: Iterable[tuple[str, bytes]], size: int) -> list[str]:
    """`<key>: <fault>` of each faulty picture of (key, PNG bytes)."""
    return [f"{key}: {fault}" for key, png in pictures if (fault := picture_fault(png, size))]


def renderer_differences(probes: Iterable[RenderResult], limit: float = DIFFER) -> list[str]:
    """`<key>: <difference>` of each probe that the two renderers draw differently, the worst first."""
    found = [(probe.report.get("renderers_disagree") or 0.0, probe.key) for probe in probes]
    return [
        f"{key}: the renderers differ by {value:.0f} of 255"
        for value, key in sorted(found, reverse=True)
        if value > limit
    ]
