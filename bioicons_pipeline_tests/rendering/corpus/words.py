# ruff: noqa: E501 - one case, one line
"""Text and style sheets."""

from bioicons_pipeline_tests.rendering.corpus.making import DRAWN, RECT, case, svg

SLOW = {DRAWN, "time_out"}
NO_DRAWING = {DRAWN, "too_costly"}

# with some fonts FreeType gives up on such a size, and says so
case("letters of 1e9", {*SLOW, "renderer_refused"}, svg(f'<text y="50" font-size="1e9">A</text>{RECT}'))
case(
    "spacing that is no number",
    DRAWN,
    svg(
        f'<text y="50" letter-spacing="1e38" word-spacing="nan" textLength="1e38" rotate="nan 1e38">A b</text>{RECT}'
    ),
)
case(
    "200,000 positions",
    SLOW,
    svg(f'<text y="50" x="{"1 " * 200_000}" dy="{"1 " * 200_000}">{"a" * 20_000}</text>{RECT}'),
)
case(
    "50 tspans in one another",
    DRAWN,
    svg(f"<text y='50'>{'<tspan>' * 50}{'A' * 1000}{'</tspan>' * 50}</text>{RECT}"),
)
case("15,000 tspans", SLOW, svg("<text y='50'>" + "<tspan dx='1'>A</tspan>" * 15_000 + f"</text>{RECT}"))
case(
    "text along a long path",
    SLOW,
    svg(
        f'<path id="p" d="M0 0{"q1 1 2 0" * 60_000}"/><text><textPath href="#p" startOffset="1e38">{"A" * 20_000}</textPath></text>{RECT}'
    ),
)
case("100,000 accents", SLOW, svg(f'<text y="50">{("a" + chr(0x300) * 2000) * 50}</text>{RECT}'))
case(
    "writing both ways",
    SLOW,
    svg(f'<text y="50">{(chr(0x2066) + chr(0x5D0) + chr(0x202E)) * 20_000}</text>{RECT}'),
)
case("a megabyte of font names", SLOW, svg(f'<text y="50" font-family="{"x, " * 300_000}">A</text>{RECT}'))
case("a sheet without a brace", SLOW, svg(f"<style>--{'a' * 1_000_000}</style>{RECT}"))
case("imports that never end", DRAWN, svg(f"<style>{'@import ' * 120_000}{{</style>{RECT}"), "css_at_rule")
case("at-signs without end", SLOW, svg(f"<style>{'@a' * 400_000}}}</style>{RECT}"))
case("media in media in media", SLOW, svg(f"<style>{'@media all{' * 90_000}</style>{RECT}"))
case("comments that never close", SLOW, svg(f"<style>{'/*' * 400_000}</style>{RECT}"))
case("url( without end", DRAWN, svg(f"<style>{'url(' * 200_000}</style>{RECT}"), "external_reference")
case(
    "var( without end",
    NO_DRAWING | {"time_out"},
    svg(f"<style>a{{fill:{'var(--x,' * 100_000}}}</style>{RECT}"),
)
case(
    "a style attribute of megabytes",
    "too_costly",
    svg(f'<rect width="50" height="50" style="{"fill:green;" * 300_000}"/>{RECT}'),
)
case("not not not", SLOW, svg(f"<style>{':not(' * 20_000}rect{')' * 20_000}{{fill:green}}</style>{RECT}"))
case("100,000 selectors", SLOW, svg(f"<style>{'rect,' * 100_000}rect{{fill:#0a0}}</style>{RECT * 20}"))
case(
    "sibling of sibling of sibling",
    SLOW,
    svg(f"<style>{'g~g+g>g ' * 1000}{{fill:green}}</style>{'<g/>' * 3000}{RECT}"),
)
case(
    "imports, escaped",
    DRAWN,
    svg(
        f"<style>@\\69mport url({{server}}/e.css); @IMPORT '{{server}}/f.css'; rect{{behavior:url({{server}}/b);-moz-binding:url({{server}}/x.xml#a)}}</style>{RECT}"
    ),
    "external_reference css_at_rule",
)
