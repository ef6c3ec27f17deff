"""Sizes, encodings, and things that are not SVG."""

import codecs

from bioicons_pipeline_tests.rendering.corpus.making import (
    DRAWN,
    NS,
    RECT,
    case,
    png_claiming,
    svg,
)

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
