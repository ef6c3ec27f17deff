"""Files that carry a card: PNG (iTXt chunks), SVG (`<metadata>`), and the JSON beside them.

Belongs here: putting a card into bytes, reading it back, writing an icon's files. Does not belong here: what
a card says (`provenance`).

PNG by the specification's third edition (W3C, 2025): the pixels' chunks are copied as they are; the card is
one iTXt chunk with our keyword, and the RDF one with the keyword of XMP, which image programs show.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from lxml import etree  # pyright: ignore[reportAttributeAccessIssue]
from PIL import Image

from bioicons_pipeline.generation.provenance import (
    Card,
    ProvenanceError,
    from_json,
    from_rdf,
    legal,
    to_json,
    to_rdf,
)
from bioicons_pipeline.whole import write_whole

KEYWORD, XMP = b"bioicons-provenance", b"XML:com.adobe.xmp"
MAX_FILE = 64 << 20
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SVG = "http://www.w3.org/2000/svg"


@dataclass(frozen=True)
class IconFiles:
    """Where one icon's files are; `svg` None where it was not vectorised."""

    png: Path
    svg: Path | None
    card: Path


def write_icon(folder: Path, stem: str, rgba: Image.Image, svg: str | None, card: Card) -> IconFiles:
    """Write `stem`.png, .svg and .json into `folder`, each whole or not at all, the JSON last.

    Raises:
        ProvenanceError: the folder cannot be written, or `stem` is no plain file name.
    """
    if not stem or stem != Path(stem).name or stem.startswith("."):
        raise ProvenanceError(f"{stem!r} is no name for a file: leave out slashes and leading dots.")
    files = files_of(folder, stem)
    with _explained(folder, stem):
        write_whole(files.png, embed_png(png_bytes(rgba), card))
        if svg is not None and files.svg is not None:
            write_whole(files.svg, embed_svg(svg.encode(), card))
        write_whole(files.card, to_json(card).encode())
    return files if svg is not None else replace(files, svg=None)


def files_of(folder: Path, stem: str) -> IconFiles:
    """Where the files of an icon are, or would be."""
    return IconFiles(folder / f"{stem}.png", folder / f"{stem}.svg", folder / f"{stem}.json")


def add_svg(folder: Path, stem: str, svg: str | None, card: Card) -> IconFiles:
    """Write an SVG beside the PNG and the JSON of an icon, and neither of these; raises as `write_icon`."""
    files = files_of(folder, stem)
    if svg is None or files.svg is None:
        return replace(files, svg=None)
    with _explained(folder, stem):
        write_whole(files.svg, embed_svg(svg.encode(), card))
    return files


@contextmanager
def _explained(folder: Path, stem: str) -> Iterator[None]:
    """Say that an icon cannot be written, as a ProvenanceError."""
    try:
        yield
    except OSError as error:
        raise ProvenanceError(
            f"The icon {stem} cannot be written to {folder} ({error.strerror}): free some space or choose "
            "another folder."
        ) from error


def card_of(path: Path) -> Card | None:
    """The card in a file; None where there is no such file, no card in it, or either is damaged."""
    try:
        return read_card(path.read_bytes(), path.suffix)
    except (OSError, ProvenanceError):
        return None


def png_bytes(picture: Image.Image) -> bytes:
    """A picture as a PNG file, as small as Pillow makes it."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def embed(data: bytes, card: Card, suffix: str) -> bytes:
    """The same file with `card` in place of the one that it has; suffix ".png", ".svg" or ".json"."""
    makers = {".png": embed_png, ".svg": embed_svg, ".json": lambda _, card: to_json(card).encode()}
    if suffix.lower() not in makers:
        raise ProvenanceError(f"A {suffix or 'nameless'} file carries no card: give a .png, .svg or .json.")
    return makers[suffix.lower()](data, card)


def read_card(data: bytes, suffix: str) -> Card:
    """The card in a file's bytes; suffix as in `embed`.

    Raises:
        ProvenanceError: there is none, it is damaged, or the file is.
    """
    readers = {".png": read_png, ".svg": read_svg, ".json": from_json}
    if suffix.lower() not in readers:
        raise ProvenanceError(f"A {suffix or 'nameless'} file carries no card: give a .png, .svg or .json.")
    if len(data) > MAX_FILE:
        raise ProvenanceError(f"The file has {len(data)} bytes, more than any icon: give another.")
    return readers[suffix.lower()](data)


def embed_png(png: bytes, card: Card) -> bytes:
    """`png` with the card in it; an earlier card is replaced, pixels stay as they are."""
    chunks = [
        (kind, data)
        for kind, data in _chunks(png)
        if not (kind == b"iTXt" and _keyword(data) in (KEYWORD, XMP))
    ]
    rdf = etree.tostring(to_rdf(card), encoding="unicode")
    packet = (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        f'{rdf.replace("image/svg+xml", "image/png")}</x:xmpmeta><?xpacket end="r"?>'
    )
    texts = [(b"iTXt", _itxt(KEYWORD, to_json(card))), (b"iTXt", _itxt(XMP, packet))]
    return _SIGNATURE + b"".join(_chunk(*chunk) for chunk in (chunks[0], *texts, *chunks[1:]))


def read_png(png: bytes) -> Card:
    """The card in a PNG; raises as `read_card`."""
    for kind, data in _chunks(png):
        if kind == b"iTXt" and _keyword(data) == KEYWORD:
            parts = data[len(KEYWORD) + 1 :]
            if parts[:2] != b"\0\0":
                raise ProvenanceError("The card in the PNG is damaged: it is not ours.")
            text = parts[2:].split(b"\0", 2)
            if len(text) != 3:
                raise ProvenanceError("The card in the PNG is damaged: it is cut off.")
            return from_json(text[2])
    raise ProvenanceError("There is no card in the PNG: it was not made by bioicons generate.")


def _keyword(data: bytes) -> bytes:
    return data.split(b"\0", 1)[0]


def _itxt(keyword: bytes, text: str) -> bytes:
    """Uncompressed iTXt: keyword, compression flag and method, language, translated keyword, text."""
    return keyword + b"\0\0\0\0\0" + text.encode("utf-8")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _chunks(png: bytes) -> list[tuple[bytes, bytes]]:
    """(type, data) of each chunk, checksums checked."""
    if png[:8] != _SIGNATURE:
        raise ProvenanceError("The file is no PNG: give one that bioicons generate wrote.")
    found, place = [], 8
    while place + 12 <= len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        kind, data = png[place + 4 : place + 8], png[place + 8 : place + 8 + length]
        crc = png[place + 8 + length : place + 12 + length]
        if len(crc) != 4 or struct.unpack(">I", crc)[0] != zlib.crc32(kind + data):
            break
        found.append((kind, data))
        place += 12 + length
        if kind == b"IEND":
            return found
    raise ProvenanceError("The PNG is damaged or cut off: make it again.")


def embed_svg(svg: bytes, card: Card) -> bytes:
    """`svg` with the card in its `<metadata>` and its status in `<desc>`, which screen readers and editors
    show; other metadata and everything drawn stay."""
    root = _parsed(svg)
    for desc in root.findall(f"{{{_SVG}}}desc"):
        if (desc.text or "").startswith("AI-generated"):  # and not what a person wrote instead
            desc.text = legal(card.description)
    for old in list(root.iter(f"{{{_SVG}}}metadata")):
        parent = old.getparent()
        if parent is not None and next(old.iter("{*}card"), None) is not None:
            parent.remove(old)
    metadata = etree.Element(f"{{{_SVG}}}metadata")
    metadata.append(to_rdf(card))
    metadata.tail = "\n"
    heads = {f"{{{_SVG}}}title", f"{{{_SVG}}}desc"}
    position = next((i for i, child in enumerate(root) if child.tag not in heads), len(root))
    root.insert(position, metadata)
    return etree.tostring(root, encoding="utf-8", xml_declaration=True)


def read_svg(svg: bytes) -> Card:
    """The card in an SVG; raises as `read_card`."""
    return from_rdf(_parsed(svg))


def _parsed(svg: bytes) -> etree._Element:
    """The document's root; entities are not expanded, nothing is fetched."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(svg, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise ProvenanceError("The SVG is damaged: it is no well-formed XML.") from error
    if root.tag != f"{{{_SVG}}}svg":
        raise ProvenanceError("The file is no SVG: give one that bioicons generate wrote.")
    return root
