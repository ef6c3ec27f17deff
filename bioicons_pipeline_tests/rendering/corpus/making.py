"""Hostile SVG files, made by code: the machinery, and parts that several families use.

`{server}` in a case is replaced by the address of a local server, `{secret}` by the path of a file, neither
of which may ever be touched.
"""

import base64
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

DRAWN = "drawn"
NS = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
RECT = '<rect x="10" y="10" width="80" height="80" fill="#0a0"/>'


@dataclass(frozen=True)
class Hostile:
    """One file. `expected`: DRAWN or the value(s) of refusals that are right. `removed`: must be reported."""

    name: str
    make: Callable[[str, str], bytes]  # (server, secret path) -> the file
    expected: frozenset[str]
    removed: frozenset[str] = field(default_factory=frozenset)


CASES: list[Hostile] = []


def case(name: str, expected: str | set[str], body: bytes | str | Callable, removed: str = "") -> None:
    """Add a file to the corpus."""
    outcomes = frozenset({expected} if isinstance(expected, str) else expected)
    marks = frozenset(removed.split())

    def make(server: str, secret: str) -> bytes:
        made = body(server, secret) if callable(body) else body
        if isinstance(made, str):
            made = made.replace("{server}", server).replace("{secret}", secret).encode()
        return made

    CASES.append(Hostile(name, make, outcomes, marks))


def svg(inner: str, attributes: str = 'width="100" height="100" viewBox="0 0 100 100"') -> str:
    """A document around `inner`."""
    return f"<svg {NS} {attributes}>{inner}</svg>"


def png_claiming(width: int, height: int) -> bytes:
    """A PNG whose header claims a size that its data does not have."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def real_png_bomb(side: int) -> bytes:
    """A valid one-bit PNG of side x side black pixels: small as a file, huge in memory."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\0" * (1 + (side + 7) // 8)
    packer = zlib.compressobj(9)
    body = b"".join([*(packer.compress(row * 100) for _ in range(side // 100)), packer.flush()])
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def jpeg_claiming(width: int, height: int) -> bytes:
    """JPEG headers only."""
    return (
        b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
        + b"\xff\xc0\x00\x11\x08"
        + struct.pack(">HH", height, width)
        + b"\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01\xff\xd9"
    )


def uri(kind: str, data: bytes) -> str:
    """A base64 data URI."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def image(href: str) -> str:
    """An <image> over the whole, before a rect so that something is always drawn."""
    return svg(f'<image width="100" height="100" xlink:href="{href}"/>{RECT}')


def laughs(levels: int, fan: int) -> str:
    """Billion laughs."""
    lines = ['<!ENTITY a0 "ha">']
    lines += [f'<!ENTITY a{i} "{f"&a{i - 1};" * fan}">' for i in range(1, levels)]
    return f"<!DOCTYPE svg [{''.join(lines)}]>" + svg(f"<text>&a{levels - 1};</text>{RECT}")


def chain(levels: int, fan: int, tag: str, attribute: str) -> str:
    """`tag` elements of which each is drawn `fan` times inside the next."""
    parts = [f'<{tag} id="n0">{RECT}</{tag}>']
    for i in range(1, levels):
        inner = f'<rect width="50" height="50" {attribute}="url(#n{i - 1})"/>' * fan
        parts.append(f'<{tag} id="n{i}" width="9" height="9" patternUnits="userSpaceOnUse">{inner}</{tag}>')
    return svg(
        f'<defs>{"".join(parts)}</defs><rect width="99" height="99" {attribute}="url(#n{levels - 1})"/>'
    )
