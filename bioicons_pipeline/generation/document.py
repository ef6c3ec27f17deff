"""The SVG document of a vectorised icon.

Belongs here: its elements, by SVG 2 (W3C CR 2018). Does not belong here: what shapes there are.
"""

from xml.sax.saxutils import escape

import numpy as np

from bioicons_pipeline.generation.layers import Area

UNITS = 2048
"""Units of the viewBox on the longer side: coordinates are whole numbers."""


def document(
    areas: list[Area],
    paths: list[str],
    colours: np.ndarray,
    size: tuple[int, int],
    words: tuple[str, str],
) -> str:
    """The SVG: shapes from the lowest up, one group for each colour."""
    scale = UNITS / max(size)
    box = f"0 0 {round(size[0] * scale)} {round(size[1] * scale)}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0]}" height="{size[1]}" viewBox="{box}" '
        f'fill-rule="evenodd">\n<title>{_text(words[0])}</title>\n<desc>{_text(words[1])}</desc>'
    ]
    current = -1
    for area, path in zip(areas, paths, strict=True):
        if not path:
            continue
        if area.colour != current:
            parts.append("</g>\n" if current >= 0 else "\n")
            name = "{:02x}{:02x}{:02x}".format(*(int(value) for value in colours[area.colour]))
            parts.append(f'<g id="colour-{area.colour + 1}" fill="#{name}">\n')
            current = area.colour
        parts.append(f'<path d="{path}"/>\n')
    parts.append("</g>\n</svg>\n" if current >= 0 else "\n</svg>\n")
    return "".join(parts)


def _text(words: str) -> str:
    """Text that XML 1.0 allows, escaped, at most 1,000 characters."""
    legal = "".join(
        char
        for char in words
        if char in "\t\n\r" or " " <= char <= "\ud7ff" or "\ue000" <= char <= "\ufffd" or char > "\uffff"
    )
    return escape(legal[:1000])
