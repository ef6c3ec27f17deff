"""The drawing of the flow, `docs/explanation/flow.svg`: assets in their order, and what each adds.

Belongs here: that one drawing, as plain SVG. `docs/make_pictures.py` writes it.
"""

from html import escape

STAGES = [
    ("svg_snapshot", "SVG bytes", "one upstream commit"),
    ("icon_manifest", "who made it,", "may we use it"),
    ("rasterized_icons", "PNG on white,", "safe SVG, alpha"),
    ("icon_captions", "what it shows,", "in several wordings"),
    ("icon_dataset", "Hugging Face", "dataset and credits"),
    ("lora_weights", "adapter", "and its facts"),
    ("sample_grid", "the same seeds,", "before and after"),
    ("evaluation_report", "better than", "the base?"),
]
BOX, GAP, HIGH, TOP = 142, 20, 78, 92
COLOURS = {"library": "#e0f2f1", "dataset": "#e8f0fe", "model": "#fff3e0"}
GROUPS = ["library", "library", "dataset", "dataset", "dataset", "model", "model", "model"]


def flow_svg() -> str:
    """The drawing; width fits a page, text stays readable at half its size."""
    width = 4 * BOX + 3 * GAP + 60
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} 410" role="img" '
        'font-family="DejaVu Sans, Arial, sans-serif" font-size="12">',
        "<title>From the bioicons library to a LoRA and generated icons</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0L8 4L0 8z" fill="#37474f"/></marker></defs>',
        f'<rect width="{width}" height="410" fill="#ffffff"/>',
        _text(30, 28, "bioicons (git): folders by licence, category, author", 14, bold=True),
        _text(30, 48, "observed; removal of an icon is a licence event and flows through", 11),
    ]
    for number, (name, first, second) in enumerate(STAGES):
        row, column = divmod(number, 4)
        x, y = 30 + column * (BOX + GAP), TOP + row * (HIGH + 60)
        parts.append(
            f'<rect x="{x}" y="{y}" width="{BOX}" height="{HIGH}" rx="8" fill="{COLOURS[GROUPS[number]]}" '
            'stroke="#37474f"/>'
        )
        parts += [
            _text(x + BOX / 2, y + 24, name, 12.5, bold=True, middle=True),
            _text(x + BOX / 2, y + 46, first, 11.5, middle=True),
            _text(x + BOX / 2, y + 63, second, 11.5, middle=True),
        ]
        if column < 3:
            parts.append(_arrow(x + BOX, y + HIGH / 2, x + BOX + GAP, y + HIGH / 2))
    first_end, second_start = TOP + HIGH, TOP + HIGH + 60
    parts += [
        _arrow(30 + BOX / 2, 54, 30 + BOX / 2, TOP),
        f'<path d="M{30 + 3.5 * BOX + 3 * GAP} {first_end}v26H{30 + BOX / 2}V{second_start}" fill="none" '
        'stroke="#37474f" stroke-width="1.4" marker-end="url(#tip)"/>',
    ]
    low = second_start + HIGH + 34
    parts += [
        _text(
            30,
            low,
            "One partition per scientific category from rasterized_icons on; library-wide twins of",
            11,
        ),
        _text(
            30,
            low + 16,
            "dataset, LoRA, grid and report. A category whose icons did not change keeps its version,",
            11,
        ),
        _text(
            30, low + 32, "and nothing below it runs. lora_weights ─► bioicons generate: PNG, SVG, card.", 11
        ),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _text(x: float, y: float, text: str, size: float, *, bold: bool = False, middle: bool = False) -> str:
    style = (' font-weight="bold"' if bold else "") + (' text-anchor="middle"' if middle else "")
    return f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" fill="#102027"{style}>{escape(text)}</text>'


def _arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    return (
        f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="#37474f" stroke-width="1.4" '
        'marker-end="url(#tip)"/>'
    )
