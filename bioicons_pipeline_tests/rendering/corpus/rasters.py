# ruff: noqa: E501 - one case, one line
"""Embedded images that lie about themselves, or come in a form that is none."""

import io
import struct
import zlib

from PIL import Image

from bioicons_pipeline_tests.rendering.corpus.making import (
    DRAWN,
    RECT,
    case,
    image,
    jpeg_claiming,
    png_claiming,
    svg,
    uri,
)

UNSEEN = {DRAWN, "image_too_large", "out_of_memory", "time_out"}


def picture(side: int, form: str, **more) -> bytes:
    """A true image of side x side pixels."""
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), (1, 99, 2)).save(buffer, form, **more)
    return buffer.getvalue()


def png_with(kind: bytes, body: bytes) -> bytes:
    """A true PNG with one more chunk behind its header."""
    plain = picture(2, "PNG")
    chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return plain[:33] + chunk + plain[33:]


def jpeg_of_scans(side: int, scans: int) -> bytes:
    """A progressive JPEG that draws its last scan over and over."""
    plain = picture(side, "JPEG", progressive=True)
    last = plain.rfind(b"\xff\xda")
    return plain[:-2] + plain[last:-2] * scans + plain[-2:]


case(
    "an image drawn at 1e9",
    DRAWN,
    lambda _s, _f: svg(
        f'<image width="1e9" height="1e9" href="{uri("image/png", picture(2, "PNG"))}"/>{RECT}'
    ),
)
case(
    "one large image, used often",
    UNSEEN,
    lambda _s, _f: svg(
        f'<image id="i" width="90" height="90" href="{uri("image/png", picture(2400, "PNG"))}"/>{"""<use href="#i"/>""" * 50}{RECT}'
    ),
)
case("jpeg of 300 scans", UNSEEN, lambda _s, _f: image(uri("image/jpeg", jpeg_of_scans(2400, 300))))
case("jpeg without a height", UNSEEN, image(uri("image/jpeg", jpeg_claiming(50_000, 0))))
case(
    "jpeg whose size comes late",
    "image_too_large",
    image(
        uri("image/jpeg", b"\xff\xd8\xff\xfe\xff\xff" + b"\0" * 65_533 + jpeg_claiming(60_000, 60_000)[2:])
    ),
)
case(
    "gif with a frame larger than its screen",
    UNSEEN,
    image(
        uri(
            "image/gif",
            b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff\x2c\0\0\0\0\xff\xff\xff\xff\0\2\2\x4c\1\0;",
        )
    ),
)
case(
    "gif of 100,000 frames",
    UNSEEN,
    image(
        uri(
            "image/gif",
            b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff"
            + b"\x2c\0\0\0\0\1\0\1\0\0\2\2\x4c\1\0" * 100_000
            + b";",
        )
    ),
)
case(
    "webp with a picture larger than its canvas",
    UNSEEN,
    image(
        uri(
            "image/webp",
            b"RIFF\x50\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0VP8L\x0a\0\0\0\x2f\xff\xff\xff\x0f\0\0\0\0\0",
        )
    ),
)
case(
    "png with a second, larger header",
    UNSEEN,
    lambda _s, _f: image(uri("image/png", png_with(b"IHDR", png_claiming(60_000, 60_000)[16:29]))),
)
case(
    "zlib bomb in a PNG's profile",
    UNSEEN,
    lambda _s, _f: image(
        uri("image/png", png_with(b"iCCP", b"x\0\0" + zlib.compress(b"\0" * 80_000_000, 9)))
    ),
)
for form in ("BMP", "TIFF", "ICO"):
    case(
        f"embedded {form}", DRAWN, image(uri(f"image/{form.lower()}", picture(16, form))), "unsupported_image"
    )
INNER = svg('<g id="a">' + RECT * 2000 + "</g>" + '<use href="#a"/>' * 150).encode()
case(
    "an image of images, used often",
    {"too_costly", "time_out", "out_of_memory", "worker_died"},
    svg(
        f'<image id="i" width="90" height="90" href="{uri("image/svg+xml", INNER)}"/>'
        + '<use href="#i"/>' * 9000
    ),
)
