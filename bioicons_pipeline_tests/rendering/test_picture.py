"""Pictures: framed, on white, in sRGB without metadata, byte-identical; and what is reported of them."""

import base64
import gzip
import hashlib
import io
import struct
import urllib.parse

import numpy as np
import pytest
from PIL import Image

from bioicons_pipeline.rendering import REPORT_KEYS, RenderSettings, probe_many, render_many, render_one
from bioicons_pipeline.rendering import png as our_png
from bioicons_pipeline_tests.rendering.conftest import pixels
from bioicons_pipeline_tests.rendering.corpus.making import RECT, image, svg, uri

SIZE = 200
SETTINGS = RenderSettings(size=SIZE)  # margin 8 px


def draw(text: str, settings: RenderSettings = SETTINGS):
    result = render_one(text.encode(), settings)
    assert result.refusal is None, result.report
    return result


def ink_box(picture: np.ndarray) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of the pixels that are not white."""
    ys, xs = np.nonzero((picture[..., :3] < 250).any(axis=2))
    return xs.min(), ys.min(), xs.max() + 1, ys.max() + 1


def chunks(png: bytes) -> list[str]:
    position, kinds = 8, []
    while position < len(png):
        length, kind = struct.unpack_from(">I4s", png, position)
        kinds.append(kind.decode())
        position += 12 + length
    return kinds


@pytest.fixture(scope="module")
def drawn():
    """One run for all the pictures that the tests below look at."""
    stops = '<stop stop-color="#00f"/><stop offset="1" stop-color="#fff"/>'
    gradient = f'<linearGradient id="g">{stops}</linearGradient>'
    files = {
        "square": svg(RECT),
        "wide": svg('<rect x="20" y="40" width="60" height="20" fill="#123456"/>'),
        "corner": svg('<rect x="90" y="90" width="4" height="2" fill="red"/>'),
        "speck": svg('<circle cx="777" cy="333" r="1"/>', 'viewBox="0 0 1000 1000"'),
        "overflow": svg('<rect x="-50" y="25" width="100" height="50" fill="red"/>'),
        "edge": svg('<rect width="100" height="100" fill="#0a0"/><circle r="9" cx="50" cy="50"/>'),
        "white ground": svg('<rect width="100" height="100" fill="#fff"/><circle r="10" cx="50" cy="50"/>'),
        "mixed ground": svg(f'{gradient}<rect width="100" height="100" fill="url(#g)"/>'),
        "white": svg('<rect x="10" y="10" width="50" height="50" fill="#fff"/>'),
        "half": svg('<rect x="10" y="10" width="50" height="50" fill="#000" opacity="0.5"/>'),
        "text": svg('<text x="5" y="60" font-size="40" font-family="Arial">Tg</text>'),
        "unknown font": svg('<text x="5" y="60" font-size="40" font-family="No Such Font">Tg</text>'),
        "raster": image(uri("image/png", our_png.encode(np.full((40, 40, 3), (200, 0, 0), np.uint8)))),
        "mm": svg('<rect width="10mm" height="10mm" fill="red"/>', 'width="20mm" height="20mm"'),
        "hairline": svg('<path d="M0 5h1000" stroke="#000" stroke-width="0.01"/>', 'viewBox="0 0 1000 10"'),
    }
    results = list(render_many([(key, text.encode()) for key, text in files.items()], SETTINGS))
    refused = [(result.key, result.refusal, result.report) for result in results if result.refusal]
    assert not refused
    return {result.key: result for result in results}


def test_a_picture_is_a_square_of_rgb_on_pure_white(drawn):
    for key, result in drawn.items():
        picture = Image.open(io.BytesIO(result.png))
        assert (picture.size, picture.mode) == ((SIZE, SIZE), "RGB"), key
        assert (np.asarray(picture)[0] == 255).all() and (np.asarray(picture)[:, -1] == 255).all(), key
        assert chunks(result.png) == ["IHDR", "IDAT", "IEND"], "no metadata"


def test_the_alpha_file_shows_the_same_on_any_ground(drawn):
    for key, result in drawn.items():
        alpha = Image.open(io.BytesIO(result.alpha_png))
        assert (alpha.size, alpha.mode) == ((SIZE, SIZE), "RGBA"), key
        assert set(chunks(result.alpha_png)) == {"IHDR", "IDAT", "IEND"}, key
        on_white = Image.alpha_composite(Image.new("RGBA", alpha.size, "white"), alpha).convert("RGB")
        assert np.abs(np.asarray(on_white).astype(int) - pixels(result.png)).max() <= 1, key
    half = pixels(drawn["half"].alpha_png)[SIZE // 2, SIZE // 2]
    assert tuple(half[:3]) == (0, 0, 0) and abs(int(half[3]) - 128) <= 1, "straight, not premultiplied"


@pytest.mark.parametrize(
    ("key", "box"),
    [
        ("square", (8, 8, 192, 192)),
        ("wide", (8, 69, 192, 131)),
        ("corner", (8, 54, 192, 146)),
        ("speck", (8, 8, 192, 192)),
        ("overflow", (8, 8, 192, 192)),
        ("white ground", (8, 8, 192, 192)),
    ],
)
def test_content_fills_the_frame_but_for_the_margin(drawn, key, box):
    assert np.abs(np.array(ink_box(pixels(drawn[key].png))) - box).max() <= 4


def test_what_hangs_out_of_the_view_box_is_clipped(drawn):
    result = drawn["overflow"]
    assert result.report["content_box"] == pytest.approx([0, 25, 50, 75], abs=0.5)
    assert (pixels(result.png)[:, :7] == 255).all()
    assert (pixels(result.alpha_png)[:, :7, 3] == 0).all()


def test_reported_facts(drawn):
    for result in drawn.values():
        assert set(result.report) == set(REPORT_KEYS) - {"detail"}
    square, corner = drawn["square"].report, drawn["corner"].report
    assert square["natural_size"] == [100, 100] and square["renderer"] == "resvg"
    assert square["content_box"] == pytest.approx([10, 10, 90, 90], abs=0.5)
    assert square["fill_fraction"] == pytest.approx(0.64, abs=0.02)
    assert square["content_fraction"] == pytest.approx(0.64, abs=0.02)
    assert not square["touches_edge"] and not square["has_text"] and not square["near_white"]
    assert corner["content_box"] == pytest.approx([90, 90, 94, 92], abs=0.05), "refined beyond the first look"
    assert drawn["edge"].report["opaque_background"] == "#00aa00" and drawn["edge"].report["touches_edge"]
    assert drawn["mixed ground"].report["opaque_background"] == "mixed"
    assert drawn["white ground"].report["opaque_background"] == "#ffffff"
    assert square["opaque_background"] is None
    assert drawn["white"].report["near_white"] and any("nearly white" in w for w in drawn["white"].warnings)
    assert any("opaque background" in w for w in drawn["edge"].warnings)
    assert not any("opaque background" in w for w in drawn["white ground"].warnings)
    raster = drawn["raster"].report
    assert raster["embedded_raster_count"] == 1 and raster["embedded_raster_bytes"] > 50
    assert 0.2 < raster["embedded_raster_share"] < 1
    assert drawn["mm"].report["natural_size"] == pytest.approx([75.59, 75.59], abs=0.01)
    assert drawn["mm"].report["content_fraction"] == pytest.approx(0.25, abs=0.02)


def test_a_photograph_is_one_however_deep_it_is_embedded():
    """An SVG around it, packed or not, does not make it a drawing; beside a drawing it has its share."""
    noise = np.random.default_rng(0).integers(0, 255, (120, 120, 3), dtype=np.uint8)
    photograph = image(uri("image/png", our_png.encode(noise)))
    once = image(uri("image/svg+xml", photograph.encode()))
    twice = image(uri("image/svg+xml", once.encode()))
    packed = image(uri("image/svg+xml", gzip.compress(photograph.encode())))
    quoted = image("data:image/svg+xml," + urllib.parse.quote(photograph))
    for text in (photograph, once, twice, packed, quoted):
        assert 0.98 < draw(text).report["embedded_raster_share"] <= 1
    path = f'<path d="M0 0{" 1 2 3 4" * 10_000}"/>'
    assert 0.3 < draw(svg(photograph + path)).report["embedded_raster_share"] < 0.5
    beside = image(uri("image/svg+xml", svg(photograph + path).encode()))
    assert 0.3 < draw(beside).report["embedded_raster_share"] < 0.5


def test_text_is_drawn_with_stand_in_fonts(drawn):
    assert drawn["text"].report["has_text"]
    sans, serif = pixels(drawn["text"].png), pixels(drawn["unknown font"].png)
    assert (sans < 128).mean() > 0.02 and (serif < 128).mean() > 0.02
    assert (sans != serif).any()
    without = render_one(svg("<text y='50'>A</text>").encode(), RenderSettings(size=64, fonts="none"))
    assert without.refusal == "nothing_drawn"


def test_the_same_bytes_on_every_run(drawn):
    for workers in (1, 3):
        again = render_many([(key, result.svg) for key, result in drawn.items()], SETTINGS, workers=workers)
        for result in again:
            first = drawn[result.key]
            assert result.png == first.png, result.key
            assert (result.alpha_png, result.svg) == (first.alpha_png, first.svg), result.key


def test_the_second_renderer_draws_the_same():
    first = draw(svg(RECT))
    second = draw(svg(RECT), RenderSettings(size=SIZE, renderer="cairosvg"))
    assert second.report["renderer"] == "cairosvg"
    assert np.abs(pixels(first.png).astype(int) - pixels(second.png)).mean() < 0.5
    assert second.report["content_box"] == pytest.approx(first.report["content_box"], abs=0.5)


def test_disagreement_is_measured_and_flagged():
    # cairosvg knows no blend modes, so the two see different colours.
    blend = svg(
        '<rect width="100" height="100" fill="#ff0"/>'
        '<rect width="100" height="100" fill="#00f" style="mix-blend-mode:multiply"/>'
    )
    same, other = probe_many([("same", svg(RECT).encode()), ("other", blend.encode())])
    assert same.report["renderers_disagree"] < 0.5 and not same.warnings
    assert other.report["renderers_disagree"] > 8
    assert any("disagree" in warning for warning in other.warnings)


def test_a_probe_is_a_small_square_with_straight_alpha():
    (probe,) = probe_many([("k", svg('<rect width="50" height="25" opacity="0.5" fill="red"/>').encode())])
    picture = pixels(probe.png)
    assert picture.shape == (128, 128, 4) and probe.alpha_png is None
    assert tuple(picture[0, 0]) == (0, 0, 0, 0)
    assert tuple(picture[64, 64][:3]) == (255, 0, 0) and abs(int(picture[64, 64][3]) - 128) <= 1


def test_unframed_is_what_an_img_shows():
    wide = svg(RECT, 'viewBox="0 0 100 50" width="400" height="200"')
    result = draw(wide, RenderSettings(size=100, frame=False))
    picture = pixels(result.png)
    assert picture.shape == (50, 100, 3)
    assert ink_box(picture) == (10, 10, 90, 50)


def test_settings_decide_the_key_and_are_checked():
    keys = {RenderSettings().key(), RenderSettings(size=512).key(), RenderSettings(margin=0.1).key()}
    assert len(keys) == 3 and RenderSettings().key() == RenderSettings().key()
    for wrong in ({"size": 4}, {"size": 10_000}, {"margin": 0.5}, {"time_limit": 0}):
        with pytest.raises(ValueError):
            RenderSettings(**wrong)


@pytest.mark.parametrize("channels", [3, 4])
def test_our_png_files_are_read_by_others(channels):
    noise = np.random.default_rng(0).integers(0, 256, (37, 53, channels), dtype=np.uint8)
    assert (pixels(our_png.encode(noise)) == noise).all()
    assert hashlib.sha256(our_png.encode(noise)).digest() == hashlib.sha256(our_png.encode(noise)).digest()


def test_data_uris_are_decoded_as_browsers_do():
    from bioicons_pipeline.rendering.images import decode_data_uri

    data = bytes(range(256))
    encoded = base64.b64encode(data).decode()
    assert decode_data_uri(f"data:image/png;base64,{encoded}") == data
    assert decode_data_uri(f" DATA:;BASE64,\n{encoded[:20]} \n {encoded[20:]}") == data
    assert decode_data_uri("data:image/png;base64," + encoded.rstrip("=").replace("+", "%2B")) == data
    assert decode_data_uri("data:text/plain,a%20b") == b"a b"
    assert decode_data_uri("http://x/") is None
