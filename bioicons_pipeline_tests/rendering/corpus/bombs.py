# ruff: noqa: E501 - one case, one line
"""Small as a file, huge when opened."""

import gzip

from bioicons_pipeline_tests.rendering.corpus.making import (
    DRAWN,
    RECT,
    case,
    chain,
    image,
    jpeg_claiming,
    png_claiming,
    real_png_bomb,
    svg,
    uri,
)


def _matryoshka(levels: int) -> bytes:
    document = svg(RECT)
    for _ in range(levels):
        document = image(uri("image/svg+xml", document.encode()))
    return document.encode()


case(
    "png that claims 30,000 x 30,000",
    "image_too_large",
    image(uri("image/png", png_claiming(30_000, 30_000))),
)
case(
    "png of 30,000 x 30,000", "image_too_large", lambda _s, _f: image(uri("image/png", real_png_bomb(30_000)))
)
case(
    "jpeg that claims 50,000 x 50,000",
    "image_too_large",
    image(uri("image/jpeg", jpeg_claiming(50_000, 50_000))),
)
case(
    "gif that claims 65,535 x 65,535",
    "image_too_large",
    image(uri("image/gif", b"GIF89a\xff\xff\xff\xff\0\0\0;")),
)
case(
    "webp that claims 16,384 x 16,384",
    "image_too_large",
    image(uri("image/webp", b"RIFF\x30\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\x3f\0\xff\x3f\0")),
)
case("png bomb called text", "image_too_large", image(uri("text/plain", png_claiming(30_000, 30_000))))
case(
    "many medium images",
    "image_too_large",
    svg(
        "".join(
            f'<image width="9" height="9" xlink:href="{uri("image/png", png_claiming(4000, 4000))}"/>'
            for _ in range(5)
        )
    ),
)
case("svgz", DRAWN, lambda _s, _f: gzip.compress(svg(RECT).encode()))
case("gzip bomb", "gzip_bomb", lambda _s, _f: gzip.compress(b"<svg>" + b" " * 60_000_000, 9))
case("gzip in gzip", "gzip_bomb", lambda _s, _f: gzip.compress(gzip.compress(svg(RECT).encode())))
case("cut svgz", {DRAWN, "not_xml", "empty"}, lambda _s, _f: gzip.compress(svg(RECT * 50).encode())[:-30])
case("nested svg images", DRAWN, lambda _s, _f: _matryoshka(8))
case(
    "100,000 nested groups", {"too_deep", "too_many_elements"}, svg("<g>" * 100_000 + RECT + "</g>" * 100_000)
)
case("5,000 nested groups", "too_deep", svg("<g>" * 5_000 + RECT + "</g>" * 5_000))
case("100 nested groups", "too_deep", svg("<g>" * 100 + RECT + "</g>" * 100))
case("nested svg elements", "too_deep", svg("<svg>" * 200 + RECT + "</svg>" * 200))
case("200,000 elements", "too_many_elements", svg("<g/>" * 200_000 + RECT))
case("30,000 elements", "too_many_elements", svg('<path d="M0 0h9"/>' * 30_000))
case("recursive use", DRAWN, svg(f'<g id="a"><use xlink:href="#a"/>{RECT}</g>'), "circular_reference")
case(
    "use of each other",
    DRAWN,
    svg(f'<g id="a"><use xlink:href="#b"/></g><g id="b"><use xlink:href="#a"/></g>{RECT}'),
    "circular_reference",
)
case(
    "use fan-out",
    {"too_costly", "too_deep"},
    svg(
        f'<defs><g id="n0">{RECT}</g>'
        + "".join(f'<g id="n{i}">{f"""<use xlink:href="#n{i - 1}"/>""" * 10}</g>' for i in range(1, 12))
        + '</defs><use xlink:href="#n11"/>'
    ),
)
case(
    "use chain",
    "too_deep",
    svg(
        '<g id="n0"/>'
        + "".join(f'<g id="n{i}"><use xlink:href="#n{i - 1}"/></g>' for i in range(1, 3000))
        + RECT
    ),
)
case("pattern fan-out", "too_costly", chain(9, 12, "pattern", "fill"))
case("pattern chain", "too_deep", chain(2000, 1, "pattern", "fill"))
case(
    "pattern of itself",
    DRAWN,
    svg(f'<pattern id="p" width="5" height="5"><rect width="5" height="5" fill="url(#p)"/></pattern>{RECT}'),
    "circular_reference",
)
case(
    "pattern fan-out by class",
    "too_costly",
    svg(
        "<style>"
        + "".join(f".c{i}{{fill:url(#n{i})}}" for i in range(9))
        + "</style>"
        + "".join(
            f'<pattern id="n{i}" width="9" height="9">{f"""<rect class="c{i - 1}" width="5" height="5"/>""" * 12}</pattern>'
            for i in range(9)
        )
        + '<rect class="c8" width="99" height="99"/>'
    ),
)
case("mask fan-out", "too_costly", chain(9, 12, "mask", "mask"))
case(
    "mask of itself",
    DRAWN,
    svg(f'<mask id="m"><rect mask="url(#m)" width="9" height="9"/></mask>{RECT}'),
    "circular_reference",
)
case("clip fan-out", "too_costly", chain(9, 12, "clipPath", "clip-path"))
case(
    "marker fan-out",
    "too_costly",
    svg(
        "".join(
            f'<marker id="n{i}"><path d="{"M1 1L2 2" * 40}" marker-mid="url(#n{i - 1})"/></marker>'
            for i in range(6)
        )
        + f'<path d="{"M1 1L2 2" * 40}" stroke="red" marker-mid="url(#n5)"/>'
    ),
)
case(
    "filter chain",
    "too_costly",
    svg(
        f'<filter id="f">{"""<feGaussianBlur stdDeviation="40"/>""" * 2000}</filter><rect filter="url(#f)" width="99" height="99"/>'
    ),
)
case(
    "huge blur and morphology",
    {DRAWN, "nothing_drawn", "time_out"},
    svg(
        f'<filter id="f"><feGaussianBlur stdDeviation="1e9"/><feMorphology radius="1e9"/></filter><g filter="url(#f)">{RECT}</g>{RECT}'
    ),
)
case(
    "huge filter region",
    {DRAWN, "time_out", "out_of_memory", "worker_died"},
    svg(
        f'<filter id="f" x="-1e6" y="-1e6" width="1e7" height="1e7"><feTurbulence numOctaves="1000" baseFrequency="9"/></filter><g filter="url(#f)">{RECT}</g>{RECT}'
    ),
)
case("10 MB of path", "too_large", svg(f'<path d="M0 0{"l1 1" * 2_600_000}"/>'))
case(
    "4 MB of path",
    {DRAWN, "time_out"},
    svg(f'<path d="M0 0{"l9 1l-8 1" * 450_000}" fill="none" stroke="red"/>'),
)
case(
    "thousands of gradients",
    {DRAWN, "nothing_drawn"},
    svg(
        "".join(
            f'<linearGradient id="g{i}" xlink:href="#g{i - 1}"/>'
            if i % 15
            else f'<linearGradient id="g{i}"><stop stop-color="red"/></linearGradient>'
            for i in range(6000)
        )
        + RECT
    ),
)
case(
    "gradient chain",
    "too_deep",
    svg("".join(f'<linearGradient id="g{i}" xlink:href="#g{i - 1}"/>' for i in range(3000)) + RECT),
)
case(
    "dash bomb",
    {DRAWN, "time_out", "out_of_memory"},
    svg(f'<path d="M0 0H1e9" stroke="red" stroke-dasharray="1e-6"/>{RECT}'),
)
case("huge CSS", "too_costly", svg(f"<style>{'rect a b c d e f g{fill:red}' * 60_000}</style>{RECT}"))
case(
    "deep CSS",
    {DRAWN, "time_out", "too_costly"},
    svg(f"<style>{'g>' * 20_000}rect{{fill:red}} {'@media all{' * 9000}</style>{RECT}"),
)
case(
    "nested var()",
    {DRAWN, "too_costly", "time_out", "nothing_drawn"},
    svg(f'<rect width="50" height="50" fill="{"var(--a," * 50_000}red{")" * 50_000}"/>'),
)
case(
    "exponential variables",
    {DRAWN, "too_costly", "nothing_drawn"},
    svg(
        "<style>:root{--a0:red;"
        + "".join(f"--a{i}:var(--a{i - 1}) var(--a{i - 1});" for i in range(1, 40))
        + f"}}</style><rect width='50' height='50' fill='var(--a39,blue)'/>{RECT}"
    ),
)
