"""Makes the README's pictures: `python docs/make_pictures.py [data folder of a finished bioicons run]`.

`docs/starter_library.png` is every icon of the starter library, drawn by the project's own rendering
room. `docs/grid.png` is the sample grid of the library-wide run in the given data folder, if there is one.
"""

import io
import sys
from pathlib import Path

from PIL import Image

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
        ref = store.get_ref("sample_grid", base="flux-tiny")
        assert ref, "no library-wide grid there: run `make demo` first"
        (HERE / "grid.png").write_bytes(store.read(ref.version_id, "grid.png"))


if __name__ == "__main__":
    main()
