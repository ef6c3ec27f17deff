"""Text of an SVG to an lxml tree whose root is an `<svg>` of the SVG namespace.

Belongs here: the one XML parser of this room (recovering, offline, without DTD and entities), the mending of
a forgotten namespace, and taking a node out of a tree. Not here: bytes to text (`prescan.py`), what may stay
in the tree (`cleaning.py`).
"""

from lxml import etree  # pyright: ignore[reportAttributeAccessIssue]

from bioicons_pipeline.rendering.names import SVG, local_name
from bioicons_pipeline.rendering.result import RefusalReason, Refused
from bioicons_pipeline.rendering.settings import MAX_ELEMENT_ATTRIBUTES


def parse(text: str) -> tuple[etree._Element, bool]:
    """The root, and whether something in the text had to be skipped to get it. Raises `Refused`."""
    parser = etree.XMLParser(
        recover=True,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        resolve_entities=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
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
    if fatal:
        _first_of_each_attribute(root)
    if root.tag == "svg" or (local_name(root) == "svg" and not root.tag.startswith(f"{{{SVG}}}")):
        root = _into_namespace(root)
    if root.tag != f"{{{SVG}}}svg":
        raise Refused(RefusalReason.NOT_SVG, f"the root element is <{local_name(root)[:40]}>")
    return root, bool(fatal)


def _first_of_each_attribute(root: etree._Element) -> None:
    """A recovering parser keeps an attribute given twice, which no XML has: nobody could read it."""
    for element in root.iter(etree.Element):
        if len(element.attrib) > MAX_ELEMENT_ATTRIBUTES:
            continue  # will be refused; listing them would take the square of their number
        items = element.attrib.items()
        first = dict(reversed(items))
        if len(first) < len(items):
            element.attrib.clear()
            for name, _ in items:
                element.set(name, first[name])


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


def drop(node: etree._Element) -> None:
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
