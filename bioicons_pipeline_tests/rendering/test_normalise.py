"""Normalising: what a browser would draw, made explicit, and everything else gone."""

import pytest
from lxml import etree

from bioicons_pipeline.rendering.normalise import normalise
from bioicons_pipeline.rendering.result import Refused
from bioicons_pipeline_tests.rendering.corpus.making import NS, RECT, image, svg, uri

SVG = "{http://www.w3.org/2000/svg}"


def tree(text: str | bytes) -> etree._Element:
    data = text.encode() if isinstance(text, str) else text
    return etree.fromstring(normalise(data).svg.encode())


@pytest.mark.parametrize(
    ("attributes", "size"),
    [
        ('width="10mm" height="20mm"', (37.795, 75.591)),
        ('width="1in" height="72pt"', (96, 96)),
        ('width="2cm" height="3pc"', (75.591, 48)),
        ('width="40" viewBox="0 0 20 10"', (40, 20)),
        ('height="40px" viewBox="0 0 20 10"', (80, 40)),
        ('width="100%" height="100%" viewBox="5 5 200 100"', (200, 100)),
        ('viewBox="0,0,30,60"', (30, 60)),
        ("", (300, 150)),
        ('width="1e5" height="2e5"', (1e5, 2e5)),
        ('width="2" height="1"', (2, 1)),
    ],
)
def test_natural_size_is_what_a_browser_lays_out(attributes, size):
    icon = normalise(svg(RECT, attributes).encode())
    assert icon.natural == pytest.approx(size, rel=1e-4)
    assert icon.width / icon.height == pytest.approx(size[0] / size[1], rel=1e-4)
    assert 15.9 < max(icon.width, icon.height) < 8192.1, "drawn at a bounded size"
    root = etree.fromstring(icon.svg.encode())
    assert float(root.get("width")) == pytest.approx(icon.width)
    assert len(root.get("viewBox").split()) == 4


def test_adobe_entities_are_expanded():
    text = (
        '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "x.dtd" [<!ENTITY ns_svg "http://www.w3.org/2000/svg">'
        '<!ENTITY st0 "fill:#FF0000;">]><svg xmlns="&ns_svg;" width="9" height="9">'
        '<rect style="&st0;" width="5" height="5"/></svg>'
    )
    assert tree(text).find(f"{SVG}rect").get("style") == "fill:#FF0000;"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("light-dark(#000, #fff)", "#000"),
        ("light-dark(rgb(1, 2, 3), var(--x, blue))", "rgb(1, 2, 3)"),
        ("var(--ge-dark-color, black)", "black"),
        ("var(--a, var(--b, light-dark(red, blue)))", "red"),
        ("var(--known, black)", "green"),
        ("url(#g) var(--none,red)", "url(#g) red"),
    ],
)
def test_css_functions_of_drawio_exports(value, expected):
    root = tree(svg(f'<style>:root{{--known: green}}</style><rect fill="{value}" style="stroke:{value}"/>'))
    rect = root.find(f"{SVG}rect")
    assert rect.get("fill") == expected
    assert rect.get("style") == f"stroke:{expected}"


def test_switch_keeps_the_first_child_that_can_be_drawn():
    text = svg(
        '<switch><foreignObject requiredFeatures="x"><p xmlns="http://www.w3.org/1999/xhtml">html</p>'
        '</foreignObject><text id="a">label</text><text id="b">no</text></switch>'
    )
    root = tree(text)
    assert [e.get("id") for e in root.iter(f"{SVG}text")] == ["a"]
    assert not list(root.iter(f"{SVG}switch", f"{SVG}foreignObject"))


def test_html_labels_and_words_in_embedded_drawings_are_counted():
    html = '<div xmlns="http://www.w3.org/1999/xhtml"><b>Gut</b> <style>b{}</style> 7 </div>'
    label = f'<switch><foreignObject>{html}</foreignObject><image href="{uri("image/png", b"")}"/></switch>'
    assert normalise(svg(label + RECT).encode()).label_chars == 4
    adobe = '<switch><foreignObject requiredExtensions="http://ns.adobe.com/">x</foreignObject><g/></switch>'
    plain = normalise(svg(adobe + RECT).encode())
    assert (plain.label_chars, plain.has_text) == (0, False)
    inner = normalise(image(uri("image/svg+xml", svg(f"<text>A</text>{label}").encode())).encode())
    assert (inner.label_chars, inner.has_text) == (4, True)


def test_of_an_attribute_given_twice_the_first_counts():
    text = svg('<rect fill="red" width="5" fill="blue" xlink:href="#a" xlink:href="http://x/"/>')
    rect = tree(text).find(f"{SVG}rect")
    assert dict(rect.attrib) == {"fill": "red", "width": "5"}


def test_octaves_that_no_pixel_shows_are_left_out():
    found = tree(svg('<filter><feTurbulence numOctaves="4"/><feTurbulence numOctaves="99999"/></filter>'))
    assert [e.get("numOctaves") for e in found.iter(f"{SVG}feTurbulence")] == ["4", "16"]


def test_an_id_given_twice_means_the_first_as_in_browsers():
    twice = '<g id="a"/><g id="a" class="b"/><use href="#a"/>'
    assert [e.get("id") for e in tree(svg(twice)).iter(f"{SVG}g")] == ["a", None]
    styled = tree(svg(f"<style>#a{{fill:green}}</style>{twice}"))
    assert [e.get("id") for e in styled.iter(f"{SVG}g")] == ["a", "a"]


def test_switch_chooses_by_language_and_extension():
    text = svg(
        '<switch><g systemLanguage="de" id="de"/><g requiredExtensions="http://ns.adobe.com/" id="ai"/>'
        '<g systemLanguage="fr, en-GB" id="en"/><g id="rest"/></switch>'
    )
    assert [e.get("id") for e in tree(text).iter(f"{SVG}g") if e.get("id")] == ["en"]


def test_percent_encoded_fragments_find_their_element():
    text = svg('<g id="勾"/><use xlink:href="#%E5%8B%BE"/>')
    assert tree(text).find(f"{SVG}use").get("href") == "#勾"


def test_href_wins_over_xlink_href():
    text = svg('<g id="a"/><g id="b"/><use xlink:href="#b" href="#a"/><use href="#a" xlink:href="#b"/>')
    assert [e.get("href") for e in tree(text).iter(f"{SVG}use")] == ["#a", "#a"]


def test_a_forgotten_namespace_is_mended():
    root = tree(f'<svg width="10" height="10">{RECT}</svg>')
    assert root.tag == f"{SVG}svg" and root.find(f"{SVG}rect") is not None


def test_removing_an_element_keeps_the_text_behind_it():
    root = tree(svg('<text y="9">one<animate attributeName="x"/> two<!-- c --> three</text>'))
    assert "".join(root.find(f"{SVG}text").itertext()) == "one two three"


def test_media_rules_of_a_light_screen_are_unwrapped_and_others_dropped():
    dark = "@media (prefers-color-scheme: dark){.a{fill:blue}}"
    sheet = f"@media screen{{.a{{fill:red}}}} {dark} @media print{{.b{{}}}} .c{{x:y}}"
    text = tree(svg(f"<style>{sheet}</style>{RECT}")).find(f"{SVG}style").text
    assert ".a{fill:red}" in text and ".c{x:y}" in text
    assert "blue" not in text and "@" not in text


def test_normalising_twice_changes_nothing():
    text = svg(f'<style>.a{{fill:var(--x, red)}}</style><a xlink:href="http://x/">{RECT}</a><text>a</text>')
    once = normalise(text.encode()).svg
    assert normalise(once.encode()).svg == once


def test_facts_are_counted():
    icon = normalise(svg(f"<g>{RECT}<text>A</text><text> </text></g><script/>").encode())
    assert icon.has_text and icon.element_count == 4 and icon.removed == {"script": 1}
    assert not icon.without_text().has_text


@pytest.mark.parametrize("data", [b"", b"\x1f\x8b", b"<a", f"<svg {NS} width='-1'/>".encode(), b"\xff\xfe<"])
def test_refusals_are_of_the_one_kind(data):
    with pytest.raises(Refused):
        normalise(data)
