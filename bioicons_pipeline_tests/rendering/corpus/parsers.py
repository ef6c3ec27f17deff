# ruff: noqa: E501 - one case, one line
"""What two parsers read differently: ids given twice, comments, sections, encodings, compressed streams."""

import gzip

from bioicons_pipeline_tests.rendering.corpus.making import DRAWN, NS, RECT, case, svg


def hidden_by_empty_ones(tag: str, attribute: str) -> str:
    """A bomb behind harmless elements of the same ids: a browser takes the first of an id, renderers the last."""
    parts = [f'<{tag} id="n{i}"/>' for i in range(12)]
    for i in range(1, 12):
        inner = f'<rect width="50" height="50" {attribute}="url(#n{i - 1})"/>' * 10
        parts.append(f'<{tag} id="n{i}" width="9" height="9" patternUnits="userSpaceOnUse">{inner}</{tag}>')
    return svg(f'{"".join(parts)}<rect width="99" height="99" {attribute}="url(#n11)"/>{RECT}')


for tag_name, attribute_name in (("pattern", "fill"), ("mask", "mask"), ("clipPath", "clip-path")):
    case(f"{tag_name} bomb behind ids given twice", DRAWN, hidden_by_empty_ones(tag_name, attribute_name))
case(
    "mask bomb behind ids given twice, and styled",
    "too_costly",
    hidden_by_empty_ones("mask", "mask").replace(
        "<mask", f"<style>{''.join(f'#n{i}{{opacity:1}}' for i in range(12))}</style><mask", 1
    ),
)
case(
    "use bomb behind ids given twice",
    DRAWN,
    svg(
        "".join(f'<g id="n{i}"/>' for i in range(12))
        + f'<g id="n0">{RECT}</g>'
        + "".join(f'<g id="n{i}">{f"""<use href="#n{i - 1}"/>""" * 10}</g>' for i in range(1, 12))
        + f'<use href="#n11"/>{RECT}'
    ),
)
case(
    "cycle behind an id given twice",
    DRAWN,
    svg(
        f'<pattern id="p"/><pattern id="p" width="9" height="9"><rect width="9" height="9" fill="url(#p)"/></pattern><rect width="99" height="99" fill="url(#p)"/>{RECT}'
    ),
)
case(
    "use bomb by xml:id",
    DRAWN,
    svg(
        "".join(f'<g xml:id="n{i}">{f"""<use href="#n{i - 1}"/>""" * 10}</g>' for i in range(1, 12))
        + f'<use href="#n11"/>{RECT}'
    ),
)
case(
    "symbol fan-out",
    "too_costly",
    svg(
        "".join(
            f'<symbol id="n{i}">{f"""<use href="#n{i - 1}"/>""" * 10 if i else RECT}</symbol>'
            for i in range(12)
        )
        + f'<use href="#n11"/>{RECT}'
    ),
)
case(
    "masks, filters and feImages in turn",
    "too_deep",
    svg(
        "".join(
            f'<mask id="m{i}"><g filter="url(#f{i - 1})">{RECT}</g></mask><filter id="f{i}"><feImage href="#e{i}"/></filter><g id="e{i}" mask="url(#m{i - 1})">{RECT}</g>'
            for i in range(1, 15)
        )
        + f'<g mask="url(#m14)">{RECT}</g>{RECT}'
    ),
)
case(
    "comments that never close in a DOCTYPE",
    {"not_xml", "empty"},
    f"<!DOCTYPE svg [{'<!--' * 1_000_000}]>{svg(RECT)}",
)
case(
    "comments that never close, with an entity",
    DRAWN,
    '<!DOCTYPE svg [<!ENTITY a "b">]>' + svg(RECT + "<!--" * 70_000),
)
case("70,000 processing instructions", DRAWN, svg("<?a b?>" * 70_000 + RECT))
case(
    "60,000 namespaces",
    {DRAWN, "time_out"},
    f"<svg {NS} "
    + " ".join(f"xmlns:n{i}='u{i}'" for i in range(60_000))
    + f' width="100" height="100">{"".join(f"<n{59_999 - i}:a/>" for i in range(5000))}{RECT}</svg>',
)
case(
    "50,000 entities in a chain",
    "entity_expansion",
    "<!DOCTYPE svg ["
    + "".join(f'<!ENTITY e{i} "&e{i - 1};x">' for i in range(1, 50_000))
    + "]>"
    + svg(f"<text>&e49999;</text>{RECT}"),
)
case(
    "conditional section",
    {DRAWN, "not_xml"},
    '<!DOCTYPE svg [<![INCLUDE[<!ENTITY x SYSTEM "file://{secret}">]]>]>' + svg(f"<text>&x;</text>{RECT}"),
)
case(
    "DOCTYPE in a comment",
    DRAWN,
    '<!-- <!DOCTYPE svg [<!ENTITY x SYSTEM "file://{secret}">]> -->' + svg(f"<text>&x;</text>{RECT}"),
)
case(
    "parameter entity behind the W3C's DTD",
    DRAWN,
    '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd" [<!ENTITY % all SYSTEM "{server}/a.ent">%all;]>'
    + svg(RECT),
    "external_entity",
)
case(
    "references to no character",
    DRAWN,
    svg(f'<text y="50" class="&#xDFFF;">&#0;&#x1F;&#xFFFFFFFFFF;&#xD800;a</text>{RECT}'),
)
case(
    "use of an SVG in a data URI",
    DRAWN,
    svg(
        f'<use href="data:image/svg+xml,&lt;svg id=&quot;a&quot; xmlns=&quot;http://www.w3.org/2000/svg&quot;/>#a"/>{RECT}'
    ),
    "external_reference",
)
case(
    "video, audio, link and object",
    DRAWN,
    svg(
        f'<video xmlns="http://www.w3.org/1999/xhtml" src="{{server}}/v.mp4"/><audio href="{{server}}/a.mp3"/><link xmlns="http://www.w3.org/1999/xhtml" rel="stylesheet" href="{{server}}/l.css"/><object xmlns="http://www.w3.org/1999/xhtml" data="{{secret}}"/>{RECT}'
    ),
    "html",
)
case(
    "elements that SVG had once",
    DRAWN,
    svg(
        f'<color-profile xlink:href="{{server}}/p.icc"/><cursor xlink:href="{{server}}/c"/><font-face><font-face-src><font-face-uri xlink:href="{{server}}/f.svg"/></font-face-src></font-face><text><tref xlink:href="{{server}}/t#a"/><altGlyph xlink:href="{{server}}/g"/></text>{RECT}'
    ),
)
case(
    "svgz of two members, the second a bomb",
    {DRAWN, "gzip_bomb"},
    lambda _s, _f: gzip.compress(svg(RECT).encode()) + gzip.compress(b" " * 50_000_000),
)
case("zip", {"not_xml", "not_svg"}, b"PK\x03\x04" + b"\0" * 100)
case("UTF-16 cut in a character", {DRAWN, "not_xml"}, b"\xff\xfe" + svg(RECT).encode("utf-16-le") + b"\0")
case("UTF-32", DRAWN, b"\xff\xfe\0\0" + svg(RECT).encode("utf-32-le"))
case("ASCII that says UTF-16", DRAWN, '<?xml version="1.0" encoding="UTF-16"?>' + svg(RECT))
case(
    "EBCDIC",
    {"not_xml", "not_svg", "empty"},
    ('<?xml version="1.0" encoding="cp037"?>' + svg(RECT)).encode("cp037"),
)
case("XML 1.1", DRAWN, '<?xml version="1.1"?>' + svg(f"<desc>&#1;</desc>{RECT}"))
case(
    "attributes given twice",
    DRAWN,
    svg(
        f'<image width="9" href="#a" href="{{secret}}" height="9"/><rect fill="green" fill="blue" x="1" x="2" width="9" height="9"/>{RECT}'
    ),
    "unsupported_reference",
)
case("two roots", DRAWN, svg(RECT) + svg("<script/>"))
case("a number of megabytes", DRAWN, svg(f'<rect x="{"1" * 4_000_000}" width="9" height="9"/>{RECT}'))
case("languages of megabytes", DRAWN, svg(f'<g systemLanguage="{"de," * 700_000}en">{RECT}</g>'))
