# ruff: noqa: E501 - one case, one line
"""Just inside the limits, where stacks and clocks are tried hardest."""

import struct
import zlib

from bioicons_pipeline_tests.rendering.corpus.making import (
    DRAWN,
    NS,
    RECT,
    case,
    image,
    png_claiming,
    svg,
    uri,
)


def at_the_limits(tag: str, attribute: str) -> str:
    """References 15 levels deep, each inside 55 nested groups: allowed, and must not overflow a stack."""
    parts = [f'<{tag} id="n0">{RECT}</{tag}>']
    for i in range(1, 15):
        inner = f'<rect width="50" height="50" {attribute}="url(#n{i - 1})"/>'
        nested = "<g>" * 55 + inner + "</g>" * 55
        parts.append(f'<{tag} id="n{i}" width="9" height="9" patternUnits="userSpaceOnUse">{nested}</{tag}>')
    return svg(f'{"".join(parts)}{RECT}<rect width="9" height="9" {attribute}="url(#n14)"/>')


for tag_name, attribute_name in (("pattern", "fill"), ("mask", "mask"), ("clipPath", "clip-path")):
    case(f"{tag_name} at the limits", {DRAWN, "time_out"}, at_the_limits(tag_name, attribute_name))
case("60 nested groups", DRAWN, svg("<g>" * 60 + RECT + "</g>" * 60))
case("60 nested groups with opacity", DRAWN, svg('<g opacity="0.9">' * 60 + RECT + "</g>" * 60))
case(
    "60 nested groups with filters",
    {DRAWN, "time_out"},
    svg(
        '<filter id="f"><feGaussianBlur stdDeviation="1"/></filter>'
        + '<g filter="url(#f)">' * 60
        + RECT
        + "</g>" * 60
    ),
)
case(
    "a megabyte of text",
    {DRAWN, "time_out", "out_of_memory"},
    svg(f'<text y="50">{"W" * 1_000_000}</text>{RECT}'),
)
case(
    "rules times elements",
    {DRAWN, "time_out"},
    svg(
        f"<style>{''.join(f'.a{i} .b{i}{{fill:red}}' for i in range(9000))}</style>"
        + '<g class="c"/>' * 15_000
        + RECT
    ),
)
case(
    "use of the root",
    DRAWN,
    f'<svg {NS} id="r" width="100" height="100"><use xlink:href="#r"/>{RECT}</svg>',
    "circular_reference",
)
case(
    "filter that draws its own element",
    DRAWN,
    svg(f'<filter id="f"><feImage xlink:href="#e"/></filter><g id="e" filter="url(#f)">{RECT}</g>{RECT}'),
    "circular_reference",
)
case(
    "mask of itself by a rule",
    {DRAWN, "nothing_drawn"},
    svg(
        f'<style>#q{{mask:url(#m)}}</style><mask id="m"><rect id="q" width="9" height="9"/></mask><g mask="url(#m)">{RECT}</g>{RECT}'
    ),
    "circular_reference",
)
case(
    "pattern of itself by a rule",
    DRAWN,
    svg(
        f'<style>.q{{fill:url(#p)}}</style><pattern id="p" width="9" height="9"><rect class="q" width="9" height="9"/></pattern><rect class="q" width="99" height="99"/>{RECT}'
    ),
    "circular_reference",
)
case(
    "zlib bomb in a PNG's text",
    {DRAWN, "image_too_large"},
    lambda _s, _f: image(uri("image/png", png_with_bomb_in_text())),
)


def png_with_bomb_in_text() -> bytes:
    """A small PNG with a zTXt chunk that inflates to 50 MB."""
    body = b"k\0\0" + zlib.compress(b" " * 50_000_000, 9)
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))
    plain = png_claiming(2, 2)
    return plain[:33] + chunk + plain[33:]
