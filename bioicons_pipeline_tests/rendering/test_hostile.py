"""The hostile corpus: every file has the outcome that it names, and none reaches a file or the network."""

import re
import time
from collections import Counter

import pytest

from bioicons_pipeline.rendering import REPORT_KEYS, RefusalReason, RenderSettings, render_many
from bioicons_pipeline_tests.rendering.conftest import pixels
from bioicons_pipeline_tests.rendering.hostile import CASES, DRAWN, RECT, svg

SETTINGS = RenderSettings(size=64, compare=True, time_limit=1)
HARMLESS = svg(RECT).encode()


def test_the_corpus_is_large_and_its_names_are_unique():
    assert len(CASES) >= 200
    assert max(Counter(case.name for case in CASES).values()) == 1
    values = {reason.value for reason in RefusalReason} | {DRAWN}
    assert all(case.expected <= values for case in CASES)


@pytest.fixture(scope="module")
def outcomes(forbidden_server, secret_picture):
    """All results in one run, a harmless icon after each hostile one."""
    server, seen = forbidden_server
    files = []
    for case in CASES:
        files.append((case.name, case.make(server, str(secret_picture))))
        files.append((f"harmless after {case.name}", HARMLESS))
    started = time.monotonic()
    results = list(render_many(files, SETTINGS, workers=2))
    return files, results, seen, time.monotonic() - started


def test_every_file_has_its_outcome_and_nothing_else_happens(outcomes, secret_picture):
    files, results, seen, seconds = outcomes
    assert [result.key for result in results] == [key for key, _ in files], "one result each, in order"
    hostile, harmless = results[::2], results[1::2]
    wrong = [
        f"{case.name}: {result.refusal or DRAWN}, expected {sorted(case.expected)} ({result.report})"
        for case, result in zip(CASES, hostile, strict=True)
        if (result.refusal or DRAWN) not in case.expected
    ]
    assert not wrong, "\n".join(wrong)
    unreported = [
        f"{case.name}: {result.report.get('removed')} lacks {sorted(case.removed)}"
        for case, result in zip(CASES, hostile, strict=True)
        if not case.removed <= set(result.report.get("removed", {}))
    ]
    assert not unreported, "\n".join(unreported)
    for result in hostile:
        assert (result.refusal is None) == (result.png is not None), result.key
        assert set(result.report) <= set(REPORT_KEYS), result.key
        if result.png is not None:
            red = (pixels(result.png)[..., :3] == (255, 0, 0)).all(axis=2)
            asked_for_red = "red" in dict(files)[result.key].decode("utf-8", "replace")
            assert asked_for_red or not red.any(), f"{result.key}: the local file leaked into the picture"
    assert seen == [], "a request left the sandbox"
    first = harmless[0]
    for result in harmless:
        assert result.refusal is None, f"{result.key}: {result.report}"
        assert result.png == first.png, result.key
    assert seconds < 1.5 * len(files)


def test_normalised_svgs_are_inert(outcomes):
    """What is handed on has no script, no entity, and refers to nothing but itself."""
    _, results, _, _ = outcomes
    kept = [result for result in results if result.svg]
    assert len(kept) > 60
    for result in kept:
        text = result.svg.decode()
        lowered = re.sub(r"data:image/(png|jpeg|gif|webp|svg\+xml);base64,[A-Za-z0-9+/=]*", "", text.lower())
        for forbidden in (
            "<script",
            "<!doctype",
            "<!entity",
            "<foreignobject",
            "@import",
            "@font-face",
            "<?",
        ):
            assert forbidden not in lowered, (result.key, forbidden)
        assert not re.search(r"<[^>]*\shref=\"(?!#|\")", lowered), result.key
        assert not re.search(r"<[^>]*\son\w+=", lowered), result.key
        assert not re.search(r"url\((?!#)", lowered), result.key


@pytest.mark.slow
@pytest.mark.timeout(3600)  # about forty of the files take all the time that they get
def test_whole_corpus_with_default_limits(forbidden_server, secret_picture):
    """The limits that users get: a bomb may take up to its time limit, and no longer."""
    server, seen = forbidden_server
    files = [(case.name, case.make(server, str(secret_picture))) for case in CASES]
    last = time.monotonic()
    for case, result in zip(CASES, render_many(files, RenderSettings(compare=True)), strict=True):
        assert (result.refusal or DRAWN) in case.expected, (case.name, result.refusal, result.report)
        assert time.monotonic() - last < 3 * 10 + 15, case.name
        last = time.monotonic()
    assert seen == []
