"""Makes the README's pictures: `python docs/make_pictures.py [data folder of a finished run [category]]`.

`docs/starter_library.png` is every icon of the starter library, drawn by the project's own rendering
room. `docs/grid.png` is the sample grid of flux-nano and its LoRA in the given data folder: that of a
category, or without one that of the whole library.
"""

import io
import json
import sys
from pathlib import Path

from PIL import Image

from bioicons_pipeline.generation.grid import GridRow, compose
from bioicons_pipeline.rendering import RenderSettings, render_many

HERE = Path(__file__).resolve().parent
LIBRARY = HERE.parent / "bioicons_pipeline" / "starter_library" / "static" / "icons"
COLUMNS, CELL, ICON = 9, 132, 112


def starter_sheet() -> Image.Image:
    """All starter icons, category by category, on white."""
    files = sorted(LIBRARY.rglob("*.svg"), key=lambda path: (path.parts[-3], path.stem))
    icons = render_many(((path.stem, path.read_bytes()) for path in files), RenderSettings(size=4 * ICON))
    pictures = [Image.open(io.BytesIO(icon.png)) for icon in icons if icon.png]
    assert len(pictures) == len(files), "every starter icon renders"
    sheet = Image.new("RGB", (COLUMNS * CELL, -(-len(pictures) // COLUMNS) * CELL), "white")
    for index, picture in enumerate(pictures):
        small = picture.resize((ICON, ICON), Image.Resampling.LANCZOS)
        sheet.paste(small, (index % COLUMNS * CELL + 10, index // COLUMNS * CELL + 10))
    return sheet


def main() -> None:
    """Write the pictures."""
    starter_sheet().quantize(128, dither=Image.Dither.NONE).save(HERE / "starter_library.png", optimize=True)
    if len(sys.argv) > 1:
        from bioicons_pipeline.store import Store

        store = Store(Path(sys.argv[1]) / "store")
        category = sys.argv[2] if len(sys.argv) > 2 else None
        ref = store.get_ref("sample_grid", partition=category, base="flux-nano")
        assert ref, "no such grid there: run `bioicons run` first, with --category or without"
        version = store.version(ref.version_id)
        shown = json.loads(store.read(version, "samples.json"))["rows"]

        def sample(number: int, kind: str) -> Image.Image:
            return Image.open(io.BytesIO(store.read(version, f"samples/{number:02d}-{kind}.png")))

        rows = [
            GridRow(row["label"], (sample(number, "base"), sample(number, "lora")))
            for number, row in enumerate(shown)
            if row["icon_id"] is None  # the library's own icons are not ours to put here
        ]
        title = f"The same seeds before and after a LoRA of {category or 'the whole library'}"
        grid = compose(rows, ("flux-nano", "with LoRA"), title, blocks=3)
        half = grid.resize((grid.width * 2 // 3, grid.height * 2 // 3), Image.Resampling.LANCZOS)
        half.quantize(256, dither=Image.Dither.NONE).save(HERE / "grid.png", optimize=True)


if __name__ == "__main__":
    main()
