"""Small drawings and probes made on the spot, so that this room's tests need no other room."""

import hashlib
import io

import resvg_py
from PIL import Image

from bioicons_pipeline.library.records import IconSource, Probe


def probe_of(svg: bytes, **report) -> Probe:
    """A probe as the renderer would make it: 128 px RGBA of the drawing, or the refusal `not_xml`."""
    sha256 = hashlib.sha256(svg).hexdigest()
    if not svg.strip():
        return Probe(sha256, None, None, "empty", {})
    try:
        drawn = resvg_py.svg_to_bytes(svg_string=svg.decode("utf-8"), width=128)
    except (ValueError, UnicodeDecodeError):
        return Probe(sha256, None, None, "not_xml", {})
    image = Image.open(io.BytesIO(bytes(drawn))).convert("RGBA")
    image.thumbnail((128, 128), Image.Resampling.LANCZOS)
    square = Image.new("RGBA", (128, 128), (0, 0, 0, 0))
    square.paste(image, ((128 - image.width) // 2, (128 - image.height) // 2))
    buffer = io.BytesIO()
    square.save(buffer, "PNG")
    return Probe(sha256, buffer.getvalue(), svg, None, report)


def icon_of(path: str, svg: bytes) -> IconSource:
    """The snapshot's record of `svg` at `path`."""
    return IconSource(path, hashlib.sha256(svg).hexdigest(), len(svg))
