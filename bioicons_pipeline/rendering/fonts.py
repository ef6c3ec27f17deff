"""Which fonts `<text>` is drawn with.

A browser without Arial or Times draws with their metric-compatible stand-ins, Liberation Sans and Serif,
where the system has them. So do we: Liberation if it is installed, else the DejaVu fonts that come with
matplotlib, which is always installed. Nothing else of the system's fonts is looked at, so that two
machines with the same of these files draw the same; their bytes are part of the cache's address.
"""

import hashlib
import importlib.util
from functools import cache
from pathlib import Path

_LIBERATION_FOLDERS = (
    "/usr/share/fonts/truetype/liberation",
    "/usr/share/fonts/truetype/liberation2",
    "/usr/share/fonts/liberation-sans",
    "/usr/share/fonts/liberation",
)
_STYLES = ("Regular", "Bold", "Italic", "BoldItalic")
LIBERATION = {"sans": "Liberation Sans", "serif": "Liberation Serif", "mono": "Liberation Mono"}
DEJAVU = {"sans": "DejaVu Sans", "serif": "DejaVu Serif", "mono": "DejaVu Sans Mono"}


@cache
def font_files() -> tuple[Path, ...]:
    """The font files in use, in a fixed order; empty if there are none."""
    for folder in map(Path, _LIBERATION_FOLDERS):
        files = [
            folder / f"Liberation{kind}-{style}.ttf"
            for kind in ("Sans", "Serif", "Mono")
            for style in _STYLES
        ]
        if all(file.is_file() for file in files):
            return tuple(files)
    spec = importlib.util.find_spec("matplotlib")  # finds, does not import
    if spec is None or spec.origin is None:
        return ()
    folder = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf"
    return tuple(sorted(folder.glob("DejaVuS*.ttf")))


@cache
def fonts_key() -> str:
    """A sha256 (hex) over the font files' bytes."""
    digest = hashlib.sha256()
    for file in font_files():
        digest.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def families(files: tuple[Path, ...]) -> dict[str, str] | None:
    """The family for each of sans, serif and mono; None without fonts."""
    if not files:
        return None
    return LIBERATION if files[0].name.startswith("Liberation") else DEJAVU
