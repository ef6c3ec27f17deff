"""Text of an SVG to a safe, self-contained SVG of a known pixel size, and the facts found on the way.

Belongs here: the allowlist of elements and attributes, `<switch>`, and references. Follows SVG 2 (W3C CR
2018) for what is drawn, and the "secure static mode" of SVG Integration for what is not done: no script, no
animation, no external reference, no interaction. Not here: bytes to text (`prescan.py`), CSS (`css.py`),
the natural size (`sizing.py`), the reference graph (`references.py`), pixels.
"""

from dataclasses import dataclass, field, replace

from lxml import etree  # pyright: ignore[reportAttributeAccessIssue]

from bioicons_pipeline.rendering import css, images, prescan
from bioicons_pipeline.rendering.references import ReferenceGraph, check_filters, local_name
from bioicons_pipeline.rendering.result import RefusalReason, Refused
from bioicons_pipeline.rendering.settings import (
    MAX_DEPTH,
    MAX_ELEMENT_ATTRIBUTES,
    MAX_ELEMENTS,
    MAX_IMAGE_PIXELS,
    MAX_STYLE_CHARS,
    MAX_TOTAL_IMAGE_PIXELS,
)
from bioicons_pipeline.rendering.sizing import set_size

SVG = "http://www.w3.org/2000/svg"
_XML = "http://www.w3.org/XML/1998/namespace"

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
_NO_CSS = {
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
_ANIMATION = {"animate", "animateMotion", "animateTransform", "animateColor", "set", "mpath", "discard"}


@dataclass(slots=True)
class Normalised:
    """A safe SVG and the facts about it.

    svg: text whose root says `width` and `height`, px; they are the natural size, except that very large
    and very small ones are rescaled (16 to 8192 px on the longer side); `natural` is before that.
    """

    svg: str
    width: float
    height: float
    natural: tuple[float, float] = (0.0, 0.0)
    element_count: int = 0
    has_text: bool = False
    raster_count: int = 0
    raster_bytes: int = 0
    raster_chars: int = 0
    removed: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def without_text(self) -> "Normalised":
        """The same SVG without its `<text>`."""
        root = etree.fromstring(self.svg.encode())
        for element in list(root.iter(f"{{{SVG}}}text")):
            _drop(element)
        return replace(self, svg=etree.tostring(root, encoding="unicode"), has_text=False)


@dataclass(slots=True)
class _Budget:
    """Spent by a document together with the SVGs embedded in it."""

    elements: int = 0
    pixels: int = 0
    style_chars: int = 0


def normalise(data: bytes, *, level: int = 0, budget: _Budget | None = None) -> Normalised:
    """Clean one SVG or svgz. Raises `Refused`; any other exception is a bug."""
    removed: dict[str, int] = {}
    text = prescan.to_text(data, removed)
    root, recovered = _parse(text)
    out = Normalised("", 0, 0, removed=removed)
    if recovered:
        out.warnings.append("not well-formed XML; what could be read of it was drawn")
    _Cleaner(root, out, level, budget or _Budget()).run()
    ReferenceGraph(root, removed).check()
    check_filters(root)
    out.width, out.height, out.natural = set_size(root)
    for element in list(root.iter(f"{{{SVG}}}text")):
        if _has_text(element):
            out.has_text = True
        else:
            _drop(element)
    out.element_count = sum(1 for _ in root.iter(etree.Element))
    etree.cleanup_namespaces(root)
    out.svg = etree.tostring(root, encoding="unicode")
    return out


def _parse(text: str) -> tuple[etree._Element, bool]:
    parser = etree.XMLParser(
        recover=True,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        resolve_entities=False,
        huge_tree=False,
        remove_comments=True,
        strip_cdata=True,
    )
    try:
        root = etree.fromstring(text.encode("utf-8"), parser)
    except etree.XMLSyntaxError as error:
        if "depth" in str(error):
            raise Refused(RefusalReason.TOO_DEEP, "elements nested past the parser's limit") from error
        raise Refused(RefusalReason.NOT_XML, "no XML element found") from error
    fatal = [entry for entry in parser.error_log if entry.level_name == "FATAL"]
    if any("depth" in entry.message for entry in fatal):
        raise Refused(RefusalReason.TOO_DEEP, "elements nested past the parser's limit")
    if root is None:
        raise Refused(RefusalReason.NOT_XML, "no XML element found")
    if root.tag == "svg" or (local_name(root) == "svg" and not root.tag.startswith(f"{{{SVG}}}")):
        root = _into_namespace(root)
    if root.tag != f"{{{SVG}}}svg":
        raise Refused(RefusalReason.NOT_SVG, f"the root element is <{local_name(root)[:40]}>")
    return root, bool(fatal)


def _into_namespace(root: etree._Element) -> etree._Element:
    """A document that forgot, or mistyped, the SVG namespace."""
    wrong = root.tag.rpartition("}")[0][1:]
    fixed = etree.Element(f"{{{SVG}}}svg", dict(root.attrib), nsmap={None: SVG})
    fixed.text = root.text
    fixed.extend(list(root))
    prefix = f"{{{wrong}}}" if wrong else ""
    for element in fixed.iter(etree.Element):
        tag = element.tag
        if (prefix and tag.startswith(prefix)) or (not prefix and not tag.startswith("{")):
            element.tag = f"{{{SVG}}}{local_name(element)}"
    return fixed


def _has_text(element: etree._Element) -> bool:
    return bool("".join(element.itertext()).strip())


class _Cleaner:
    """Walks the tree once, without recursion, and leaves only what is allowed."""

    def __init__(self, root: etree._Element, out: Normalised, level: int, budget: _Budget):
        self.root, self.out, self.level, self.budget = root, out, level, budget
        self.removed = out.removed
        self.variables: dict[str, str] = {}

    def run(self) -> None:
        for node in list(self.root.xpath("//processing-instruction()")):
            if node.target == "xml-stylesheet":
                self._count("external_reference")
            if node.getparent() is not None:
                _drop(node)
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
                    _drop(child)

    def _keep(self, element: etree._Element) -> bool:
        if not isinstance(element.tag, str):  # entity, processing instruction
            return False
        name = local_name(element)
        if not element.tag.startswith(f"{{{SVG}}}"):
            if name in {"script", "iframe", "object", "embed"}:
                self._count("script" if name == "script" else "html")
            return False
        if name not in _KNOWN:
            if name in _ANIMATION:
                self._count("animation")
            elif name in {"script", "handler", "listener"}:
                self._count("script")
            elif name == "foreignObject":
                self._count("foreign_object")
            return False
        return _language_matches(element)

    def _switch(self, element: etree._Element) -> None:
        """SVG 2, 5.8: the first child whose conditions hold is drawn, and no other."""
        chosen = None
        for child in list(element):
            if chosen is None and not child.get("requiredExtensions") and self._keep(child):
                chosen = child
            else:
                _drop(child)
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
                self._count("event_handler")
                del element.attrib[name]
            elif ":" in name or name in {"requiredFeatures", "requiredExtensions", "systemLanguage"}:
                del element.attrib[name]
            elif name not in _NO_CSS and not css.is_plain(value):
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
            self._count("link")
        elif name == "image" and value.startswith("#"):
            self._count("unsupported_reference")
        else:
            self._count("external_reference")

    def _image(self, uri: str) -> str | None:
        data = images.decode_data_uri(uri)
        if data is None:
            return None
        kind = images.sniff(data)
        if kind is None:
            return None
        if kind == "svg+xml":
            return self._nested(data)
        size = images.pixel_size(kind, data)
        if size is None:
            return None
        pixels = size[0] * size[1]
        self.budget.pixels += pixels
        if pixels > MAX_IMAGE_PIXELS or self.budget.pixels > MAX_TOTAL_IMAGE_PIXELS:
            raise Refused(RefusalReason.IMAGE_TOO_LARGE, f"an embedded image of {size[0]} x {size[1]} px")
        self.out.raster_count += 1
        self.out.raster_bytes += len(data)
        self.out.raster_chars += len(uri)
        return images.encode_data_uri(kind, data)

    def _nested(self, data: bytes) -> str | None:
        """An SVG as an image inside this one: the same rules, two levels deep at most."""
        if self.level >= 2:
            self._count("nested_svg")
            return None
        try:
            inner = normalise(data, level=self.level + 1, budget=self.budget)
        except Refused as refused:
            if refused.reason in {RefusalReason.NOT_XML, RefusalReason.NOT_SVG, RefusalReason.EMPTY}:
                return None
            if refused.reason is RefusalReason.BAD_SIZE:
                return None
            raise
        for kind, count in inner.removed.items():
            self.removed[kind] = self.removed.get(kind, 0) + count
        self.out.raster_count += inner.raster_count
        self.out.raster_bytes += inner.raster_bytes
        return images.encode_data_uri("svg+xml", inner.svg.encode())

    def _sheet(self, element: etree._Element) -> None:
        for child in list(element):
            _drop(child)
        if element.get("type", "text/css").strip().lower() not in {"", "text/css"} or not css._matches(
            "media", element.get("media", "").lower()
        ):
            element.text = ""
            return
        element.text = css.clean_sheet(element.text or "", self.variables, self.removed)

    def _count(self, kind: str) -> None:
        self.removed[kind] = self.removed.get(kind, 0) + 1


def _drop(node: etree._Element) -> None:
    """Remove a node but not the text behind it, which belongs to its parent."""
    parent = node.getparent()
    if parent is None:
        return
    if node.tail:
        previous = node.getprevious()
        if previous is not None:
            previous.tail = (previous.tail or "") + node.tail
        else:
            parent.text = (parent.text or "") + node.tail
    parent.remove(node)


def _language_matches(element: etree._Element) -> bool:
    wanted = element.get("systemLanguage")
    if wanted is None:
        return True
    return any(tag.strip().lower().partition("-")[0] == "en" for tag in wanted.split(","))
