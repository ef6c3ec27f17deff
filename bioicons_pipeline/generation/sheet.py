"""A contact sheet: all icons of a wish in one picture, to choose from.

Belongs here: that picture. Does not belong here: the comparison of base and LoRA (`grid`).
"""

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw

from bioicons_pipeline.generation.grid import FAINT, INK, PAD, font

CELL = 160
MOST = 200
"""Icons on a sheet; of more the first so many are shown."""
_SQUARE, _LIGHT, _DARK = 8, "#ffffff", "#eef1f4"


def contact_sheet(icons: Sequence[tuple[Image.Image, str, bool]]) -> Image.Image:
    """RGBA icons on a chequered ground, each with its label; True marks a likely copy in red.

    Raises:
        ValueError: there is no icon.
    """
    if not icons:
        raise ValueError("a contact sheet needs at least one icon")
    shown = icons[:MOST]
    columns = min(8, math.ceil(math.sqrt(len(shown))))
    lines = math.ceil(len(shown) / columns)
    width, height = columns * (CELL + PAD) + PAD, lines * (CELL + 34) + PAD
    picture = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(picture)
    ground = _chequered()
    for index, (icon, label, marked) in enumerate(shown):
        x, y = PAD + index % columns * (CELL + PAD), PAD + index // columns * (CELL + 34)
        picture.paste(ground, (x, y))
        scale = CELL / max(icon.size)
        # small icons are enlarged by whole pixels: blurring would hide what the model drew
        kind = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
        size = (max(1, round(icon.width * scale)), max(1, round(icon.height * scale)))
        small = icon.convert("RGBA").resize(size, kind)
        picture.paste(small, (x + (CELL - size[0]) // 2, y + (CELL - size[1]) // 2), small)
        draw.text((x, y + CELL + 3), label, fill="#b3261e" if marked else FAINT, font=font(12))
        draw.rectangle((x, y, x + CELL - 1, y + CELL - 1), outline="#b3261e" if marked else "#dfe5ea")
    if len(icons) > MOST:
        draw.text((PAD, height - 16), f"and {len(icons) - MOST} more", fill=INK, font=font(12))
    return picture


def _chequered() -> Image.Image:
    ground = Image.new("RGB", (CELL, CELL), _LIGHT)
    draw = ImageDraw.Draw(ground)
    for y in range(0, CELL, _SQUARE):
        for x in range(y // _SQUARE % 2 * _SQUARE, CELL, 2 * _SQUARE):
            draw.rectangle((x, y, x + _SQUARE - 1, y + _SQUARE - 1), fill=_DARK)
    return ground
