"""Images embedded as `data:` URIs: what they are, how many pixels they claim, and nothing else.

Belongs here: decoding of the URI (RFC 2397) and reading the size from the first bytes of PNG (W3C PNG),
JPEG (ITU T.81), GIF89a and WebP (RFC 9649), without decoding any pixel. Not here: SVG inside a data URI,
which `normalise.py` cleans like any SVG.
"""

import base64
import binascii
import re
import struct
import urllib.parse

_DATA = re.compile(r"^\s*data:([^,]{0,300}),", re.I)
_SPACE = re.compile(r"[\s\x00]+")


def decode_data_uri(uri: str) -> bytes | None:
    """The bytes of a `data:` URI, or None if it is none or damaged."""
    match = _DATA.match(uri)
    if match is None:
        return None
    payload = uri[match.end() :]
    if not re.search(r";\s*base64\s*$", match[1], re.I):
        return urllib.parse.unquote_to_bytes(payload)
    payload = _SPACE.sub("", urllib.parse.unquote(payload) if "%" in payload else payload)
    payload = payload.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(payload + "=" * (-len(payload) % 4))
    except (binascii.Error, ValueError):
        return None


def encode_data_uri(kind: str, data: bytes) -> str:
    """The canonical URI, with the type that the bytes really have."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def sniff(data: bytes) -> str | None:
    """'png', 'jpeg', 'gif', 'webp' or 'svg+xml' by the bytes, as browsers do; None for all else."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return "gif"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[:2] == b"\x1f\x8b" or b"<svg" in data[:4096] or data[:5] == b"<?xml":
        return "svg+xml"
    return None


def pixel_size(kind: str, data: bytes) -> tuple[int, int] | None:
    """(width, height) in px as the header claims, or None if it cannot be read."""
    try:
        if kind == "png":
            return struct.unpack_from(">II", data, 16) if data[12:16] == b"IHDR" else None
        if kind == "gif":
            return struct.unpack_from("<HH", data, 6)
        if kind == "jpeg":
            return _jpeg_size(data)
        if kind == "webp":
            return _webp_size(data)
    except (struct.error, IndexError):
        return None
    return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """From the largest frame header (SOFn): decoders differ on which of several they believe."""
    position, best = 2, None
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            break
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:
            position += 2
            continue
        if marker in (0xD9, 0xDA):
            break
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, position + 5)
            if best is None or width * height > best[0] * best[1]:
                best = (width, height)
        position += 2 + struct.unpack_from(">H", data, position + 2)[0]
    return best


def _webp_size(data: bytes) -> tuple[int, int] | None:
    chunk = data[12:16]
    if chunk == b"VP8X":
        return (
            1 + int.from_bytes(data[24:27], "little"),
            1 + int.from_bytes(data[27:30], "little"),
        )
    if chunk == b"VP8L" and data[20] == 0x2F:
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if chunk == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None
