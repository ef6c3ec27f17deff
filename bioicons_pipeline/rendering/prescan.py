"""Bytes from a stranger to bounded, DOCTYPE-free text, before any XML parser or renderer sees them.

Belongs here: size, svgz, character encoding, and the internal entities of the DOCTYPE (XML 1.0 section
4.4), which are expanded here within bounds. External and parameter entities are never followed. Not here:
anything that needs the tree.
"""

import re
import zlib

from bioicons_pipeline.rendering.result import RefusalReason, Refused
from bioicons_pipeline.rendering.settings import MAX_ATTRIBUTES, MAX_BYTES, MAX_ELEMENTS

_BOMS = (
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
# Encodings that a file may declare. All else is read as UTF-8: UTF-7 and its like hide markup.
_DECLARABLE = {"utf-8", "us-ascii", "ascii", "iso-8859-1", "latin-1", "latin1", "windows-1252", "cp1252"}
_DECLARED = re.compile(rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
_XML_DECLARATION = re.compile(r"^\s*<\?xml\s[^>]{0,1000}?\?>", re.S)
_NOT_XML_CHARACTERS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_ENTITY = re.compile(r"""<!ENTITY\s+([\w:.-]{1,200})\s+(?:"([^"]*)"|'([^']*)')\s*>""")
_EXTERNAL = re.compile(
    r"""<!ENTITY\s+(?:%\s|[\w:.-]{1,200}\s+(?:SYSTEM|PUBLIC)\b)|<!DOCTYPE[^\[>]*\bSYSTEM\b"""
)
_REFERENCE = re.compile(r"&([\w:][\w:.-]{0,199});")
# What never closes goes on to the end: tried again at each sign, it would cost the square of the text.
_VERBATIM = re.compile(r"<!--.*?(?:-->|\Z)|<!\[CDATA\[.*?(?:\]\]>|\Z)|&([\w:][\w:.-]{0,199});", re.S)
_STYLESHEET = re.compile(r"<\?xml-stylesheet\s")
_CHARACTER = re.compile(r"&#(?:x([0-9A-Fa-f]{1,20})|([0-9]{1,20}));")
_PREDEFINED = {"lt", "gt", "amp", "quot", "apos"}


def to_text(data: bytes, removed: dict[str, int]) -> str:
    """The document as text without XML declaration and DOCTYPE; raises `Refused`.

    `removed` counts what was dropped (kind -> count).
    """
    if not data.strip(b" \t\r\n\x00"):
        raise Refused(RefusalReason.EMPTY, "the file has no content")
    if len(data) > MAX_BYTES:
        raise Refused(RefusalReason.TOO_LARGE, f"{len(data)} bytes, {MAX_BYTES} are allowed")
    if data[:2] == b"\x1f\x8b":
        data = _inflate(data)
    text = _decode(data)
    if not text.strip():
        raise Refused(RefusalReason.EMPTY, "the file has no content")
    text = _XML_DECLARATION.sub("", text, count=1).lstrip()
    text = _without_doctype(text, removed)
    if sheets := len(_STYLESHEET.findall(text)):
        removed["external_reference"] = removed.get("external_reference", 0) + sheets
    text = _CHARACTER.sub(_real_character, text)
    if text.count("<") > 4 * MAX_ELEMENTS:  # a tag opens, a tag closes, and room for comments
        raise Refused(RefusalReason.TOO_MANY_ELEMENTS, f"over {4 * MAX_ELEMENTS} tags")
    if text.count('="') + text.count("='") > MAX_ATTRIBUTES:
        raise Refused(RefusalReason.TOO_MANY_ELEMENTS, f"over {MAX_ATTRIBUTES} attributes")
    return text


def _inflate(data: bytes) -> bytes:
    inflater = zlib.decompressobj(wbits=31)
    try:
        out = inflater.decompress(data, MAX_BYTES + 1)
    except zlib.error as error:
        raise Refused(RefusalReason.NOT_XML, "damaged gzip data") from error
    if len(out) > MAX_BYTES:
        raise Refused(RefusalReason.GZIP_BOMB, f"inflates past {MAX_BYTES} bytes")
    if out[:2] == b"\x1f\x8b":
        raise Refused(RefusalReason.GZIP_BOMB, "gzip inside gzip")
    return out


def _decode(data: bytes) -> str:
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            text = data[len(bom) :].decode(encoding, "replace")
            break
    else:
        if data[:4] in (b"<\x00?\x00", b"<\x00s\x00", b"<\x00!\x00"):
            text = data.decode("utf-16-le", "replace")
        elif data[:4] in (b"\x00<\x00?", b"\x00<\x00s", b"\x00<\x00!"):
            text = data.decode("utf-16-be", "replace")
        else:
            match = _DECLARED.match(data)
            name = match[1].decode().lower() if match else "utf-8"
            text = data.decode(name if name in _DECLARABLE else "utf-8", "replace")
    return _NOT_XML_CHARACTERS.sub("", text)


def _real_character(reference: re.Match[str]) -> str:
    """The reference as it stands, or nothing where it names no character of XML (a surrogate, NUL)."""
    code = int(reference[1], 16) if reference[1] else int(reference[2])
    return reference[0] if code < 0x110000 and not _NOT_XML_CHARACTERS.match(chr(code)) else ""


def _without_doctype(text: str, removed: dict[str, int]) -> str:
    """Cut every DOCTYPE of the prolog and expand the internal entities it declared."""
    entities: dict[str, str] = {}
    position = 0
    while True:
        position = _skip_prolog(text, position)
        if text[position : position + 9].upper() != "<!DOCTYPE":
            break
        end = _doctype_end(text, position)
        doctype = text[position:end]
        if _EXTERNAL.search(doctype):
            removed["external_entity"] = removed.get("external_entity", 0) + 1
        for name, double, single in _ENTITY.findall(doctype):
            entities.setdefault(name, double or single)  # XML: the first declaration binds
        text = text[:position] + text[end:]
    return _expand(text, entities) if entities else text


def _skip_prolog(text: str, position: int) -> int:
    """Past white space, comments and processing instructions."""
    while position < len(text):
        if text[position].isspace():
            position += 1
        elif text.startswith("<!--", position):
            end = text.find("-->", position + 4)
            position = len(text) if end < 0 else end + 3
        elif text.startswith("<?", position):
            end = text.find("?>", position + 2)
            position = len(text) if end < 0 else end + 2
        else:
            break
    return position


_DOCTYPE_TOKEN = re.compile(r"""<!--.*?(?:-->|\Z)|<\?.*?(?:\?>|\Z)|"[^"]*"|'[^']*'|[\[\]>]""", re.S)


def _doctype_end(text: str, position: int) -> int:
    """The index after the `>` that closes the DOCTYPE at `position`; the text's end if none does."""
    inside = False
    for token in _DOCTYPE_TOKEN.finditer(text, position):
        if token[0] == "[":
            inside = True
        elif token[0] == "]":
            inside = False
        elif token[0] == ">" and not inside:
            return token.end()
    return len(text)


def _expand(text: str, entities: dict[str, str]) -> str:
    """`text` with the entities replaced, refused before anything larger than MAX_BYTES is built."""
    lengths: dict[str, int] = {}

    def length(name: str, open_names: tuple[str, ...]) -> int:
        if name in open_names or len(open_names) > 16:
            raise Refused(RefusalReason.ENTITY_EXPANSION, f"entity {name} is recursive or nested too deep")
        if name not in lengths:
            value = entities[name]
            total = len(value)
            for inner in _REFERENCE.findall(value):
                if inner in entities and inner not in _PREDEFINED:
                    total += length(inner, (*open_names, name))
            lengths[name] = total
        if lengths[name] > MAX_BYTES:
            raise Refused(RefusalReason.ENTITY_EXPANSION, f"entity {name} expands past {MAX_BYTES} bytes")
        return lengths[name]

    total = len(text)
    for match in _VERBATIM.finditer(text):
        name = match[1]
        if name in entities and name not in _PREDEFINED:
            total += length(name, ())
            if total > MAX_BYTES:
                raise Refused(RefusalReason.ENTITY_EXPANSION, f"entities expand past {MAX_BYTES} bytes")

    def replace(match: re.Match[str]) -> str:
        name = match[1]
        if name is None or name in _PREDEFINED or name not in entities:
            return match[0]
        return _REFERENCE.sub(replace, entities[name])

    return _VERBATIM.sub(replace, text)
