"""What an SVG is drawn with, in a form that survives copying: hashes of its outlines, text, pictures.

Belongs here: reading a normalised, safe SVG for its geometry. Does not belong here: making an SVG safe (the
renderer does), pictures (`shape`), conclusions (`audit`).

An outline is hashed from the distances of its corners to their centre, in units of the largest: the same
under translation, rotation, mirroring and scaling (Procrustes-invariant), whatever the colours, and whether
a transform stands in the document or was baked into the numbers. Distances are rounded twice, on two
grids shifted by half a step, and two outlines are the same when either hash is: a re-export that rounds
coordinates moves few distances over a boundary of both. Path data follow SVG 2, section 9.
"""

import base64
import binascii
import hashlib
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from urllib.parse import unquote_to_bytes

MIN_CORNERS = 7
"""Fewer corners do not tell a drawing: boxes, lines and simple drops are everybody's."""
MAX_CORNERS = 32
MAX_NUMBERS = 4000
"""Numbers read of one path's data; what follows adds nothing to telling it from others."""
STEPS = 40
MAX_OUTLINES = 6000
MAX_NESTING = 3
_SVG = "{http://www.w3.org/2000/svg}"
_HREFS = ("href", "{http://www.w3.org/1999/xlink}href")
_HIDDEN = {"clipPath", "mask", "pattern", "marker", "metadata", "title", "desc", "style", "script", "filter"}
_COMMAND = re.compile(r"([MmZzLlHhVvCcSsQqTtAa])([^MmZzLlHhVvCcSsQqTtAa]*)")
# Each number and gap is taken whole or not at all ((?>…), *+): tried in parts, forty digits take seconds.
_DIGITS = r"(?>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
_NUMBER = re.compile(_DIGITS)
_GAP = r"[\s,]*+"
_ARC = re.compile(_GAP.join(["", *[f"({_DIGITS})"] * 3, "([01])", "([01])", *[f"({_DIGITS})"] * 2]))
_UNSEEN = re.compile(r"display\s*:\s*none")
_GLYPH = re.compile(r"#glyph-?\d+-\d+$")
_TEXT_ID = re.compile(r"(?:text|tspan|flowRoot|flowPara|flowSpan)_?\d")
_CLASS = re.compile(r"\.([\w-]+)")
_ARGUMENTS = {"M": 2, "L": 2, "H": 1, "V": 1, "C": 6, "S": 4, "Q": 4, "T": 2, "A": 7}
Point = tuple[float, float]


@dataclass(frozen=True)
class Geometry:
    """Outlines of one drawing as pairs of hashes, one pair an outline that is told from others.

    `outlines`: the pairs, sorted. `shapes`: number of drawn elements. `text_chars`: characters of text.
    `outlined_chars`: characters of text that was turned into outlines, where the program that did it says so.
    `raster_chars`: characters of embedded pictures.
    """

    outlines: tuple[tuple[int, int], ...]
    shapes: int
    text_chars: int
    outlined_chars: int
    raster_chars: int


def no_geometry() -> Geometry:
    """The geometry of nothing."""
    return Geometry((), 0, 0, 0, 0)


def read_geometry(svg: bytes) -> Geometry:
    """Geometry of a safe SVG, drawings nested in it as `data:image/svg+xml` included.

    Bytes that do not parse give the geometry of nothing: the renderer has refused them already.
    """
    outlines: set[tuple[int, int]] = set()
    counts = {"shapes": 0, "text": 0, "outlined": 0, "raster": 0}
    _read(svg, outlines, counts, MAX_NESTING)
    return Geometry(
        tuple(sorted(outlines)), counts["shapes"], counts["text"], counts["outlined"], counts["raster"]
    )


def _read(svg: bytes, outlines: set, counts: dict[str, int], nesting: int) -> None:
    from lxml import etree  # pyright: ignore[reportAttributeAccessIssue]

    parser = etree.XMLParser(resolve_entities=False, no_network=True, recover=True, huge_tree=True)
    try:
        root = etree.fromstring(svg, parser)
    except (etree.XMLSyntaxError, ValueError):
        return
    if root is None:
        return
    for element, lettered in _drawn(root):
        tag = element.tag.removeprefix(_SVG)
        letters = _outlined_letters(element, tag)
        counts["outlined"] += letters
        told = not (lettered or letters)  # letters are everybody's
        if tag in {"text", "tspan", "textPath"}:
            counts["text"] += len(
                "".join(filter(None, [element.text, *(kid.tail for kid in element)])).strip()
            )
        elif tag == "image":
            href = next((element.get(name) for name in _HREFS if element.get(name)), "")
            nested = _nested_svg(href) if nesting else None
            if nested is not None:
                _read(nested, outlines, counts, nesting - 1)
            else:
                counts["raster"] += len(href)
        elif tag == "path":
            counts["shapes"] += 1
            if told and len(outlines) < MAX_OUTLINES:
                outlines.update(filter(None, map(outline_hashes, subpaths(element.get("d") or ""))))
        elif tag in {"polygon", "polyline"}:
            counts["shapes"] += 1
            values = [float(number) for number in _NUMBER.findall(element.get("points") or "")]
            hashes = outline_hashes(list(zip(values[::2], values[1::2], strict=False)))
            if told and hashes:
                outlines.add(hashes)
        elif tag in {"rect", "circle", "ellipse", "line"}:
            counts["shapes"] += 1


def _drawn(root) -> Iterator[tuple]:
    """Elements that can be seen, in document order, and whether they stand in what was text.

    What a reference alone uses is left out.
    """
    sheet = " ".join(text for style in root.iter(f"{_SVG}style") if (text := style.text))
    unseen = {name for selectors in _unseen_rules(sheet) for name in _CLASS.findall(selectors)}
    stack = [(root, False)]
    while stack:
        element, lettered = stack.pop()
        if not isinstance(element.tag, str) or element.tag.removeprefix(_SVG) in _HIDDEN:
            continue
        if element.get("display") == "none" or _UNSEEN.search(element.get("style") or ""):
            continue
        if unseen and unseen.intersection((element.get("class") or "").split()):
            continue
        yield element, lettered
        lettered = lettered or bool(_outlined_letters(element, element.tag.removeprefix(_SVG)))
        stack.extend((child, lettered) for child in reversed(element))


def _unseen_rules(sheet: str) -> Iterator[str]:
    """Selectors of the rules that hide what they match, in one pass over the text."""
    for rule in sheet.split("}")[:-1]:
        head, brace, body = rule.rpartition("{")
        if brace and _UNSEEN.search(body):
            yield head.rpartition("{")[2]


def _outlined_letters(element, tag: str) -> int:
    """Letters that an element was before it became outlines.

    Inkscape leaves the words in `aria-label`, or at least the id `text123`; matplotlib makes groups `text_1`;
    cairo, so every PDF made SVG, uses symbols `glyph0-1`.
    """
    if tag not in {"g", "path", "use"}:
        return 0
    href = next((value for name in _HREFS if (value := element.get(name))), "")
    label = "".join((element.get("aria-label") or "").split())
    if label or _GLYPH.match(href):
        return len(label) or 1
    return 1 if _TEXT_ID.match(element.get("id") or "") else 0


def _nested_svg(href: str) -> bytes | None:
    """Bytes of a `data:image/svg+xml` address; None for any other."""
    head, comma, body = href.partition(",")
    if not comma or not head.strip().lower().startswith("data:image/svg+xml"):
        return None
    raw = unquote_to_bytes(body)
    if not head.lower().rstrip().endswith("base64"):
        return raw
    try:
        return base64.b64decode(raw, validate=False)
    except (binascii.Error, ValueError):
        return None


def subpaths(data: str) -> Iterator[list[Point]]:
    """Corners (on-curve points, not control points) of each subpath of SVG path data."""
    x = y = start_x = start_y = 0.0
    corners: list[Point] = []
    budget = MAX_NUMBERS
    for command, arguments in _COMMAND.findall(data):
        kind = command.upper()
        if kind == "Z":
            x, y = start_x, start_y
            continue
        numbers = _numbers(kind, arguments)
        budget -= len(numbers)
        if not numbers or budget < 0:
            break
        step = _ARGUMENTS[kind]
        whole = len(numbers) - len(numbers) % step
        moves_x = [] if kind == "V" else list(map(float, numbers[max(step - 2, 0) : whole : step]))
        moves_y = [] if kind == "H" else list(map(float, numbers[step - 1 : whole : step]))
        if command.islower():
            moves_x, moves_y = (
                list(accumulate(moves_x, initial=x))[1:],
                list(accumulate(moves_y, initial=y))[1:],
            )
        xs, ys = moves_x or [x] * len(moves_y), moves_y or [y] * len(moves_x)
        if not xs:
            break
        if kind == "M":
            if corners:
                yield corners
            corners, start_x, start_y = [], xs[0], ys[0]
        corners.extend(zip(xs[: MAX_CORNERS - len(corners)], ys, strict=False))
        x, y = xs[-1], ys[-1]
    if corners:
        yield corners


def _numbers(kind: str, arguments: str) -> list[str]:
    if kind == "A":  # its two flags may stand without a space
        values: list[str] = []
        place = 0
        while match := _ARC.match(arguments, place):  # and from there on, never anew at each digit
            values += match.groups()
            place = match.end()
        return values
    return _NUMBER.findall(arguments)


def outline_hashes(corners: list[Point]) -> tuple[int, int] | None:
    """Two 64-bit hashes of an outline, see the module's text; None when it has too few corners to tell."""
    if len(corners) < MIN_CORNERS:
        return None
    points = [point for k, point in enumerate(corners) if k == 0 or point != corners[k - 1]]
    if len(points) > 2 and math.dist(points[0], points[-1]) < 1e-3 * _spread(points):
        points.pop()  # closed with or without a last line to the start
    if len(points) < MIN_CORNERS:
        return None
    centre_x = sum(x for x, _ in points) / len(points)
    centre_y = sum(y for _, y in points) / len(points)
    radii = [math.hypot(x - centre_x, y - centre_y) for x, y in points]
    largest = max(radii)
    if not 1e-9 < largest < 1e12:
        return None
    scaled = [radius / largest * STEPS for radius in radii]
    if max(scaled) - min(scaled) < 2:  # corners of a circle or regular star: no drawing of anyone's
        return None
    return tuple(_hash([math.floor(value + shift) for value in scaled]) for shift in (0.5, 0.0))  # type: ignore[return-value]


def _spread(points: list[Point]) -> float:
    return max(max(axis) - min(axis) for axis in zip(*points, strict=True))


def _hash(steps: list[int]) -> int:
    digest = hashlib.blake2b(bytes(step & 0xFF for step in steps), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
