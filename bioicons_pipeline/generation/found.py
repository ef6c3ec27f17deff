"""Icons that a search found, drawn and written: safe SVG, transparent PNG, credits.

Belongs here: from hits to pictures and files. Does not belong here: the search (`search`), where the bytes of
icons are kept (store).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from PIL import Image

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.generation.carriers import png_bytes
from bioicons_pipeline.generation.search import Hit
from bioicons_pipeline.generation.sheet import contact_sheet
from bioicons_pipeline.library.credits import attribution_line, attribution_markdown, licence_texts
from bioicons_pipeline.rendering import RenderSettings, render_many
from bioicons_pipeline.whole import write_whole

SIZE = 512
CHANGES = (
    "the SVG rewritten with only what a browser draws of it, without script, animation, outside references "
    "and metadata; the PNG rasterised from it, cropped to the drawing and padded to a square"
)
"""What these files differ in from upstream's: CC BY asks whoever passes them on to say so."""


@dataclass(frozen=True)
class DrawnHit:
    """A hit with `svg`, the sanitised drawing, and `png`, transparent, `SIZE` px: both b"" where it cannot be
    shown safely."""

    hit: Hit
    svg: bytes
    png: bytes

    @property
    def citation(self) -> str:
        """The credit line of these files; the hit's own is that of the icon as upstream has it."""
        return attribution_line(self.hit.row, CHANGES)

    @property
    def stem(self) -> str:
        """The icon's name as part of a file name, in any script."""
        name = str(self.hit.row["name"])
        return "".join(char if char.isalnum() else "-" for char in name).strip("-")[:60] or "icon"


def draw_hits(hits: Sequence[Hit], read: Callable[[str], bytes], size: int = SIZE) -> list[DrawnHit]:
    """Every hit drawn at `size` px, in the order given; `read` gives the SVG bytes of a SHA-256."""
    svgs = [(str(number), read(str(hit.row["sha256"]))) for number, hit in enumerate(hits)]
    drawn = render_many(svgs, RenderSettings(size=size), workers=1)
    return [
        DrawnHit(hit, one.svg, one.alpha_png) if one.svg and one.alpha_png else DrawnHit(hit, b"", b"")
        for hit, one in zip(hits, drawn, strict=True)
    ]


class NotFreeError(BioiconsError):
    """The folder for what was found has files already, or cannot be written."""


def check_free(out: Path) -> None:
    """Refuse a folder with files: ATTRIBUTION.md credits one search, and another's would lose theirs.

    Raises:
        NotFreeError: `out` has files, is a file, or cannot be read.
    """
    try:
        busy = out.exists() and any(out.iterdir())
    except OSError as error:
        raise NotFreeError(
            f"{out} cannot be used ({error.strerror}): choose another folder with --out."
        ) from error
    if busy:
        raise NotFreeError(
            f"{out} is not empty: give each search a folder of its own, so that its ATTRIBUTION.md credits "
            "all that lies there."
        )


def write_found(drawn: Sequence[DrawnHit], out: Path) -> int:
    """Write what can be shown of some hits into `out`, with ATTRIBUTION.md, LICENSES/ and overview.png;
    returns the number of files."""
    shown = [one for one in drawn if one.svg]
    sheet: list[tuple[Image.Image, str, bool]] = []
    for number, one in enumerate(shown, start=1):
        stem = f"{number:02d}-{one.stem}"
        write_whole(out / f"{stem}.svg", one.svg)
        write_whole(out / f"{stem}.png", one.png)
        sheet.append((Image.open(io.BytesIO(one.png)).convert("RGBA"), stem[:22], False))
    if not shown:
        return 0
    rows = pd.DataFrame([one.hit.row for one in shown])
    write_whole(out / "ATTRIBUTION.md", attribution_markdown(rows, CHANGES).encode())
    # MIT and BSD are kept to only by whoever passes their notices on with the icons
    texts = licence_texts(rows)
    for name, text in texts.items():
        write_whole(out / "LICENSES" / name, text.encode())
    write_whole(out / "overview.png", png_bytes(contact_sheet(sheet)))
    return 2 * len(shown) + len(texts) + 2
