"""Property-based: whatever becomes of a real icon's bytes, one result comes back, safe and in time."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from bioicons_pipeline.rendering import REPORT_KEYS, RefusalReason, RenderSettings
from bioicons_pipeline.rendering.cleaning import NO_CSS
from bioicons_pipeline.rendering.pool import Pool
from bioicons_pipeline.rendering.result import RenderResult
from bioicons_pipeline_tests.rendering.conftest import pixels
from bioicons_pipeline_tests.rendering.hostile import NS, RECT

SETTINGS = RenderSettings(size=48, time_limit=5)
HARMLESS = f'<svg {NS} viewBox="0 0 100 100">{RECT}</svg>'.encode()
REASONS = {reason.value for reason in RefusalReason}
POISON = [
    *(
        b"NaN",
        b"-1",
        b"1e38",
        b"1e-38",
        b"inf",
        b"0",
        b"",
        b"%",
        b"\xff\xfe",
        b"\0",
        b"]]>",
        b"<!--",
        b"&amp;",
    ),
    *(b"<g>", b"</g>", b"</svg>", b"<svg>", b'"', b"'", b">", b"<", b"url(#a)", b"url(file:///etc/passwd)"),
    *(b"<!DOCTYPE svg [<!ENTITY a 'b'>]>", b"&a;", b"<image href='/etc/passwd'/>", b"<style>*{fill:url(/x)}"),
    *(
        b"matrix(0 0 0 0 0 0)",
        b"scale(1e30)",
        b"A1 1 0 0 0 9 9",
        b"<use href='#a'/>",
        b"<script>",
        b"100000mm",
    ),
]


class Icons(list):
    """A list that a failing example does not print whole."""

    def __repr__(self):
        return f"<{len(self)} icons>"


@pytest.fixture(scope="module")
def real_icons(sample_repo):
    """Forty icons of all kinds, the small ones of each author."""
    files = sorted(
        (sample_repo / "static" / "icons").rglob("*.svg"), key=lambda path: (path.stat().st_size, path)
    )
    usable = [path for path in files if 500 < path.stat().st_size < 40_000]
    return Icons(path.read_bytes() for path in usable[:: max(1, len(usable) // 40)])


@pytest.fixture(scope="module")
def pool():
    with Pool(SETTINGS, 2) as pool:
        pool.ticket = 0
        yield pool


def check(pool: Pool, data: bytes) -> RenderResult:
    """Render with the shared workers, and assert all that must hold for any bytes."""
    pool.ticket += 1
    pool.submit(pool.ticket, data)
    result = pool.result(pool.ticket)
    assert (result.refusal is None) == (result.png is not None)
    assert result.refusal is None or result.refusal in REASONS
    if result.refusal in {"worker_died", "out_of_memory"}:
        # The renderer's native code may abort on absurd numbers; that may cost this file, and no other.
        pool.ticket += 1
        pool.submit(pool.ticket, HARMLESS)
        assert pool.result(pool.ticket).refusal is None
    assert set(result.report) <= set(REPORT_KEYS)
    if result.png is not None:
        assert pixels(result.png).shape == (48, 48, 3)
    if result.svg is not None:
        assert b"<!DOCTYPE" not in result.svg
        for element in etree.fromstring(result.svg).iter(etree.Element):
            assert element.tag not in {"{http://www.w3.org/2000/svg}script", "script"}
            for name, value in element.attrib.items():
                if name.endswith("href"):
                    assert value.startswith(("#", "data:image/")), value
                assert name[:2] != "on", (name, value)
                assert name in NO_CSS or not re.search(r"url\((?!#)", value), (name, value)
            if element.tag.endswith("}style"):
                assert not re.search(r"url\((?!#)|@", element.text or ""), element.text
    return result


@st.composite
def mutations(draw):
    """A function from an icon to a broken icon."""
    steps = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["insert", "delete", "swap", "truncate", "number", "repeat", "flip"]),
                st.floats(0, 1),
                st.floats(0, 1),
                st.sampled_from(POISON),
            ),
            min_size=1,
            max_size=6,
        )
    )

    def mutate(data: bytes, other: bytes) -> bytes:
        for kind, where, how_much, poison in steps:
            at = int(where * len(data))
            length = 1 + int(how_much * 200)
            if kind == "insert":
                data = data[:at] + poison + data[at:]
            elif kind == "delete":
                data = data[:at] + data[at + length :]
            elif kind == "swap":
                start = int(how_much * len(other))
                data = data[:at] + other[start : start + 4000] + data[at:]
            elif kind == "truncate":
                data = data[:at]
            elif kind == "number":
                numbers = list(re.finditer(rb"\d+\.?\d*", data))
                if numbers:
                    match = numbers[int(where * (len(numbers) - 1))]
                    data = data[: match.start()] + poison + data[match.end() :]
            elif kind == "repeat":
                data = data[:at] + data[at : at + length] * 200 + data[at + length :]
            elif data:
                at = min(at, len(data) - 1)
                data = data[:at] + bytes([data[at] ^ (1 << int(how_much * 7))]) + data[at + 1 :]
        return data

    return mutate


COMMON = {
    "deadline": None,
    "print_blob": False,
    "report_multiple_bugs": False,
    "derandomize": True,  # the same examples on every run; the slow test explores
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}


@pytest.mark.bundle
@settings(max_examples=60, **COMMON)
@given(data=st.data())
def test_mutated_real_icons(data, real_icons, pool):
    icon = data.draw(st.sampled_from(range(len(real_icons))))
    other = data.draw(st.sampled_from(range(len(real_icons))))
    check(pool, data.draw(mutations())(real_icons[icon], real_icons[other]))


@pytest.mark.bundle
@pytest.mark.slow
@settings(max_examples=3000, **{**COMMON, "derandomize": False})
@given(data=st.data())
def test_many_mutated_real_icons(data, real_icons, pool):
    icon = data.draw(st.sampled_from(range(len(real_icons))))
    other = data.draw(st.sampled_from(range(len(real_icons))))
    check(pool, data.draw(mutations())(real_icons[icon], real_icons[other]))


@settings(max_examples=40, **COMMON)
@given(data=st.binary(max_size=300))
def test_any_bytes(data, pool):
    check(pool, data)


@settings(max_examples=60, **COMMON)
@given(
    name=st.sampled_from(
        [
            "rect",
            "path",
            "circle",
            "text",
            "use",
            "image",
            "g",
            "svg",
            "filter",
            "pattern",
            "mask",
            "marker",
            "style",
        ]
    ),
    attributes=st.dictionaries(
        st.sampled_from(
            [
                "d",
                "x",
                "y",
                "r",
                "width",
                "height",
                "transform",
                "style",
                "fill",
                "href",
                "viewBox",
                "points",
                "font-size",
                "class",
            ]
        ),
        st.text("0123456789.,-+eEMLAZz#% url()NaNinf:;\\/*{}@var-", max_size=40),
        max_size=5,
    ),
    inner=st.text("abc{}:;#.@ ()", max_size=20),
)
def test_any_attributes(name, attributes, inner, pool):
    written = " ".join(f'{key}="{value}"' for key, value in attributes.items())
    check(
        pool,
        f'<svg {NS} viewBox="0 0 100 100">{RECT}<{name} id="a" {written}>{inner}</{name}></svg>'.encode(),
    )
