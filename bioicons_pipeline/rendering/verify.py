"""How far our pictures are from what headless Chromium shows: the third opinion, on request.

Belongs here: the measure that the benchmark, one test and a curator's `--verify` share. Not here: the
browser (`chromium.py`), and any decision: nothing in the pipeline depends on a browser being there.
"""

import io
from collections.abc import Iterable, Iterator

import numpy as np
from PIL import Image

from bioicons_pipeline.rendering.api import render_many
from bioicons_pipeline.rendering.chromium import Chromium
from bioicons_pipeline.rendering.settings import RenderSettings

SIZE = 512  # px


def difference_from_chromium(
    svgs: Iterable[tuple[str, bytes]], *, size: int = SIZE, workers: int | None = None
) -> Iterator[tuple[str, float | None]]:
    """For each (key, SVG): (key, mean absolute difference over all channels, 0 to 255).

    Both are drawn at `size` px on white, before framing. None where one of the two shows nothing. Over 8, a
    person sees two different pictures. Raises `ChromiumError` if there is no working browser.
    """
    settings = RenderSettings(size=size, frame=False, alpha=False, keep_svg=False)
    icons = list(svgs)
    with Chromium() as browser:
        shown = browser.render((data for _, data in icons), size)
        for result, theirs in zip(render_many(icons, settings, workers=workers), shown, strict=True):
            if result.png is None or theirs is None:
                yield result.key, None
                continue
            ours = np.full((size, size, 3), 255, np.int16)
            picture = np.asarray(Image.open(io.BytesIO(result.png)))
            ours[: picture.shape[0], : picture.shape[1]] = picture
            yield result.key, float(np.abs(ours - theirs).mean())
