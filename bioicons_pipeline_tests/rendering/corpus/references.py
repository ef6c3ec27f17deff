# ruff: noqa: E501 - one case, one line
"""References that reach out, script and HTML."""

from bioicons_pipeline_tests.rendering.corpus.making import DRAWN, RECT, case, image, svg, uri

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
