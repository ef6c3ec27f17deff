# ruff: noqa: E501 - one case, one line
"""Hostile SVG files, made by code: what strangers may send, and what must become of each.

Each case names its expected outcome: a refusal's value, or `DRAWN` (a safe picture comes out, whatever was
hostile having been removed). `{server}` in a case is replaced by the address of a local server, `{secret}`
by the path of a file, neither of which may ever be touched.
"""

import base64
import codecs
import gzip
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

DRAWN = "drawn"
NS = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
RECT = '<rect x="10" y="10" width="80" height="80" fill="#0a0"/>'


@dataclass(frozen=True)
class Hostile:
    """One file. `expected`: DRAWN or the value(s) of refusals that are right. `removed`: must be reported."""

    name: str
    make: Callable[[str, str], bytes]  # (server, secret path) -> the file
    expected: frozenset[str]
    removed: frozenset[str] = field(default_factory=frozenset)


CASES: list[Hostile] = []


def case(name: str, expected: str | set[str], body: bytes | str | Callable, removed: str = "") -> None:
    """Add a file to the corpus."""
    outcomes = frozenset({expected} if isinstance(expected, str) else expected)
    marks = frozenset(removed.split())

    def make(server: str, secret: str) -> bytes:
        made = body(server, secret) if callable(body) else body
        if isinstance(made, str):
            made = made.replace("{server}", server).replace("{secret}", secret).encode()
        return made

    CASES.append(Hostile(name, make, outcomes, marks))


def svg(inner: str, attributes: str = 'width="100" height="100" viewBox="0 0 100 100"') -> str:
    """A document around `inner`."""
    return f"<svg {NS} {attributes}>{inner}</svg>"


def png_claiming(width: int, height: int) -> bytes:
    """A PNG whose header claims a size that its data does not have."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def real_png_bomb(side: int) -> bytes:
    """A valid one-bit PNG of side x side black pixels: small as a file, huge in memory."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\0" * (1 + (side + 7) // 8)
    packer = zlib.compressobj(9)
    body = b"".join([*(packer.compress(row * 100) for _ in range(side // 100)), packer.flush()])
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def jpeg_claiming(width: int, height: int) -> bytes:
    """JPEG headers only."""
    return (
        b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
        + b"\xff\xc0\x00\x11\x08"
        + struct.pack(">HH", height, width)
        + b"\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01\xff\xd9"
    )


def uri(kind: str, data: bytes) -> str:
    """A base64 data URI."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def image(href: str) -> str:
    """An <image> over the whole, before a rect so that something is always drawn."""
    return svg(f'<image width="100" height="100" xlink:href="{href}"/>{RECT}')


def laughs(levels: int, fan: int) -> str:
    """Billion laughs."""
    lines = ['<!ENTITY a0 "ha">']
    lines += [f'<!ENTITY a{i} "{f"&a{i - 1};" * fan}">' for i in range(1, levels)]
    return f"<!DOCTYPE svg [{''.join(lines)}]>" + svg(f"<text>&a{levels - 1};</text>{RECT}")


def chain(levels: int, fan: int, tag: str, attribute: str) -> str:
    """`tag` elements of which each is drawn `fan` times inside the next."""
    parts = [f'<{tag} id="n0">{RECT}</{tag}>']
    for i in range(1, levels):
        inner = f'<rect width="50" height="50" {attribute}="url(#n{i - 1})"/>' * fan
        parts.append(f'<{tag} id="n{i}" width="9" height="9" patternUnits="userSpaceOnUse">{inner}</{tag}>')
    return svg(
        f'<defs>{"".join(parts)}</defs><rect width="99" height="99" {attribute}="url(#n{levels - 1})"/>'
    )


# Entities -----------------------------------------------------------------------------------------------
case("billion laughs", "entity_expansion", laughs(12, 10))
case(
    "billion laughs in an attribute",
    "entity_expansion",
    laughs(12, 10).replace("<text>", "<text id='&a11;'>"),
)
case(
    "quadratic blow-up",
    "entity_expansion",
    f'<!DOCTYPE svg [<!ENTITY a "{"x" * 100_000}">]>' + svg(f"<text>{'&a;' * 1000}</text>"),
)
case(
    "recursive entity", "entity_expansion", '<!DOCTYPE svg [<!ENTITY a "&b;"><!ENTITY b "&a;">]>' + svg("&a;")
)
case(
    "external entity, file",
    DRAWN,
    '<!DOCTYPE svg [<!ENTITY x SYSTEM "file://{secret}">]>' + svg(f'<text y="50">&x;</text>{RECT}'),
    "external_entity",
)
case(
    "external entity, http",
    DRAWN,
    '<!DOCTYPE svg [<!ENTITY x SYSTEM "{server}/x">]>' + svg(f"<text>&x;</text>{RECT}"),
    "external_entity",
)
case(
    "parameter entity, file",
    DRAWN,
    '<!DOCTYPE svg [<!ENTITY % p SYSTEM "file://{secret}"> %p;]>' + svg(RECT),
    "external_entity",
)
case(
    "parameter entity, http",
    DRAWN,
    '<!DOCTYPE svg [<!ENTITY % p SYSTEM "{server}/p.dtd"> %p; %q;]>' + svg(f"<g>&evil;</g>{RECT}"),
    "external_entity",
)
case("external DTD", DRAWN, '<!DOCTYPE svg SYSTEM "{server}/svg.dtd">' + svg(RECT), "external_entity")
case("public DTD", DRAWN, '<!DOCTYPE svg PUBLIC "-//X//DTD" "{server}/public.dtd">' + svg(RECT))
case(
    "default attribute from a DTD", DRAWN, '<!DOCTYPE svg [<!ATTLIST rect onclick CDATA "x()">]>' + svg(RECT)
)
case("DOCTYPE that never ends", {"not_xml", "empty"}, "<!DOCTYPE svg [<!ENTITY a 'x'>" + svg(RECT))
case(
    "entity with markup",
    DRAWN,
    "<!DOCTYPE svg [<!ENTITY s '<script>1</script>'>]>" + svg(f"&s;{RECT}"),
    "script",
)
case(
    "Illustrator's honest entities",
    DRAWN,
    '<!DOCTYPE svg [<!ENTITY ns_svg "http://www.w3.org/2000/svg"><!ENTITY ns_ai "http://ns.adobe.com/ai/">]>'
    f'<svg xmlns="&ns_svg;" xmlns:i="&ns_ai;" width="100" height="100">{RECT}</svg>',
)

# References that reach out ------------------------------------------------------------------------------
for scheme in (
    "file://{secret}",
    "{secret}",
    "../../../../../..{secret}",
    "/dev/zero",
    "/dev/stdin",
    "/proc/self/environ",
):
    case(f"image at {scheme}", DRAWN, image(scheme), "external_reference")
case("image over http", DRAWN, image("{server}/i.png"), "external_reference")
case("image, scheme in odd case and space", DRAWN, image(" \n FiLe://{secret}"), "external_reference")
case("image, protocol-relative", DRAWN, image("//localhost/x.png"), "external_reference")
case(
    "href without xlink",
    DRAWN,
    svg(f'<image width="9" height="9" href="{{secret}}"/>{RECT}'),
    "external_reference",
)
case("two hrefs", DRAWN, svg(f'<image width="9" height="9" href="#a" xlink:href="{{secret}}"/>{RECT}'))
case(
    "href under another prefix",
    DRAWN,
    svg(f'<image xmlns:q="http://www.w3.org/1999/xlink" width="9" height="9" q:href="{{secret}}"/>{RECT}'),
    "external_reference",
)
case("use of another file", DRAWN, svg(f'<use xlink:href="{{server}}/u.svg#a"/>{RECT}'), "external_reference")
case(
    "use of a local file", DRAWN, svg(f'<use xlink:href="file://{{secret}}#a"/>{RECT}'), "external_reference"
)
case(
    "feImage",
    DRAWN,
    svg(f'<filter id="f"><feImage xlink:href="{{server}}/f.png"/></filter>{RECT}'),
    "external_reference",
)
case("xml:base", DRAWN, svg(f'<g xml:base="{{server}}/"><use xlink:href="#a"/></g>{RECT}'))
case(
    "CSS @import",
    DRAWN,
    svg(f'<style>@import url("{{server}}/c.css"); @import "{{server}}/d.css";</style>{RECT}'),
    "css_at_rule",
)
case(
    "CSS font",
    DRAWN,
    svg(
        f"<style>@font-face{{font-family:x;src:url({{server}}/f.woff)}}</style><text y='50' font-family='x'>A</text>{RECT}"
    ),
    "font_face",
)
case(
    "CSS url in a rule",
    DRAWN,
    svg(f"<style>rect{{filter:url({{server}}/f.svg#x)}}</style>{RECT}"),
    "external_reference",
)
case(
    "CSS url, escaped",
    DRAWN,
    svg(f"<style>rect{{mask:\\75 rl({{server}}/m.svg#x)}}</style>{RECT}"),
    "external_reference",
)
case(
    "CSS url split by a comment", DRAWN, svg(f"<style>rect{{mask:u/**/rl({{server}}/m.svg#x)}}</style>{RECT}")
)
case(
    "url in an attribute",
    DRAWN,
    svg('<rect width="50" height="50" fill="url({server}/g.svg#g) red"/>'),
    "external_reference",
)
case(
    "url in a style attribute",
    DRAWN,
    svg('<rect width="50" height="50" style="fill:red;cursor:url({server}/c.cur)"/>'),
    "external_reference",
)
case(
    "image-set",
    DRAWN,
    svg(f"<style>rect{{background:image-set('{{server}}/a.png' 1x)}}</style>{RECT}"),
    "external_reference",
)
case("xml-stylesheet", DRAWN, '<?xml-stylesheet href="{server}/x.css"?>' + svg(RECT), "external_reference")
case(
    "XInclude",
    DRAWN,
    svg(f'<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="{{secret}}" parse="text"/>{RECT}'),
)
case(
    "svg in a data URI that reads a file",
    DRAWN,
    lambda _s, f: image(uri("image/svg+xml", image(f).encode())),
    "external_reference",
)
case(
    "svg in a data URI, not base64",
    DRAWN,
    svg(
        f"<image width='9' height='9' xlink:href='data:image/svg+xml,&lt;svg xmlns=\"http://www.w3.org/2000/svg\">&lt;image href=\"{{secret}}\"/>&lt;/svg>'/>{RECT}"
    ),
    "external_reference",
)

# Script and HTML ----------------------------------------------------------------------------------------
case("script", DRAWN, svg(f"<script>fetch('{{server}}/s')</script>{RECT}"), "script")
case("script from elsewhere", DRAWN, svg(f'<script xlink:href="{{server}}/s.js"/>{RECT}'), "script")
case("event handlers", DRAWN, svg(f'<g onload="x()" ONCLICK="y()">{RECT}</g>'), "event_handler")
case("javascript link", DRAWN, svg(f'<a xlink:href="javascript:alert(1)">{RECT}</a>'), "link")
case(
    "foreignObject",
    DRAWN,
    svg(
        f'<foreignObject width="9" height="9"><iframe xmlns="http://www.w3.org/1999/xhtml" src="{{server}}"/></foreignObject>{RECT}'
    ),
    "foreign_object",
)
case(
    "HTML script element",
    DRAWN,
    svg(f'<script xmlns="http://www.w3.org/1999/xhtml" src="{{server}}/x.js"/>{RECT}'),
    "script",
)
case(
    "animated href",
    DRAWN,
    svg(f'<image><set attributeName="href" to="{{secret}}"/></image>{RECT}'),
    "animation",
)

# Bombs --------------------------------------------------------------------------------------------------
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

# Sizes --------------------------------------------------------------------------------------------------
case("huge width and height", DRAWN, svg(RECT, 'width="1e8" height="1e8" viewBox="0 0 100 100"'))
case("astronomic size", {"bad_size", DRAWN}, svg(RECT, 'width="1e300" height="1e300" viewBox="0 0 100 100"'))
case("zero width", "bad_size", svg(RECT, 'width="0" height="100" viewBox="0 0 100 100"'))
case("negative height", "bad_size", svg(RECT, 'width="100" height="-5" viewBox="0 0 100 100"'))
case("viewBox without area", "bad_size", svg(RECT, 'viewBox="0 0 0 100"'))
case("viewBox NaN", DRAWN, svg(RECT, 'width="100" height="100" viewBox="NaN 0 100 NaN"'))
case("viewBox inf", DRAWN, svg(RECT, 'width="100" height="100" viewBox="0 0 inf inf"'))
case("viewBox negative", DRAWN, svg(RECT, 'width="100" height="100" viewBox="0 0 -100 -100"'))
case(
    "size in nonsense units",
    "bad_size",
    svg(RECT, 'width="1e9999px" height="12parsec" viewBox="0 0 100 100"'),
)
case("thin beyond reason", "bad_size", svg(RECT, 'width="1" height="1e8"'))
case(
    "numbers out of range",
    {DRAWN, "nothing_drawn"},
    svg(f'<rect width="1e39" height="-1e-50" transform="scale(1e38) rotate(nan)"/>{RECT}'),
)

# Encodings and things that are not SVG ------------------------------------------------------------------
case("no bytes", "empty", b"")
case("white space", "empty", b" \n\t\r\n ")
case("only NUL", "empty", b"\0" * 1000)
case("not XML", "not_xml", b"this is not XML at all")
case("binary", {"not_xml", "not_svg"}, bytes(range(256)) * 64)
case("HTML", "not_svg", b"<!doctype html><html><body><svg></svg></body></html>")
case("other XML", "not_svg", b'<?xml version="1.0"?><rss><channel/></rss>')
case("a PNG called svg", {"not_xml", "not_svg"}, png_claiming(10, 10))
case("polyglot, PDF first", {"not_xml", DRAWN}, b"%PDF-1.4\n" + svg(RECT).encode())
case("polyglot, zip behind", DRAWN, svg(RECT).encode() + b"PK\x03\x04\xff\xfe\0\0")
case(
    "invalid UTF-8",
    DRAWN,
    svg(f"<desc>@</desc>{RECT}").encode().replace(b"@", b"\xff\xfe\xc0\x80\xed\xa0\x80"),
)
case(
    "UTF-16 with BOM",
    DRAWN,
    codecs.BOM_UTF16_LE + ('<?xml version="1.0" encoding="UTF-16"?>' + svg(RECT)).encode("utf-16-le"),
)
case("UTF-16 without BOM", DRAWN, ('<?xml version="1.0" encoding="UTF-16"?>' + svg(RECT)).encode("utf-16-be"))
case("UTF-8 with BOM", DRAWN, codecs.BOM_UTF8 + svg(RECT).encode())
case(
    "UTF-7 script",
    DRAWN,
    ('<?xml version="1.0" encoding="UTF-7"?>' + svg(f"+ADw-script+AD4-1+ADw-/script+AD4-{RECT}")).encode(),
)
case("NUL bytes inside", DRAWN, svg(f"<g>{RECT}</g>").encode().replace(b"<g>", b"<g\0>"))
case(
    "NUL in a scheme",
    DRAWN,
    svg(f'<image width="9" height="9" href="fi\0le://{{secret}}"/>{RECT}'),
    "external_reference",
)
case("unclosed", {DRAWN, "not_xml"}, svg(RECT)[:-6].encode() + b"<g><rect")
case(
    "300,000 attributes",
    "too_many_elements",
    "<svg "
    + NS
    + " "
    + " ".join(f'a{i}=""' for i in range(300_000))
    + f'width="100" height="100">{RECT}</svg>',
)
case(
    "20,000 attributes on one element",
    "too_costly",
    "<svg "
    + NS
    + " "
    + " ".join(f'a{i}=""' for i in range(20_000))
    + f'width="100" height="100">{RECT}</svg>',
)
case("nothing in it", "nothing_drawn", svg(""))
case("all transparent", "nothing_drawn", svg('<rect width="50" height="50" opacity="0"/>'))
case("drawn outside", "nothing_drawn", svg('<rect x="500" width="50" height="50"/>'))


def _matryoshka(levels: int) -> bytes:
    document = svg(RECT)
    for _ in range(levels):
        document = image(uri("image/svg+xml", document.encode()))
    return document.encode()


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
