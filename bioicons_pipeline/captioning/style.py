"""Words for how an icon is drawn: its colour and its sub-style.

Belongs here: measured facts and author -> an explicit phrase. "bioicons style" is several styles, and half
of the library is one author's: naming the sub-style in the caption keeps them apart, and lets a scientist
ask for one. Authors whose manner is known stand in `data/substyles.csv`, with who looked; for the others
the picture decides. Does not belong here: measuring (`picture`).
"""

from bioicons_pipeline.captioning.picture import StyleFacts
from bioicons_pipeline.captioning.tables import tables

LOOKS: dict[str, str] = {
    "silhouette": "black silhouette",
    "line art": "line art",
    "outlined shaded": "dark outlines and soft shading",
    "outlined flat": "dark outlines and flat colors",
    "shaded": "soft shading without outlines",
    "flat": "flat colors without outlines",
    "painterly": "painterly, finely detailed",
}
"""The looks that can be measured, and their phrase."""

DOMINANT = 0.5
SECOND = 0.28


def colour_of(facts: StyleFacts | None) -> str | None:
    """The colour word of a caption: one colour, or two ("pink and blue"); None where no colour leads."""
    if facts is None or not facts.palette or look_of(facts) in {"silhouette", "line art"}:
        return None
    (first, share), *rest = facts.palette
    second, second_share = rest[0] if rest else ("", 0.0)
    if share + second_share >= 0.7 and second_share >= SECOND:
        return f"{first} and {second}"
    return first if share >= DOMINANT else None


def look_of(facts: StyleFacts) -> str:
    """Which of `LOOKS` a picture has."""
    if facts.chroma < 0.04 and facts.dark > 0.85:
        return "silhouette"
    if facts.chroma < 0.08 and (facts.detail > 0.16 or facts.dark > 0.25):
        return "line art"
    if facts.detail > 0.22 and facts.gradient > 0.12:
        return "painterly"
    edge = "outlined" if facts.outline > 0.5 else ""
    tone = "shaded" if facts.gradient > 0.12 else "flat"
    return f"{edge} {tone}".strip()


def sub_style(author: str | None, category: str, facts: StyleFacts | None) -> str | None:
    """The sub-style phrase; None when neither author nor picture tells.

    A row of substyles.csv without a look holds for an author's every picture; with one, for those that
    measure so. Without a picture, rows that need one are passed over.
    """
    look = look_of(facts) if facts else None
    for row in tables().substyles:
        if row.author not in {"*", author or ""} or row.category not in {"*", category}:
            continue
        if row.look == "*" or row.look == look:
            return row.phrase
    return LOOKS[look] if look else None
