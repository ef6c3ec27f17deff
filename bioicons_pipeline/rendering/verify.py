"""How far our pictures are from what headless Chromium shows: the third opinion, on request.

Belongs here: the measure that the benchmark, one test and a curator's `--verify` share. Not here: the
browser (`chromium.py`), and any decision: nothing in the pipeline depends on a browser being there.
"""

import io
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import asdict, dataclass
from itertools import islice, tee
from statistics import fmean
from typing import Any

import numpy as np
from PIL import Image

from bioicons_pipeline.rendering.api import render_many
from bioicons_pipeline.rendering.chromium import Chromium, ChromiumError
from bioicons_pipeline.rendering.result import RenderResult
from bioicons_pipeline.rendering.settings import RenderSettings

SIZE = 512  # px
DIFFERS = 8.0
"""Mean difference from which on a person sees two different pictures."""
_BATCH = 16  # icons that a browser which crashes takes with it, until they are drawn one by one

Browser = Callable[[], Chromium]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One icon, drawn by us and by the browser.

    difference: mean absolute difference over all channels, 0 to 255, at the size asked for, on white, before
    framing; None where either shows nothing. ours: "drawn" or our refusal. theirs: "drawn", "broken" (the
    browser shows a broken image) or "crashed". differs: a curator should look, because the two pictures
    differ, or only one of the two has a picture.
    """

    key: str
    difference: float | None
    ours: str
    theirs: str
    differs: bool

    def as_row(self) -> dict[str, Any]:
        """For a table or JSON."""
        return asdict(self)


def verify(
    svgs: Iterable[tuple[str, bytes]],
    *,
    size: int = SIZE,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    browser: Browser = Chromium,
) -> Iterator[Comparison]:
    """One `Comparison` for each (key, SVG), in input order; few are held in memory at a time.

    progress(done, total): total is 0 if `svgs` has no length. A file that crashes the browser costs itself
    only. Raises `ChromiumError` if there is no working browser.
    """
    settings = RenderSettings(size=size, frame=False, alpha=False, keep_svg=False)
    total = len(svgs) if isinstance(svgs, Sized) else 0
    for_us, for_them = tee(svgs)
    theirs = _shown((data for _, data in for_them), size, browser)
    results = render_many(for_us, settings, workers=workers)
    for done, (result, (state, shown)) in enumerate(zip(results, theirs, strict=True), start=1):
        yield _compared(result, state, shown, size)
        if progress is not None:
            progress(done, total)


def summary(rows: Iterable[Comparison]) -> dict[str, Any]:
    """Figures of many comparisons: icons compared, their mean, and the keys that a curator should look at."""
    rows = list(rows)
    differences = [row.difference for row in rows if row.difference is not None]
    return {
        "icons": len(rows),
        "compared": len(differences),
        "mean_difference": round(fmean(differences), 3) if differences else None,
        "differ": [row.key for row in rows if row.differs],
    }


def _compared(result: RenderResult, state: str, shown: np.ndarray | None, size: int) -> Comparison:
    ours = result.refusal or "drawn"
    if result.png is None or shown is None:
        # What is empty for us is empty, or a broken image, for the browser too.
        blank = shown is None or bool((shown == 255).all())
        one_sided = result.png is not None or not blank
        return Comparison(result.key, None, ours, state, one_sided)
    pixels = np.full((size, size, 3), 255, np.int16)
    picture = np.asarray(Image.open(io.BytesIO(result.png)))
    pixels[: picture.shape[0], : picture.shape[1]] = picture
    difference = float(np.abs(pixels - shown).mean())
    return Comparison(result.key, difference, ours, state, difference > DIFFERS)


def _shown(svgs: Iterable[bytes], size: int, start: Browser) -> Iterator[tuple[str, np.ndarray | None]]:
    """("drawn" | "broken" | "crashed", picture or None) of each SVG."""
    source = iter(svgs)
    browser = start()
    try:
        while batch := list(islice(source, _BATCH)):
            try:
                pictures = list(browser.render(batch, size))
            except ChromiumError:  # one of them took the browser with it: each alone, in a new one
                pictures = None
            if pictures is not None:
                yield from (("broken" if picture is None else "drawn", picture) for picture in pictures)
                continue
            for svg in batch:
                browser.close()
                browser = start()
                yield _alone(browser, svg, size)
    finally:
        browser.close()


def _alone(browser: Chromium, svg: bytes, size: int) -> tuple[str, np.ndarray | None]:
    try:
        (picture,) = browser.render([svg], size)
    except ChromiumError:
        return "crashed", None
    return ("broken" if picture is None else "drawn"), picture
