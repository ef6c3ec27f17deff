"""What comes out of a rendering: the picture, the safe SVG, the facts, or the reason why not.

Belongs here: `RefusalReason`, `RenderResult`, and their form on the wire and in the cache (one JSON
header, then the files). Not here: anything that decides.
"""

import json
import struct
import zlib
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

_HEAD = struct.Struct(">4sIIIII")  # magic, crc32 of the rest, lengths of header, png, alpha, svg
_MAGIC = b"bir1"


class RefusalReason(StrEnum):
    """Why an icon has no picture. The values reach the manifest and are stable."""

    EMPTY = "empty"  # no bytes, or only white space
    TOO_LARGE = "too_large"  # file or its text over MAX_BYTES
    GZIP_BOMB = "gzip_bomb"  # svgz that inflates past MAX_BYTES
    NOT_XML = "not_xml"
    NOT_SVG = "not_svg"  # XML, but its root is no <svg>
    ENTITY_EXPANSION = "entity_expansion"  # recursive entities, or past MAX_BYTES once expanded
    TOO_DEEP = "too_deep"  # elements or references nested too deep
    TOO_MANY_ELEMENTS = "too_many_elements"
    TOO_COSTLY = "too_costly"  # references that fan out (use, pattern, mask, marker, filter bombs)
    IMAGE_TOO_LARGE = "image_too_large"  # an embedded image with too many pixels
    BAD_SIZE = "bad_size"  # width, height or viewBox zero, negative or not finite: a browser shows nothing
    NOTHING_DRAWN = "nothing_drawn"  # a valid SVG with nothing in it to see
    RENDERER_REFUSED = "renderer_refused"  # neither renderer accepts it
    TIME_OUT = "time_out"
    OUT_OF_MEMORY = "out_of_memory"
    WORKER_DIED = "worker_died"  # the renderer crashed; took this icon with it and no other


MACHINE_DEPENDENT = frozenset(
    {RefusalReason.TIME_OUT, RefusalReason.OUT_OF_MEMORY, RefusalReason.WORKER_DIED}
)
"""Refusals that another run might not repeat; they are never cached."""


class Refused(Exception):
    """Raised inside a worker to give up on an icon."""

    def __init__(self, reason: RefusalReason, detail: str = ""):
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class RenderResult:
    """One icon's outcome.

    key: the caller's name for it. png: RGB on pure white (mode "render") or straight-alpha RGBA (mode
    "probe"); None exactly if `refusal` is set. alpha_png: straight-alpha RGBA of the same frame. svg: the
    normalised, safe SVG (UTF-8); also of a refused icon where normalising got that far. refusal: a value
    of `RefusalReason` or None. warnings: short sentences for a curator. report: JSON-able facts, see
    `REPORT_KEYS`.
    """

    key: str
    png: bytes | None = None
    alpha_png: bytes | None = None
    svg: bytes | None = None
    refusal: str | None = None
    warnings: tuple[str, ...] = ()
    report: dict[str, Any] = field(default_factory=dict)

    def with_key(self, key: str) -> "RenderResult":
        """The same outcome under another name."""
        return replace(self, key=key)

    def pack(self) -> bytes:
        """Bytes for the pipe and the cache; without the key, which is the caller's."""
        header = json.dumps(
            {"refusal": self.refusal, "warnings": self.warnings, "report": self.report},
            sort_keys=True,
            separators=(",", ":"),
        ).encode()
        parts = [header, self.png or b"", self.alpha_png or b"", self.svg or b""]
        crc = 0
        for part in parts:
            crc = zlib.crc32(part, crc)
        return b"".join([_HEAD.pack(_MAGIC, crc, *map(len, parts)), *parts])

    @classmethod
    def unpack(cls, data: bytes, key: str = "") -> "RenderResult":
        """The inverse of `pack`. Raises ValueError on damaged bytes."""
        try:
            magic, crc, *lengths = _HEAD.unpack_from(data)
        except struct.error as error:
            raise ValueError("damaged rendering: too short") from error
        body = memoryview(data)[_HEAD.size :]
        if magic != _MAGIC or len(body) != sum(lengths) or zlib.crc32(body) != crc:
            raise ValueError("damaged rendering: wrong checksum")
        parts, start = [], 0
        for length in lengths:
            parts.append(bytes(body[start : start + length]))
            start += length
        header = json.loads(parts[0])
        return cls(
            key=key,
            png=parts[1] or None,
            alpha_png=parts[2] or None,
            svg=parts[3] or None,
            refusal=header["refusal"],
            warnings=tuple(header["warnings"]),
            report=header["report"],
        )


REPORT_KEYS = {
    "renderer": "'resvg' or 'cairosvg': who drew the picture",
    "natural_size": "[width, height] in CSS px at 96 dpi, as a browser would lay it out",
    "content_box": "[x0, y0, x1, y1] of what is drawn, CSS px inside natural_size; null if blank",
    "content_fraction": "area of content_box / area of natural_size, 0 to 1",
    "fill_fraction": "share of the pixels of natural_size that are drawn at all (alpha > 8 of 255), 0 to 1",
    "touches_edge": "content reaches an edge of natural_size",
    "opaque_background": "'#rrggbb' of an opaque background, 'mixed' if its colour varies, null if none",
    "blank": "nothing at all is drawn",
    "near_white": "everything drawn is so light that on white it cannot be seen",
    "renderers_disagree": "mean absolute difference of resvg and cairosvg, 0 to 255, text left out; null if "
    "not compared or one of them failed",
    "has_text": "has <text> that draws, in an embedded SVG too",
    "label_chars": "letters of HTML labels (foreignObject); we draw only what stands in for them",
    "element_count": "elements of the normalised SVG",
    "embedded_raster_count": "embedded PNG, JPEG, GIF, WebP images",
    "embedded_raster_bytes": "their decoded bytes together",
    "embedded_raster_share": "share of the bytes that embedded rasters take, in embedded SVGs too, 0 to 1",
    "removed": "what was taken out for safety, kind -> count (script, external_reference, ...)",
    "detail": "one clause on why it was refused; only on refused icons",
}
"""The documented keys of `RenderResult.report`. A refused icon may lack those that need the picture."""
