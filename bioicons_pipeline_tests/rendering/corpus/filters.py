# ruff: noqa: E501 - one case, one line
"""Filters, masks, patterns and geometry that make renderers panic or compute for ever."""

from bioicons_pipeline_tests.rendering.corpus.making import DRAWN, RECT, case, svg

SLOW = {DRAWN, "time_out"}


def filtered(primitives: str, attributes: str = "") -> str:
    """A rect under a filter, and one beside it so that something is always drawn."""
    return svg(f'<filter id="f" {attributes}>{primitives}</filter><g filter="url(#f)">{RECT}</g>{RECT}')


case(
    "filter region outside 32 bits",
    DRAWN,
    svg(
        f'<filter id="f" x="37649em"><feGaussianBlur stdDeviation="2"/></filter><path d="M8 2L34134 9L20 90Z" filter="url(#f)"/>{RECT}'
    ),
)
case(
    "arithmetic over a region larger than the canvas",
    SLOW,
    filtered(
        '<feFlood flood-color="blue"/><feComposite operator="arithmetic" in2="SourceGraphic" k2="1" k3="1"/>',
        'filterUnits="userSpaceOnUse" width="150" height="20000"',
    ),
)
case("offset beyond all numbers", DRAWN, filtered('<feOffset dx="1e38" dy="-1e38"/>'))
case(
    "dilation wider than its region",
    SLOW,
    filtered(
        '<feMorphology operator="dilate" radius="200"/>',
        'filterUnits="userSpaceOnUse" x="5" y="5" width="80" height="80"',
    ),
)
case("a billion octaves", SLOW, filtered('<feTurbulence numOctaves="1000000000" baseFrequency="0.5"/>'))
case("octaves that are no number", SLOW, filtered('<feTurbulence numOctaves="nan" baseFrequency="inf -1"/>'))
case(
    "convolution of order 500",
    SLOW,
    filtered(f'<feConvolveMatrix order="500" kernelMatrix="{"1 " * 250_000}"/>'),
)
case(
    "convolution without a kernel",
    DRAWN,
    filtered('<feConvolveMatrix order="1000000000 -1" divisor="0" targetX="1e9"/>'),
)
case(
    "a million table values",
    DRAWN,
    filtered(
        f'<feComponentTransfer><feFuncR type="table" tableValues="{"1 " * 1_000_000}"/></feComponentTransfer>'
    ),
)
case(
    "a minute tile",
    DRAWN,
    filtered(
        '<feFlood x="0" y="0" width="1e-6" height="1e-6"/><feTile/>',
        'filterUnits="userSpaceOnUse" width="100" height="100"',
    ),
)
case(
    "light from nowhere",
    DRAWN,
    filtered(
        '<feSpecularLighting specularExponent="nan" surfaceScale="1e38"><fePointLight x="1e38" y="nan" z="-1e38"/></feSpecularLighting>'
    ),
)
case(
    "displacement without bounds",
    DRAWN,
    filtered('<feDisplacementMap in2="SourceGraphic" scale="1e38" xChannelSelector="R"/>'),
)
case("thousands of blur functions", SLOW, svg(f'<g style="filter:{"blur(50px) " * 3000}">{RECT}</g>{RECT}'))
case(
    "feImage of a large group, often",
    SLOW,
    svg(
        f'<filter id="f"><feImage href="#e"/></filter><g id="e">{RECT * 50}</g>'
        + f'<g filter="url(#f)">{RECT}</g>' * 100
    ),
)
case(
    "a filter on everything",
    {DRAWN, "time_out", "too_costly"},
    svg(
        '<style>*{filter:url(#f)}</style><filter id="f"><feGaussianBlur stdDeviation="3"/></filter>'
        + RECT * 2000
    ),
)
case(
    "many rules that refer from everything",
    {DRAWN, "too_costly", "time_out"},
    svg(
        "<style>"
        + "".join(f"*{{fill:url(#n{i})}}" for i in range(800))
        + "</style>"
        + "".join(f'<linearGradient id="n{i}"/>' for i in range(800))
        + RECT
    ),
)
case(
    "thousands of layers",
    SLOW,
    svg(
        '<g style="mix-blend-mode:difference;opacity:.9"><rect width="99" height="99" fill="#123"/></g>'
        * 4000
    ),
)
case(
    "a minute pattern",
    SLOW,
    svg(
        f'<pattern id="p" width="1e-6" height="1e-6" patternUnits="userSpaceOnUse"><rect width="1" height="1"/></pattern><rect width="99" height="99" fill="url(#p)"/>{RECT}'
    ),
)
case(
    "a gigantic pattern",
    SLOW,
    svg(
        f'<pattern id="p" width="1e9" height="1e9" patternTransform="scale(1e12)" patternUnits="userSpaceOnUse"><rect width="1e9" height="1e9"/></pattern><rect width="99" height="99" fill="url(#p)"/>{RECT}'
    ),
)
case(
    "a gigantic mask",
    SLOW,
    svg(
        f'<mask id="m" maskUnits="userSpaceOnUse" x="-1e9" y="-1e9" width="2e9" height="2e9"><rect width="99" height="99" fill="#fff"/></mask><rect width="1e9" height="1e9" mask="url(#m)"/>{RECT}'
    ),
)
case(
    "a marker in its own stroke",
    DRAWN,
    svg(
        f'<marker id="m" markerWidth="1e9" markerHeight="1e9"><path d="M0 0L9 9" stroke="context-stroke" marker-end="url(#m)"/></marker><path d="M0 0L50 50" stroke="green" marker-end="url(#m)"/>{RECT}'
    ),
    "circular_reference",
)
case(
    "paths of numbers that are none",
    DRAWN,
    svg(f'<path d="M1e400 -1e400L1e39 1e39C nan inf 1 1 2 2Z" stroke="green"/>{RECT}'),
)
case(
    "transforms that are none",
    DRAWN,
    svg(
        f'<g transform="matrix(1e38 1e38 1e38 1e38 nan 0)">{RECT}</g><g transform="skewX(90)">{RECT}</g><g transform="scale(0)">{RECT}</g>{RECT}'
    ),
)
case(
    "100,000 transforms", SLOW, svg(f'<g transform="{"scale(1.001) rotate(1) " * 100_000}">{RECT}</g>{RECT}')
)
case(
    "shapes as large as numbers go",
    SLOW,
    svg(
        f'<circle r="1e38" stroke-width="1e30" stroke="green"/><ellipse rx="1e-38" ry="1e38"/><line x2="1e39" stroke="green"/>{RECT}'
    ),
)
case(
    "dashes times segments",
    SLOW,
    svg(f'<path d="M0 0{"L99 99L0 0" * 2000}" stroke="green" stroke-dasharray="{"0.01 " * 1000}"/>{RECT}'),
)
case(
    "digits without end on a path with markers",
    SLOW,
    svg(
        f'<marker id="m"><path d="M0 0L1 1"/></marker><path d="M{"1" * 2_000_000}" marker-mid="url(#m)"/>{RECT}'
    ),
)
case(
    "15,000 stops",
    SLOW,
    svg(
        f'<linearGradient id="g">{"""<stop offset="nan" stop-color="green"/>""" * 15_000}</linearGradient><rect width="99" height="99" fill="url(#g)"/>'
    ),
)
case("a canvas far away", DRAWN, svg(RECT.replace('"10"', '"100000000"'), 'viewBox="1e8 1e8 99 99"'))
case(
    "a nested canvas beyond reason",
    DRAWN,
    svg(
        f'<svg width="1e38" height="1e38" viewBox="0 0 1e-30 1e-30">{RECT}</svg><svg viewBox="0 0 nan 1">{RECT}</svg>{RECT}'
    ),
)
