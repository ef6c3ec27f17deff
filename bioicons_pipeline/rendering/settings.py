"""What a caller may choose about a rendering, and the limits that nobody may choose.

Belongs here: `RenderSettings` with its stable `key()`, the limits of the pre-scan, and the version of the
code that makes pixels. Not here: how any of it is enforced.

The limits are far above what the real library needs (deepest icon 15 levels, 2,853 elements, 2 MB) and
far below what hurts the renderers.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

CODE_VERSION = 4
"""Raise by one whenever the same SVG and settings may give other bytes: it addresses the cache."""

MAX_BYTES = 5 * 1024 * 1024  # of the file, and again of its text once inflated and expanded
MAX_DEPTH = 64  # nested elements
MAX_ELEMENTS = 20_000
MAX_ATTRIBUTES = 200_000
MAX_ELEMENT_ATTRIBUTES = 500  # of one element
MAX_REFERENCE_DEPTH = 16  # pattern -> pattern -> ..., use -> use -> ...
MAX_COST = 400_000  # elements drawn once every reference is followed
MAX_IMAGE_PIXELS = 24_000_000  # one embedded image
MAX_TOTAL_IMAGE_PIXELS = 48_000_000  # all of them
MAX_FILTER_PRIMITIVES = 256
MAX_SIDE = 8192.0  # px; larger natural sizes are scaled down, keeping the aspect ratio
MAX_STYLE_CHARS = 1024 * 1024  # all style sheets of a file together
MAX_STYLE_ATTRIBUTE_CHARS = 100_000  # of one element

PROBE_SIZE = 128  # px


@cache
def renderer_versions() -> str:
    """Names and versions of the packages whose code makes the pixels."""
    found = []
    for package in ("resvg", "cairosvg", "lxml", "pillow"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} absent")
    return ", ".join(found)


@dataclass(frozen=True, slots=True)
class RenderSettings:
    """How to render. Frozen; equal settings have equal `key()`s on every machine with the same packages.

    size: side of the square, px (the longer side where `frame` is false). 8 to 4096.
    mode: "render" gives RGB on pure white and, with `alpha`, a second RGBA file; "probe" gives one
        straight-alpha RGBA file.
    frame: crop to the drawn content and pad to a square. False: the whole view box, aspect ratio kept, no
        padding (what a browser shows in an `<img>`).
    margin: white on each side of the content, as a share of `size`, 0 to 0.4.
    alpha: keep the RGBA file. keep_svg: keep the normalised SVG.
    compare: also draw with the second renderer, and report how far the two differ.
    renderer: "auto" is resvg, and cairosvg where resvg refuses.
    time_limit: CPU-seconds that one icon may take; three times as much of wall-clock time.
    memory_mb: MiB that a worker may allocate on top of what it starts with.
    fonts: "auto" (see `fonts.py`) or "none": text is then not drawn at all.
    """

    size: int = 1024
    mode: Literal["render", "probe"] = "render"
    frame: bool = True
    margin: float = 0.04
    alpha: bool = True
    keep_svg: bool = True
    compare: bool = False
    renderer: Literal["auto", "resvg", "cairosvg"] = "auto"
    time_limit: float = 10.0
    memory_mb: int = 512
    fonts: Literal["auto", "none"] = "auto"

    def __post_init__(self) -> None:
        if not 8 <= self.size <= 4096:
            raise ValueError(f"size must be between 8 and 4096 px, not {self.size}")
        if not 0 <= self.margin <= 0.4:
            raise ValueError(f"margin must be between 0 and 0.4 of the size, not {self.margin}")
        if not self.time_limit > 0 or self.memory_mb < 64:
            raise ValueError("time_limit must be above 0 s and memory_mb at least 64")

    def key(self) -> str:
        """A sha256 (hex) of all that decides on the pixels besides the SVG itself."""
        from bioicons_pipeline.rendering.fonts import fonts_key

        facts = {
            **asdict(self),
            "code": CODE_VERSION,
            "packages": renderer_versions(),
            "font_files": fonts_key() if self.fonts == "auto" else "none",
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


PROBE = RenderSettings(size=PROBE_SIZE, mode="probe", compare=True, alpha=False)
"""What `probe_many` uses."""
