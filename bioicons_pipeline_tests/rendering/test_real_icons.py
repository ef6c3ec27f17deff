"""The real library: only empty files fail, the limits cost nothing, and it looks as in a browser."""

import shutil

import numpy as np
import pytest

from bioicons_pipeline.rendering import RenderSettings, render_many
from bioicons_pipeline.rendering.normalise import normalise
from bioicons_pipeline.rendering.result import Refused
from bioicons_pipeline.rendering.verify import verify
from bioicons_pipeline_tests.rendering.hostile import svg


@pytest.fixture(scope="module")
def library(sample_repo):
    """(path in the library, bytes) of every icon, in a fixed order."""
    root = sample_repo / "static" / "icons"
    return [(str(path.relative_to(root)), path.read_bytes()) for path in sorted(root.rglob("*.svg"))]


@pytest.mark.bundle
def test_the_limits_cost_the_real_library_nothing(library):
    refused = {}
    for key, data in library[::4] + [pair for pair in library if len(pair[1]) < 10]:
        try:
            normalise(data)
        except Refused as refusal:
            refused[key] = refusal.reason.value
    assert set(refused.values()) <= {"empty"}, refused
    assert all(not dict(library)[key].strip() for key in refused)


@pytest.mark.bundle
@pytest.mark.slow
def test_every_icon_of_the_library_renders_but_the_empty_files(library):
    results = list(render_many(library, RenderSettings(size=256)))
    refused = {result.key: result.refusal for result in results if result.refusal}
    assert set(refused.values()) <= {"empty"}, refused
    assert {key for key, data in library if not data.strip()} == set(refused)


@pytest.mark.bundle
@pytest.mark.chromium
def test_it_looks_as_in_chromium(library):
    chosen = library[:: len(library) // 48][:48]
    measured = {row.key: row.difference for row in verify(chosen)}
    differences = {key: value for key, value in measured.items() if value is not None}
    assert list(measured) == [key for key, _ in chosen] and len(differences) >= 46
    assert np.mean(list(differences.values())) < 0.8, differences
    assert max(differences.values()) < 8, max(differences, key=lambda key: differences[key])


@pytest.mark.chromium
def test_chromium_sees_broken_images_as_such():
    from bioicons_pipeline.rendering.chromium import Chromium, find_chromium

    assert find_chromium() or shutil.which("chromium")
    green = svg('<rect width="10" height="5" fill="#0a0"/>', 'width="10" height="5"').encode()
    with Chromium() as browser:
        assert browser.version().startswith(("Chrome", "Headless"))
        first, second = browser.render([green, b"not an image"], 64)
    assert second is None
    assert tuple(first[10, 30]) == (0, 0xAA, 0) and tuple(first[50, 30]) == (255, 255, 255)
