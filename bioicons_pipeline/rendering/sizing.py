"""The natural size of an SVG, as a browser lays it out in an `<img>`.

Belongs here: `width`, `height` and `viewBox` of the root element: CSS Values 4 units at 96 dpi, the sizing
rules of SVG 2 (section 8) and CSS Images 3 (section 5.2). Not here: anything below the root.
"""

import math
import re

from lxml import etree  # pyright: ignore[reportAttributeAccessIssue]

from bioicons_pipeline.rendering.result import RefusalReason, Refused
from bioicons_pipeline.rendering.settings import MAX_SIDE

_UNITS = {
    "": 1,
    "px": 1,
    "pt": 96 / 72,
    "pc": 16,
    "mm": 96 / 25.4,
    "cm": 96 / 2.54,
    "in": 96,
    "q": 96 / 101.6,
}
_UNITS |= {"em": 16, "rem": 16, "ex": 8, "ch": 8}
_LENGTH = re.compile(r"^\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?)\s*([a-zA-Z]*|%)\s*$")


def _length(value: str | None, percent_of: float | None = None) -> float | None:
    """CSS px of a length, None if absent, `auto` or not understood. NaN and infinities stay as they are."""
    match = _LENGTH.match(value or "")
    if match is None:
        return None
    if match[2] == "%":
        return None if percent_of is None else float(match[1]) / 100 * percent_of
    factor = _UNITS.get(match[2].lower())
    return None if factor is None else float(match[1]) * factor


def _view_box(value: str | None) -> tuple[float, float, float, float] | None:
    """x, y, width, height; None if absent or malformed (then it is ignored, as SVG 2 says)."""
    try:
        numbers = [float(part) for part in re.split(r"[\s,]+", (value or "").strip())]
    except ValueError:
        return None
    if len(numbers) != 4 or not all(map(math.isfinite, numbers)) or numbers[2] < 0 or numbers[3] < 0:
        return None
    return numbers[0], numbers[1], numbers[2], numbers[3]


def set_size(root: etree._Element) -> tuple[float, float, tuple[float, float]]:
    """Write exact `width`, `height` (px) and `viewBox` on the root; returns them and the natural size.

    Sizing as a browser does for an `<img>` (CSS Images 3, 5.2): missing sides follow the view box's aspect
    ratio; without a view box, 300 x 150 stands in.
    """
    box = _view_box(root.get("viewBox"))
    if box is not None and (box[2] == 0 or box[3] == 0):
        raise Refused(RefusalReason.BAD_SIZE, "the viewBox has no area")
    width, height = _length(root.get("width")), _length(root.get("height"))
    if any(side is not None and not (math.isfinite(side) and side > 0) for side in (width, height)):
        raise Refused(RefusalReason.BAD_SIZE, "width or height is zero, negative or not finite")
    ratio = box[2] / box[3] if box else None
    if width is None and height is None:
        width, height = (box[2], box[3]) if box else (300.0, 150.0)
    elif width is None:
        width = height * ratio if ratio else 300.0  # type: ignore[operator]
    elif height is None:
        height = width / ratio if ratio else 150.0
    assert width is not None and height is not None
    if not (1e-6 <= width <= 1e9 and 1e-6 <= height <= 1e9) or not 1e-4 <= width / height <= 1e4:
        raise Refused(RefusalReason.BAD_SIZE, f"{width:g} x {height:g} px is no size to draw at")
    if box is None:
        box = (0.0, 0.0, width, height)
    if max(abs(number) for number in box) > 1e9 or min(box[2:]) < 1e-9:
        raise Refused(RefusalReason.BAD_SIZE, "the viewBox is out of range")
    # Very large or small sizes are only another scale of the same picture.
    largest = max(width, height)
    scale = MAX_SIDE / largest if largest > MAX_SIDE else 16 / largest if largest < 16 else 1.0
    root.set("viewBox", " ".join(f"{number:.9g}" for number in box))
    root.set("width", f"{width * scale:.9g}")
    root.set("height", f"{height * scale:.9g}")
    for name in ("x", "y"):
        root.attrib.pop(name, None)
    return float(root.get("width", "0")), float(root.get("height", "0")), (width, height)
