"""The descriptor sees shape, not colour, place or size; the search is exact; outlines survive copying."""

import io
import subprocess
import sys

import numpy as np
import pytest
import resvg_py
from PIL import Image

from bioicons_pipeline.library.geometry import read_geometry, subpaths
from bioicons_pipeline.library.measure import rgba
from bioicons_pipeline.library.shape import SIZE, SYMMETRIES, ShapeIndex, descriptor, foreground, transformed
from bioicons_pipeline_tests.library.drawings import probe_of
from bioicons_pipeline_tests.library.library_of import BEAKER, FISH, LEAF, STAR, SVG, drawing

READ = """
import sys
from bioicons_pipeline.library.geometry import read_geometry
read_geometry(sys.stdin.buffer.read())
"""


def picture(svg: bytes) -> np.ndarray:
    return rgba(probe_of(svg).png)


def similarity(first: np.ndarray, second: np.ndarray) -> float:
    return float(descriptor(first) @ descriptor(second))


def test_a_recoloured_moved_and_scaled_copy_is_the_same_shape():
    moved = SVG.format(
        '<g transform="translate(9 3) scale(.6)">'
        f'<path d="{FISH}" fill="#27c" stroke="#222" stroke-width="2"/></g>'
    ).encode()
    original = picture(drawing(FISH, "#c33"))
    assert similarity(original, original) == pytest.approx(1, abs=1e-5)
    assert similarity(original, picture(drawing(FISH, "#3c3"))) > 0.97
    assert similarity(original, picture(moved)) > 0.93
    for other in (BEAKER, STAR, LEAF):
        assert similarity(original, picture(drawing(other))) < 0.8


def test_thin_drawings_do_not_collide_on_the_empty_canvas():
    straight = SVG.format('<path d="M2 30H58" stroke="#000" stroke-width="1.5"/>').encode()
    wavy = SVG.format(
        '<path d="M2 30Q16 12 30 30T58 30" stroke="#000" fill="none" stroke-width="1.5"/>'
    ).encode()
    assert similarity(picture(straight), picture(wavy)) < 0.7


def test_an_opaque_picture_is_read_off_its_background():
    original = picture(drawing(FISH))
    alpha = original[..., 3:] / 255.0
    on_white = (original[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    assert similarity(original, on_white) > 0.95
    assert not foreground(np.full((9, 9, 4), 255, np.uint8)).any()
    assert not descriptor(np.zeros((9, 9, 4), np.uint8)).any()


@pytest.mark.parametrize("stretch", ["1 1", "1 .4", ".3 1"])
def test_symmetries_of_the_descriptor_are_those_of_the_picture(stretch):
    original = picture(
        SVG.format(f'<g transform="scale({stretch})"><path d="{LEAF}" fill="#c33"/></g>').encode()
    )
    base = descriptor(original)[None]
    assert base.shape == (1, SIZE)
    for symmetry in range(SYMMETRIES):
        turned = original[:, ::-1] if symmetry >= 4 else original
        turned = np.rot90(turned, symmetry % 4)
        assert float(transformed(base, symmetry)[0] @ descriptor(turned)) > 0.999, symmetry


def test_search_finds_the_nearest_also_mirrored():
    shapes = [descriptor(picture(drawing(path))) for path in (BEAKER, FISH, STAR, LEAF)]
    index = ShapeIndex(shapes)
    mirrored = descriptor(picture(drawing(LEAF))[:, ::-1])
    assert index.search(mirrored, 1, symmetries=True)[0].row == 3
    assert index.search(mirrored, 1, symmetries=True)[0].symmetry == 4
    assert index.search(mirrored, 4)[0].similarity < 0.9
    assert index.search(shapes[1], 4)[0].row == 1
    assert index.pairs(0.99) == []
    doubled = ShapeIndex([*shapes, shapes[2]])
    assert [pair[:2] for pair in doubled.pairs(0.99)] == [(2, 4)]
    assert ShapeIndex([]).search(shapes[0]) == []


def hashes(body: str) -> set:
    return set(read_geometry(SVG.format(body).encode()).outlines)


def test_outlines_survive_recolouring_transforms_and_rewriting():
    plain = hashes(f'<path d="{STAR}" fill="red"/>')
    assert len(plain) == 1
    assert hashes(f'<g transform="rotate(40) scale(3)"><path d="{STAR}" fill="blue"/></g>') == plain
    relative = "m60 8l12 40 40 0-32 24 12 40-32-24-32 24 12-40-32-24 40 0z"
    assert hashes(f'<path d="{relative}"/>') == plain
    points = "30,4 36,24 56,24 40,36 46,56 30,44 14,56 20,36 4,24 24,24"
    assert hashes(f'<polygon points="{points}"/>') == plain
    assert not hashes(f'<path d="{FISH}"/>') & plain
    nested = SVG.format(f'<path d="{STAR}"/>').encode()
    import base64

    href = "data:image/svg+xml;base64," + base64.b64encode(nested).decode()
    assert hashes(f'<image href="{href}"/>') == plain


def test_letters_have_no_outline():
    """They are of whoever drew the font: two labels are not copies of each other."""
    assert hashes(f'<g id="g"><path id="p" d="{STAR}"/></g>')
    assert not hashes(f'<g aria-label="A"><g><path d="{STAR}"/></g></g>')
    assert not hashes(f'<path id="text12" d="{STAR}"/>')
    beside = f'<g aria-label="A"><path d="{STAR}"/></g><path d="{FISH}"/>'
    assert len(hashes(beside)) == len(hashes(f'<path d="{FISH}"/>'))


def test_what_is_not_drawn_and_what_is_everybodys_has_no_outline():
    assert not hashes(f'<clipPath id="a"><path d="{STAR}"/></clipPath>')
    assert not hashes(f'<g display="none"><path d="{STAR}"/></g>')
    assert not hashes(f'<style>.a,.b{{fill:red;display:none}}</style><g class="b"><path d="{STAR}"/></g>')
    assert not hashes('<path d="M0 0H9V9H0Z"/><rect width="5" height="5"/><path d="M0 0L9 9"/>')
    circle = "M50 30A20 20 0 0 1 44 44A20 20 0 0 1 30 50A20 20 0 0 1 16 44A20 20 0 0 1 10 30A20 20 0 0 1 16 16A20 20 0 0 1 30 10A20 20 0 0 1 44 16Z"  # noqa: E501
    assert not hashes(f'<path d="{circle}"/>')


@pytest.mark.parametrize(
    ("data", "corners"),
    [
        ("M1 2 3 4", [[(1, 2), (3, 4)]]),
        ("m1,2-3.5.5h2v-1z m1 1 l1 1", [[(1, 2), (-2.5, 2.5), (-0.5, 2.5), (-0.5, 1.5)], [(2, 3), (3, 4)]]),
        ("M0 0a1 1 0 01.5.5", [[(0, 0), (0.5, 0.5)]]),
        ("M0 0C1 1 2 2 3 3s4 4 5 5q1 1 2 2t1 1", [[(0, 0), (3, 3), (8, 8), (10, 10), (11, 11)]]),
        ("", []),
        ("M", []),
        ("M 1e3 2E-1 L", [[(1000, 0.2)]]),
        ("garbage M 1 2", []),
    ],
)
def test_path_data(data, corners):
    assert [list(path) for path in subpaths(data)] == corners


def test_measuring_survives_any_svg_and_matches_an_independent_renderer():
    assert read_geometry(b"<svg") is not None


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(f'<path d="M0 0L9 9L0 9A{"2" * 200_000}"/>', id="digits of an arc"),
        pytest.param(f'<path d="M0 0L9 9L0 9A{" " * 200_000}x"/>', id="blanks of an arc"),
        pytest.param(f'<path d="M0 0L9 9A1 1 {"1e" * 100_000}"/>', id="halves of numbers"),
        pytest.param(f"<style>{'a' * 200_000}</style>", id="a sheet without braces"),
        pytest.param(f"<style>{'a{' * 100_000}</style>", id="a sheet of open braces"),
    ],
)
def test_hostile_text_is_read_in_one_pass(body):
    """Of each a hundredth took a minute or more, outside the sandbox: the time limit is the proof."""
    done = subprocess.run(
        [sys.executable, "-c", READ], input=SVG.format(body).encode(), capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr.decode()


def test_flags_of_an_arc_may_stand_together_and_its_error_ends_it():
    assert [list(path) for path in subpaths("M0 0a1 1 0 01.5.5 1 1 0 1 0 2 2")] == [
        [(0, 0), (0.5, 0.5), (2.5, 2.5)]
    ]
    assert [list(path) for path in subpaths("M0 0A1,1,0,0,1,3,4 x 1 1 0 0 1 9 9")] == [[(0, 0), (3, 4)]]


def test_a_hidden_class_is_hidden_by_the_rule_that_says_so():
    shown = (
        f'<style>.a{{fill:red}}@media print{{.c,.b{{display:none}}}}</style><path class="CLASS" d="{STAR}"/>'
    )
    for name, seen in (("a", True), ("b", False), ("c", False)):
        assert bool(hashes(shown.replace("CLASS", name))) is seen


def test_nothing_is_read_from_nothing():
    assert read_geometry(b"").outlines == ()
    drawn = resvg_py.svg_to_bytes(svg_string=drawing(STAR).decode(), width=300)
    large = np.asarray(Image.open(io.BytesIO(bytes(drawn))).convert("RGBA"))
    assert similarity(large, picture(drawing(STAR))) > 0.95  # the resolution does not matter
