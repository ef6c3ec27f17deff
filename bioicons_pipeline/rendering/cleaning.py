"""The allowlist: which elements, attributes and references of an SVG stay, as a browser's still image has it.

Belongs here: one walk over the tree that leaves only what is drawn (SVG 2, W3C CR 2018) and safe ("secure
static mode" of SVG Integration: no script, no animation, no external reference, no interaction), `<switch>`
resolved, and the counts of what was taken out. Not here: CSS (`css.py`), references inside the document
(`references.py`), the order of the steps (`normalise.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from lxml import etree  # pyright: ignore[reportAttributeAccessIssue]

from bioicons_pipeline.rendering import css, images
from bioicons_pipeline.rendering.names import SVG, local_name
from bioicons_pipeline.rendering.parsing import drop
from bioicons_pipeline.rendering.result import RefusalReason, Refused
from bioicons_pipeline.rendering.settings import (
    MAX_DEPTH,
    MAX_ELEMENT_ATTRIBUTES,
    MAX_ELEMENTS,
    MAX_IMAGE_PIXELS,
    MAX_STYLE_ATTRIBUTE_CHARS,
    MAX_STYLE_CHARS,
    MAX_TOTAL_IMAGE_PIXELS,
)

_XML = "http://www.w3.org/XML/1998/namespace"
_XHTML = "http://www.w3.org/1999/xhtml"

_DRAWN = {"circle", "ellipse", "image", "line", "path", "polygon", "polyline", "rect", "text", "use"}
_KNOWN = _DRAWN | {
    *("a", "clipPath", "defs", "g", "linearGradient", "marker", "mask", "pattern", "radialGradient", "stop"),
    *("style", "svg", "switch", "symbol", "textPath", "tspan", "title", "desc"),
    *("filter", "feBlend", "feColorMatrix", "feComponentTransfer", "feComposite", "feConvolveMatrix"),
    *("feDiffuseLighting", "feDisplacementMap", "feDistantLight", "feDropShadow", "feFlood", "feFuncA"),
    *("feFuncB", "feFuncG", "feFuncR", "feGaussianBlur", "feImage", "feMerge", "feMergeNode", "feMorphology"),
    *("feOffset", "fePointLight", "feSpecularLighting", "feSpotLight", "feTile", "feTurbulence"),
}
_HREF_ELEMENTS = {
    "use",
    "textPath",
    "linearGradient",
    "radialGradient",
    "pattern",
    "feImage",
    "mask",
    "filter",
}
# Attributes that are no CSS, and often long.
NO_CSS = {
    "id",
    "class",
    "d",
    "points",
    "transform",
    "x",
    "y",
    "width",
    "height",
    "viewBox",
    "version",
    "offset",
}
_MAX_OCTAVES = 16
"""Each octave of noise has half the strength of the one before: later ones change no pixel, and take time."""
_ANIMATION = {"animate", "animateMotion", "animateTransform", "animateColor", "set", "mpath", "discard"}

Nested = Callable[[bytes, int], str | None]
"""An SVG embedded as an image, and the characters of its URI -> its clean `data:` URI, or None if it is left
out."""


@dataclass(slots=True)
class Budget:
    """Spent by a document together with the SVGs embedded in it."""

    elements: int = 0
    pixels: int = 0
    style_chars: int = 0


@dataclass(slots=True)
class Found:
    """What the walk saw: embedded rasters, text in embedded SVG, letters of HTML labels, and what it removed
    (kind -> count)."""

    raster_count: int = 0
    raster_bytes: int = 0
    raster_chars: int = 0
    nested_text: bool = False
    label_chars: int = 0
    removed: dict[str, int] = field(default_factory=dict)

    def count(self, kind: str, times: int = 1) -> None:
        """Note something of this kind as removed."""
        self.removed[kind] = self.removed.get(kind, 0) + times


class Cleaner:
    """Walks the tree once, without recursion, and leaves only what is allowed."""

    def __init__(self, root: etree._Element, found: Found, budget: Budget, nested: Nested):
        self.root, self.found, self.budget, self.nested = root, found, budget, nested
        self.removed = found.removed
        self.variables: dict[str, str] = {}

    def run(self) -> None:
        """Clean the tree in place. Raises `Refused` where it is over a limit."""
        self._measure()
        sheets = [e.text or "" for e in self.root.iter(f"{{{SVG}}}style")]
        self.budget.style_chars += sum(map(len, sheets))
        if self.budget.style_chars > MAX_STYLE_CHARS:
            raise Refused(RefusalReason.TOO_COSTLY, f"style sheets over {MAX_STYLE_CHARS} characters")
        self.variables = css.variables(sheets, self.root.get("style", ""))
        self._elements()

    def _measure(self) -> None:
        """Depth and number of elements, before anything is spent on them."""
        depth = 0
        for event, element in etree.iterwalk(self.root, events=("start", "end")):
            depth += 1 if event == "start" else -1
            if len(element.get("style") or "") > MAX_STYLE_ATTRIBUTE_CHARS:
                raise Refused(
                    RefusalReason.TOO_COSTLY, f"a style attribute over {MAX_STYLE_ATTRIBUTE_CHARS} characters"
                )
            if len(element.attrib) > MAX_ELEMENT_ATTRIBUTES:
                raise Refused(
                    RefusalReason.TOO_COSTLY, f"over {MAX_ELEMENT_ATTRIBUTES} attributes on one element"
                )
            if depth > MAX_DEPTH:
                raise Refused(RefusalReason.TOO_DEEP, f"elements nested over {MAX_DEPTH} levels")
            self.budget.elements += event == "start"
        if self.budget.elements > MAX_ELEMENTS:
            raise Refused(
                RefusalReason.TOO_MANY_ELEMENTS,
                f"{self.budget.elements} elements, {MAX_ELEMENTS} are allowed",
            )

    def _elements(self) -> None:
        stack = [self.root]
        while stack:
            element = stack.pop()
            self._attributes(element)
            if local_name(element) == "style":
                self._sheet(element)
                continue
            if local_name(element) == "switch":
                self._switch(element)
            for child in list(element):
                if self._keep(child):
                    stack.append(child)
                else:
                    drop(child)

    def _keep(self, element: etree._Element) -> bool:
        if not isinstance(element.tag, str):  # entity, processing instruction
            return False
        name = local_name(element)
        if not element.tag.startswith(f"{{{SVG}}}"):
            if name in {"script", "iframe", "object", "embed"}:
                self.found.count("script" if name == "script" else "html")
            return False
        if name not in _KNOWN:
            if name in _ANIMATION:
                self.found.count("animation")
            elif name in {"script", "handler", "listener"}:
                self.found.count("script")
            elif name == "foreignObject":
                self.found.count("foreign_object")
                self.found.label_chars += _letters(element)
            return False
        return _language_matches(element)

    def _switch(self, element: etree._Element) -> None:
        """SVG 2, 5.8: the first child whose conditions hold is drawn, and no other."""
        chosen = None
        for child in list(element):
            if chosen is None and not child.get("requiredExtensions") and self._keep(child):
                chosen = child
            else:
                drop(child)
        element.tag = f"{{{SVG}}}g"

    def _attributes(self, element: etree._Element) -> None:
        for name, value in list(element.attrib.items()):
            plain = name.rpartition("}")[2]
            if plain == "href" or plain.endswith(":href"):
                del element.attrib[name]
                # SVG 2: `href` wins over `xlink:href`.
                if name == "href" or "href" not in element.attrib:
                    self._href(element, value)
            elif name.startswith("{"):
                if not (name.startswith(f"{{{_XML}}}") and plain in {"space", "lang"}):
                    del element.attrib[name]
            elif plain[:2].lower() == "on":
                self.found.count("event_handler")
                del element.attrib[name]
            elif ":" in name or name in {"requiredFeatures", "requiredExtensions", "systemLanguage"}:
                del element.attrib[name]
            elif name == "numOctaves" and _number(value) > _MAX_OCTAVES:
                element.set(name, str(_MAX_OCTAVES))
            elif name not in NO_CSS and not css.is_plain(value):
                element.set(name, css.clean_value(value, self.variables, self.removed))

    def _href(self, element: etree._Element, value: str) -> None:
        name = local_name(element)
        value = value.strip()
        if not value:
            return
        if name in _HREF_ELEMENTS and (local := css.safe_url(value)) is not None:
            element.set("href", local)
        elif name in {"image", "feImage"} and (uri := self._image(value)) is not None:
            element.set("href", uri)
        elif name == "a":
            self.found.count("link")
        elif name == "image" and value.startswith("#"):
            self.found.count("unsupported_reference")
        elif name in {"image", "feImage"} and value[:5].lower() == "data:":
            self.found.count("unsupported_image")
        else:
            self.found.count("external_reference")

    def _image(self, uri: str) -> str | None:
        data = images.decode_data_uri(uri)
        if data is None:
            return None
        kind = images.sniff(data)
        if kind is None:
            return None
        if kind == "svg+xml":
            return self.nested(data, len(uri))
        size = images.pixel_size(kind, data)
        if size is None:
            return None
        pixels = size[0] * size[1]
        self.budget.pixels += pixels
        if pixels > MAX_IMAGE_PIXELS or self.budget.pixels > MAX_TOTAL_IMAGE_PIXELS:
            raise Refused(RefusalReason.IMAGE_TOO_LARGE, f"an embedded image of {size[0]} x {size[1]} px")
        self.found.raster_count += 1
        self.found.raster_bytes += len(data)
        self.found.raster_chars += len(uri)
        return images.encode_data_uri(kind, data)

    def _sheet(self, element: etree._Element) -> None:
        for child in list(element):
            drop(child)
        if element.get("type", "text/css").strip().lower() not in {"", "text/css"} or not css.matches(
            "media", element.get("media", "").lower()
        ):
            element.text = ""
            return
        element.text = css.clean_sheet(element.text or "", self.variables, self.removed)


def _letters(element: etree._Element) -> int:
    """Letters that the HTML inside an element shows."""
    words = element.xpath(".//h:*[not(self::h:script or self::h:style)]/text()", namespaces={"h": _XHTML})
    return sum(len("".join(text.split())) for text in words)


def _number(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return 0.0


def _language_matches(element: etree._Element) -> bool:
    wanted = element.get("systemLanguage")
    if wanted is None:
        return True
    return any(tag.strip().lower().partition("-")[0] == "en" for tag in wanted.split(","))
