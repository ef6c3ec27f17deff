"""Pixels to and from PNG, as fast as deterministic allows, without metadata.

Belongs here: encoding and decoding of our own pixels. PNG per W3C "Portable Network Graphics (PNG)
Specification (Third Edition)": only IHDR, IDAT and IEND are written; no gamma or profile chunk, so a
reader takes the samples as sRGB, which they are.
"""

import io
import struct
import zlib

import numpy as np
from PIL import Image

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_UP = 2  # filter type: each byte minus the one above it


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


def encode(pixels: np.ndarray) -> bytes:
    """PNG of uint8 (height, width, 3 or 4).

    One filter (Up) for all rows and deflate level 1: icons are flat colours, where trying every filter
    costs four times the time for a few per cent of size.
    """
    height, width, channels = pixels.shape
    rows = pixels.reshape(height, width * channels)
    filtered = np.empty((height, 1 + width * channels), np.uint8)
    filtered[:, 0] = _UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if channels == 3 else 6, 0, 0, 0)
    body = zlib.compress(filtered.data, 1)
    return b"".join([_SIGNATURE, _chunk(b"IHDR", header), _chunk(b"IDAT", body), _chunk(b"IEND", b"")])


def decode_rgba(png: bytes) -> np.ndarray:
    """Straight-alpha uint8 (height, width, 4) of a PNG."""
    return np.asarray(_open(png))


def on_white(png: bytes) -> np.ndarray:
    """uint8 (height, width, 3): the picture composited on pure white."""
    return _flat(_open(png))


def flatten(pixels: np.ndarray) -> np.ndarray:
    """The same for pixels: straight-alpha uint8 (height, width, 4) to (height, width, 3)."""
    return _flat(Image.fromarray(pixels, "RGBA"))


def _flat(picture: Image.Image) -> np.ndarray:
    white = Image.new("RGB", picture.size, (255, 255, 255))
    white.paste(picture, (0, 0), picture)
    return np.asarray(white)


def _open(png: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(png), formats=["PNG"])
    return picture if picture.mode == "RGBA" else picture.convert("RGBA")
