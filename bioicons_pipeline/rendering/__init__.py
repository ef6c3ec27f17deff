"""rendering/: SVG bytes from strangers to a safe SVG and the picture a browser shows.

Belongs here: sanitising, normalising, rasterising, framing, and the sandbox around them. Not here: which
icons are wanted (library/), where files go (store/). Imports nothing heavy: the renderers are loaded in
the worker processes only.
"""

from bioicons_pipeline.rendering.api import probe_many, render_many, render_one
from bioicons_pipeline.rendering.cache import RenderCache
from bioicons_pipeline.rendering.pool import RenderingError
from bioicons_pipeline.rendering.result import REPORT_KEYS, RefusalReason, RenderResult
from bioicons_pipeline.rendering.settings import PROBE, RenderSettings

__all__ = [
    "PROBE",
    "REPORT_KEYS",
    "RefusalReason",
    "RenderCache",
    "RenderResult",
    "RenderSettings",
    "RenderingError",
    "probe_many",
    "render_many",
    "render_one",
]
