"""The sample grid: one picture that shows what the adapter changed.

A row per prompt; columns: the real held-out icon where there is one, the base, the base with the LoRA,
both from the same seed. Drawn with Pillow; the font is the one that ships with matplotlib, so the grid
looks the same on every machine.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

CELL = 192
PAD = 12
LABEL = 300
INK, FAINT, LINE = "#1f2a44", "#6b7785", "#dfe5ea"


@dataclass(frozen=True)
class GridRow:
    """One prompt: `label` is what is written; images are RGB of any size, None leaves the cell empty."""

    label: str
    images: tuple[Image.Image | None, ...]
    note: str = ""


@lru_cache(maxsize=8)
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """The font of all pictures with words on them."""
    import matplotlib  # only for the fonts in its package data

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name, size)


def _wrap(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    lines, line = [], ""
    for word in text.split():
        trial = f"{line} {word}".strip()
        if font.getlength(trial) <= width or not line:
            line = trial
        else:
            lines.append(line)
            line = word
    return [*lines, line][:8]


def compose(
    rows: Sequence[GridRow], columns: Sequence[str], title: str, footer: str = "", *, blocks: int = 1
) -> Image.Image:
    """The grid as an RGB image: `len(columns)` cells of 192 px a row beside a column of labels.

    blocks: the rows are laid out in so many blocks side by side, the first ones in the first.

    Raises:
        ValueError: no rows, or a row whose number of images is not that of the columns.
    """
    if not rows or any(len(row.images) != len(columns) for row in rows):
        raise ValueError("a grid needs at least one row, and every row one image or None per column")
    lines = math.ceil(len(rows) / blocks)
    head, foot = 84, 40 if footer else PAD
    block = LABEL + len(columns) * (CELL + PAD) + PAD
    picture = Image.new("RGB", (blocks * block, head + lines * (CELL + PAD) + foot), "white")
    draw = ImageDraw.Draw(picture)
    draw.text((PAD, 12), title, fill=INK, font=font(18, bold=True))
    for index, row in enumerate(rows):
        left, y = index // lines * block, head + index % lines * (CELL + PAD)
        if index % lines == 0:
            for column, name in enumerate(columns):
                x = left + LABEL + column * (CELL + PAD) + CELL // 2
                draw.text((x, head - 14), name, fill=FAINT, font=font(14), anchor="ms")
        _draw_row(picture, draw, row, left, y, block)
    if footer:
        draw.text((PAD, picture.height - 26), footer, fill=FAINT, font=font(11))
    return picture


def _draw_row(
    picture: Image.Image, draw: ImageDraw.ImageDraw, row: GridRow, left: int, y: int, block: int
) -> None:
    draw.line((left + PAD, y - PAD // 2, left + block - PAD, y - PAD // 2), fill=LINE)
    for number, line in enumerate(_wrap(row.label, font(14), LABEL - 3 * PAD)):
        draw.text((left + PAD, y + 6 + 19 * number), line, fill=INK, font=font(14))
    draw.text((left + PAD, y + CELL - 20), row.note, fill=FAINT, font=font(12))
    for column, image in enumerate(row.images):
        x = left + LABEL + column * (CELL + PAD)
        if image is None:
            draw.text((x + CELL // 2, y + CELL // 2), "–", fill=LINE, font=font(24), anchor="mm")
            continue
        # Small images are enlarged by whole pixels: blurring would hide what the model drew.
        small = image.width < CELL
        resample = Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS
        picture.paste(image.convert("RGB").resize((CELL, CELL), resample), (x, y))
