"""Bytes of an SVG to a safe, self-contained SVG of a known pixel size, and the facts found on the way.

Belongs here: the order of the steps, and SVG embedded as an image in SVG, which takes the same way. Not here:
the steps: bytes to text (`prescan.py`), text to tree (`parsing.py`), what may stay (`cleaning.py`, `css.py`,
`images.py`), the reference graph (`references.py`), the natural size (`sizing.py`); nor pixels.
"""

from dataclasses import dataclass, field, replace

from lxml import etree  # pyright: ignore[reportAttributeAccessIssue]

from bioicons_pipeline.rendering import images, prescan
from bioicons_pipeline.rendering.cleaning import Budget, Cleaner, Found
from bioicons_pipeline.rendering.names import SVG
from bioicons_pipeline.rendering.parsing import drop, parse
from bioicons_pipeline.rendering.references import ReferenceGraph, check_filters
from bioicons_pipeline.rendering.result import RefusalReason, Refused
from bioicons_pipeline.rendering.sizing import set_size

_NESTING = 2
"""Levels of SVG embedded in SVG."""
_BROKEN_IMAGE = {RefusalReason.NOT_XML, RefusalReason.NOT_SVG, RefusalReason.EMPTY, RefusalReason.BAD_SIZE}
"""An embedded SVG refused for one of these is a broken image: the icon around it is drawn without it."""


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
    label_chars: int = 0
    raster_count: int = 0
    raster_bytes: int = 0
    raster_chars: int = 0
    removed: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def without_text(self) -> "Normalised":
        """The same SVG without its `<text>`."""
        root = etree.fromstring(self.svg.encode())
        for element in list(root.iter(f"{{{SVG}}}text")):
            drop(element)
        return replace(self, svg=etree.tostring(root, encoding="unicode"), has_text=False)


def normalise(data: bytes, *, level: int = 0, budget: Budget | None = None) -> Normalised:
    """Clean one SVG or svgz. Raises `Refused`; any other exception is a bug.

    `level` and `budget` are those of the document around it, for an SVG embedded as an image.
    """
    found = Found()
    budget = budget or Budget()
    root, recovered = parse(prescan.to_text(data, found.removed))
    Cleaner(root, found, budget, lambda inner, chars: _embedded(inner, chars, level + 1, budget, found)).run()
    ReferenceGraph(root, found.removed).check()
    check_filters(root)
    width, height, natural = set_size(root)
    has_text = found.nested_text
    for element in list(root.iter(f"{{{SVG}}}text")):
        if "".join(element.itertext()).strip():
            has_text = True
        else:
            drop(element)
    etree.cleanup_namespaces(root)
    return Normalised(
        svg=etree.tostring(root, encoding="unicode"),
        width=width,
        height=height,
        natural=natural,
        element_count=sum(1 for _ in root.iter(etree.Element)),
        has_text=has_text,
        label_chars=found.label_chars,
        raster_count=found.raster_count,
        raster_bytes=found.raster_bytes,
        raster_chars=found.raster_chars,
        removed=found.removed,
        warnings=["not well-formed XML; what could be read of it was drawn"] if recovered else [],
    )


def _embedded(data: bytes, chars: int, level: int, budget: Budget, found: Found) -> str | None:
    """An SVG as an image inside another, where it takes `chars` characters: the same rules, `_NESTING` levels
    deep at most."""
    if level > _NESTING:
        found.count("nested_svg")
        return None
    try:
        inner = normalise(data, level=level, budget=budget)
    except Refused as refused:
        if refused.reason in _BROKEN_IMAGE:
            return None
        raise
    for kind, count in inner.removed.items():
        found.count(kind, count)
    found.raster_count += inner.raster_count
    found.raster_bytes += inner.raster_bytes
    # Of its characters, the share that rasters have of it: encoding and packing change both alike.
    found.raster_chars += round(chars * min(1.0, inner.raster_chars / max(1, len(data))))
    found.nested_text |= inner.has_text
    found.label_chars += inner.label_chars
    return images.encode_data_uri("svg+xml", inner.svg.encode())
