"""Real icons for the benchmarks: the included ones of a library, rendered, a stated number of them.

`library` is a clone of bioicons (or of the sample bundle); `manifest` a Parquet manifest of it, made here
(some minutes, over the whole library) where none is given.
"""

import io
import os
import platform
import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from bioicons_pipeline.rendering import RenderSettings, render_many


@dataclass(frozen=True)
class Icon:
    """One rendered icon: `rgb` on white, `rgba` with its true alpha, the same frame; `svg` the safe SVG."""

    icon_id: str
    family_id: str
    path: str
    rgb: Image.Image
    rgba: Image.Image
    svg: bytes


def read_manifest(library: Path, manifest: Path | None) -> pd.DataFrame:
    """The manifest's included rows whose files are in `library`."""
    if manifest is None:
        import manifest as manifest_benchmark  # beside this file

        with tempfile.TemporaryDirectory(prefix="bioicons-benchmark-") as scratch:
            df, _ = manifest_benchmark.run(str(library), None, Path(scratch))
    else:
        df = pd.read_parquet(manifest)
    return df[df["included"]].sort_values("icon_id").reset_index(drop=True)


def render(df: pd.DataFrame, library: Path, size: int, workers: int = 1) -> Iterator[Icon]:
    """The rows of `df`, rendered at `size` px; an icon that does not render is left out."""
    folder = library / "static" / "icons"
    rows = {row.icon_id: row for row in df.itertuples()}
    svgs = [(row.icon_id, (folder / row.source_path).read_bytes()) for row in rows.values()]
    for result in render_many(svgs, RenderSettings(size=size), workers=workers):
        if result.png and result.alpha_png and result.svg:
            row = rows[result.key]
            yield Icon(
                row.icon_id,
                row.family_id,
                row.source_path,
                Image.open(io.BytesIO(result.png)).convert("RGB"),
                Image.open(io.BytesIO(result.alpha_png)).convert("RGBA"),
                result.svg,
            )


def sample(df: pd.DataFrame, count: int | None, seed: int) -> pd.DataFrame:
    """`count` rows chosen by `seed`, all where `count` is None."""
    chosen = random.Random(seed).sample(range(len(df)), min(count or len(df), len(df)))
    return df.iloc[sorted(chosen)]


def machine(*packages: str) -> dict:
    """What the figures were made on."""
    return {
        "cores": os.cpu_count(),
        "load_1min": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
    }


def spread(values) -> dict:
    """Median, mean and tenth percentile."""
    values = np.asarray([value for value in values if value == value], dtype=float)
    return {
        "n": len(values),
        "median": round(float(np.median(values)), 4),
        "mean": round(float(values.mean()), 4),
        "p10": round(float(np.quantile(values, 0.1)), 4),
        "p90": round(float(np.quantile(values, 0.9)), 4),
    }
