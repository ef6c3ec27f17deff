"""The drawing of the house, `docs/explanation/house.svg`: the rooms, and which room imports which.

Belongs here: reading the imports from the code, and that one drawing. `docs/make_pictures.py` writes it.
What may be imported is held by the contracts in setup.cfg; this shows what is.
"""

import ast
from collections import defaultdict
from html import escape
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "bioicons_pipeline"
ROWS: tuple[dict[str, int], ...] = (
    {"cli": 430},
    {"orchestration": 430},
    {"studio": 250, "evaluation": 720},
    {"generation": 385},
    {"dataset": 110, "training": 740},
    {"library": 190, "captioning": 370, "rendering": 550, "store": 740},
)
"""room -> the middle of its box, px; those who know others above those who know none. No arrow runs
behind a box."""
ROOFS = ("cli", "orchestration")
"""They import nearly every room, so they are drawn as roofs, without arrows."""
SIDE_DOOR = "training/pretrain/"
"""Making the small base is a data path of its own: its imports are drawn dashed."""
WIDTH, HIGH, BOX, GAP, TOP = 860, 46, 148, 60, 52


def imports() -> dict[str, dict[str, bool]]:
    """room -> the rooms that it imports -> whether only through the side door; functions' imports count."""
    found: dict[str, dict[str, bool]] = defaultdict(dict)
    for file in sorted(PACKAGE.rglob("*.py")):
        place = file.relative_to(PACKAGE).as_posix()
        room = _room(place.split("/")[0].removesuffix(".py"))
        for module in _modules(ast.parse(file.read_text("utf-8"))):
            other = _room(module)
            if room and other and room != other:
                found[room][other] = found[room].get(other, True) and place.startswith(SIDE_DOOR)
    return dict(found)


def _modules(tree: ast.Module) -> set[str]:
    """Names directly below the package that a file imports from."""
    found = set()
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module == PACKAGE.name:
            names = [f"{PACKAGE.name}.{one.name}" for one in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Import):
            names = [one.name for one in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith(f"{PACKAGE.name}.")}
    return found


def _room(name: str) -> str | None:
    """The room that a module directly below the package counts to; None for what all may import."""
    if name == "cli" or name.startswith(("cli_", "doctor")):
        return "cli"
    if name == "definitions":
        return "orchestration"
    return name if any(name in row for row in ROWS) else None


def house_svg() -> str:
    """The drawing; arrows are those of the code."""
    step = HIGH + GAP
    high = TOP + len(ROWS) * step - GAP + 56
    places = {room: (x, TOP + number * step) for number, row in enumerate(ROWS) for room, x in row.items()}
    found = imports()
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {high}" role="img" '
        'font-family="DejaVu Sans, Arial, sans-serif" font-size="12">',
        "<title>The rooms of bioicons_pipeline, and which imports which</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0L8 4L0 8z" fill="#37474f"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{high}" fill="#ffffff"/>',
        _text(WIDTH / 2, 28, "Who imports whom: no arrow leads up", 14, bold=True),
        *_arrows({room: others for room, others in found.items() if room not in ROOFS}, places),
    ]
    for room, (x, y) in places.items():
        said, wide, fill = room, BOX, "#e0f2f1"
        if room in ROOFS:
            below = [name for row in ROWS for name in row if name not in ROOFS]
            lacking = [name for name in below if name not in found[room]]
            said += ": every room below" + (f" but {', '.join(lacking)}" if lacking else "")
            wide, fill = WIDTH - 60, "#fff3e0"
        parts.append(
            f'<rect x="{x - wide / 2:g}" y="{y}" width="{wide}" height="{HIGH}" rx="8" fill="{fill}" '
            'stroke="#37474f"/>'
        )
        parts.append(_text(x, y + HIGH / 2 + 4, said, 12.5, bold=True))
    low = high - 32
    parts += [
        _text(
            WIDTH / 2, low, "All may import errors, quiet and processes; cli and orchestration settings.", 11
        ),
        _text(WIDTH / 2, low + 18, "Dashed: only training/pretrain, which makes the small base.", 11),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _arrows(found: dict[str, dict[str, bool]], places: dict[str, tuple[int, int]]) -> list[str]:
    """A line an import, from the floor of one box to the ceiling of the other, side by side at both ends."""
    lines = []
    for room, others in sorted(found.items()):
        for other, aside in sorted(others.items()):
            (x1, y1), (x2, y2) = places[room], places[other]
            x1 += _port(other, list(others), places)
            x2 += _port(room, [name for name in found if other in found[name]], places)
            dashes = ' stroke-dasharray="5 4"' if aside else ""
            lines.append(
                f'<line x1="{x1}" y1="{y1 + HIGH}" x2="{x2}" y2="{y2}" stroke="#37474f" stroke-width="1.3"'
                f'{dashes} marker-end="url(#tip)"/>'
            )
    return lines


def _port(name: str, others: list[str], places: dict[str, tuple[int, int]]) -> int:
    """Where at a box the line to `name` ends, px from its middle: in the order of the other ends."""
    ordered = sorted(others, key=lambda one: places[one])
    return round((ordered.index(name) - (len(ordered) - 1) / 2) * 20)


def _text(x: float, y: float, text: str, size: float, *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" fill="#102027" text-anchor="middle"{weight}>'
        f"{escape(text)}</text>"
    )
