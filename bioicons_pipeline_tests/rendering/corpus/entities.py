"""Entities and DOCTYPEs."""

from bioicons_pipeline_tests.rendering.corpus.making import DRAWN, RECT, case, laughs, svg

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
