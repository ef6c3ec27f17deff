"""Hostile SVG files: what strangers may send, and what must become of each.

Each case names its expected outcome: a refusal's value, or `DRAWN` (a safe picture comes out, whatever was
hostile having been removed). The files are made in `corpus`, one module a family.
"""

from bioicons_pipeline_tests.rendering.corpus import (
    bombs,
    entities,
    filters,
    forms,
    limits,
    parsers,
    rasters,
    references,
    words,
)
from bioicons_pipeline_tests.rendering.corpus.making import CASES, DRAWN, NS, RECT, Hostile, laughs, svg

__all__ = ["CASES", "DRAWN", "NS", "RECT", "Hostile", "laughs", "svg"]
FAMILIES = (bombs, entities, filters, forms, limits, parsers, rasters, references, words)
