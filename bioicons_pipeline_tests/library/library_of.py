"""A small made-up library and its manifest, for tests of everything after the source."""

import pandas as pd

from bioicons_pipeline.library.curation import Curation, CurationRules
from bioicons_pipeline.library.licences import policy_for
from bioicons_pipeline.library.manifest import build_manifest
from bioicons_pipeline.library.records import Probe
from bioicons_pipeline_tests.library.drawings import icon_of, probe_of

SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 60 60">{}</svg>'
BEAKER = "M20 6H40V20L52 48Q54 54 48 54H12Q6 54 8 48L20 20Z"
FISH = "M6 30Q20 10 40 26L54 16L50 30L54 44L40 34Q20 50 6 30Z"
STAR = "M30 4L36 24L56 24L40 36L46 56L30 44L14 56L20 36L4 24L24 24Z"
LEAF = "M8 52Q8 12 52 8Q50 50 14 46L30 26L12 44Z"


def drawing(path: str, fill: str = "#c33", extra: str = "") -> bytes:
    """An SVG of one outline in one colour with a darker rim."""
    return SVG.format(f'<path d="{path}" fill="{fill}" stroke="#222" stroke-width="2"/>{extra}').encode()


def manifest_of(
    files: dict[str, bytes],
    *,
    preset: str = "attribution",
    rules: CurationRules | None = None,
    curation: Curation | None = None,
    authors: dict[str, str] | None = None,
    probes: dict[str, Probe] | None = None,
    **more,
) -> pd.DataFrame:
    """The manifest of `files` (source_path -> SVG), probed on the spot; `probes` (by path) replace those."""
    icons = [icon_of(path, data) for path, data in files.items()]
    made = {icon.svg_sha256: probe_of(files[icon.path]) for icon in icons}
    for path, probe in (probes or {}).items():
        made[icon_of(path, files[path]).svg_sha256] = probe
    return build_manifest(
        icons,
        made,
        policy=policy_for(preset),
        rules=rules or CurationRules(),
        curation=curation,
        authors=authors or {},
        permalink=lambda path: f"https://github.com/o/r/blob/c/static/icons/{path}",
        **more,
    )


def row(df: pd.DataFrame, path: str) -> dict:
    """The row of one icon; missing values as None."""
    (found,) = df[df["source_path"] == path].astype(object).where(df.notna(), None).to_dict("records")
    return found
