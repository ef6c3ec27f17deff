"""Names in an SVG document: the namespace, and an element's name without it."""

from lxml import etree  # pyright: ignore[reportAttributeAccessIssue]

SVG = "http://www.w3.org/2000/svg"


def local_name(element: etree._Element) -> str:
    """`rect` of `{http://www.w3.org/2000/svg}rect`; empty for comments and the like."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""
