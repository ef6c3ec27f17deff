"""rasterized_icons: the full-size picture of every included icon of a category.

Version tree: `png/<icon_id>.png` (RGB on white), `alpha/<icon_id>.png` (straight alpha),
`svg/<icon_id>.svg` (normalised, safe) and `rendering.json` (per icon: refusal, warnings, report). An
icon that does not render is named there and has no picture; later stages leave it out.
"""

import io
from pathlib import Path

from bioicons_pipeline.library.records import each_row
from bioicons_pipeline.orchestration.stages.base import (
    IMAGES,
    MANIFEST,
    Outcome,
    Progress,
    input_key,
    publish,
    require_ref,
    to_json,
    unchanged,
)
from bioicons_pipeline.orchestration.stages.codes import CODE_VERSIONS
from bioicons_pipeline.orchestration.stages.gates import blocking
from bioicons_pipeline.orchestration.stages.manifest import read_manifest
from bioicons_pipeline.rendering import RenderCache, RenderSettings, probe_many, render_many
from bioicons_pipeline.rendering.findings import picture_faults, renderer_differences
from bioicons_pipeline.store import Store

CODE_VERSION = CODE_VERSIONS[IMAGES]


def key_of(manifest_version: str, size: int) -> str:
    """The key of what pictures of `size` px are made from."""
    return input_key(code=CODE_VERSION, manifest=manifest_version, settings=RenderSettings(size=size).key())


def rasterize(
    store: Store,
    category: str,
    size: int,
    cache_dir: Path,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Render the included icons of `category` at `size` px; facts: rendered, refused."""
    manifest = require_ref(store, MANIFEST, category)
    settings = RenderSettings(size=size)
    key = key_of(manifest.version_id, size)
    if done := unchanged(store, IMAGES, key, partition=category):
        return Outcome(done.version_id, False, done.info or {})
    frame = read_manifest(store, category)
    included = frame.loc[frame["included"]]
    # The manifest's sha256 is the name of the SVG's blob: no need to look into the snapshot.
    icons = ((row.icon_id, store.read_blob(row.sha256)) for row in each_row(included))
    files: dict = {}
    reports: dict[str, dict] = {}
    faults: list[str] = []
    results = render_many(
        icons, settings, cache=RenderCache(cache_dir / "renderings"), workers=workers, progress=progress
    )
    for result in results:
        reports[result.key] = {
            "refusal": result.refusal,
            "warnings": list(result.warnings),
            "report": result.report,
        }
        if result.png is None:
            continue
        faults += picture_faults([(result.key, result.png)], size)
        files[f"png/{result.key}.png"] = store.put_blob(result.png)
        if result.alpha_png:
            files[f"alpha/{result.key}.png"] = store.put_blob(result.alpha_png)
        if result.svg:
            files[f"svg/{result.key}.svg"] = store.put_blob(result.svg)
    files["rendering.json"] = to_json(reports)
    refused = sorted(icon for icon, report in reports.items() if report["refusal"])
    facts = {
        "rendered": len(reports) - len(refused),
        "refused": refused,
        "size": size,
        **blocking(faults),
    }
    return publish(store, IMAGES, files, {**facts, "input_key": key}, partition=category)


def faults(store: Store, category: str) -> list[str]:
    """Faults of the pictures of `category` as they lie in the store, blocked or not."""
    ref = store.get_ref(IMAGES, partition=category)
    if ref is None:
        return []
    version = store.version(ref.version_id)
    pictures = (
        (Path(entry.path).stem, store.read(version, entry.path))
        for entry in version.files
        if entry.path.startswith("png/")
    )
    return picture_faults(pictures, int((ref.info or {})["size"]))


def disagreements(store: Store, category: str, cache_dir: Path, workers: int | None = None) -> list[str]:
    """Icons of `category` that the two renderers draw differently; probes come from the manifest's cache."""
    if store.get_ref(MANIFEST, partition=category) is None:
        return []
    frame = read_manifest(store, category)
    included = frame.loc[frame["included"]]
    svgs = [(str(row.source_path), store.read_blob(str(row.sha256))) for row in each_row(included)]
    return renderer_differences(
        probe_many(svgs, cache=RenderCache(cache_dir / "renderings"), workers=workers)
    )


def contact_sheet(store: Store, version_id: str, count: int = 48, cell: int = 96) -> bytes | None:
    """Up to `count` icons of a version as one PNG, 12 a row, `cell` px each; None without icons."""
    from PIL import Image

    version = store.version(version_id)
    pictures = [entry.path for entry in version.files if entry.path.startswith("png/")]
    chosen = pictures[:: max(1, len(pictures) // count)][:count]
    if not chosen:
        return None
    columns = min(12, len(chosen))
    sheet = Image.new("RGB", (columns * cell, -(-len(chosen) // columns) * cell), "white")
    for index, path in enumerate(chosen):
        icon = Image.open(io.BytesIO(store.read(version, path))).convert("RGB")
        icon.thumbnail((cell - 8, cell - 8))
        sheet.paste(icon, (index % columns * cell + 4, index // columns * cell + 4))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
