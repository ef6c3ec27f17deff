"""icon_manifest: one row an icon, computed over the whole library, versioned per category.

Version tree: `manifest.parquet`, the category's rows in order of source_path, excluded ones among them.
Families, split and licence audit reach across categories, so every run computes the whole library; the
result is kept under the ref `library_manifest` and reused while its inputs are the same.
"""

import difflib
import io
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.library import manifest as rows
from bioicons_pipeline.library.authors import read_authors
from bioicons_pipeline.library.curation import CurationRules, load_curation
from bioicons_pipeline.library.licences import policy_for
from bioicons_pipeline.library.measures import measure_all
from bioicons_pipeline.library.pairs import Pairs
from bioicons_pipeline.library.records import IconSource, Probe, each_row
from bioicons_pipeline.library.schema import validate_manifest
from bioicons_pipeline.orchestration.stages import gone
from bioicons_pipeline.orchestration.stages.base import (
    CAPTIONS,
    MANIFEST,
    SNAPSHOT,
    MissingInputError,
    Outcome,
    Progress,
    input_key,
    publish,
    read_json,
    require_ref,
    unchanged,
)
from bioicons_pipeline.orchestration.stages.codes import CODE_VERSIONS
from bioicons_pipeline.rendering import PROBE, RenderCache, probe_many
from bioicons_pipeline.store import Ref, Store, StoreError, Version

CODE_VERSION = CODE_VERSIONS[MANIFEST]
LIBRARY = "library_manifest"
MADE_BY = "made_by"
"""Key in the info of the library's manifest: what the code said of itself when it was made, see `made_by`."""


def to_parquet(frame: pd.DataFrame) -> bytes:
    """A frame as Parquet bytes; identical rows give identical bytes."""
    buffer = io.BytesIO()
    rows = frame.reset_index(drop=True)
    rows.attrs = {}  # pandas would write the library's notes into the file of every category
    rows.to_parquet(buffer, engine="pyarrow", compression="zstd", index=False)
    return buffer.getvalue()


def read_manifest(store: Store, category: str) -> pd.DataFrame:
    """The manifest of one category as it stands."""
    return _read(store, require_ref(store, MANIFEST, category).version_id)


def probe_icons(
    svgs: Mapping[str, bytes], cache_dir: Path, workers: int | None, progress: Progress | None
) -> dict[str, Probe]:
    """Probes (128 px renderings and facts) by the SVG's sha256; `svgs` is sha256 -> bytes."""
    cache = RenderCache(cache_dir / "renderings")
    return {
        result.key: Probe(
            sha256=result.key,
            png=result.png,
            svg=result.svg,
            refusal=result.refusal,
            report=result.report,
        )
        for result in probe_many(svgs.items(), cache=cache, workers=workers, progress=progress)
    }


def made_by() -> dict[str, Any]:
    """What of the code the manifest depends on: its own version, the rules, how probes are drawn. Kept beside
    the input key, of which nobody can tell what in it is another."""
    return {
        "code": CODE_VERSION,
        "probe": PROBE.key(),
        "rules": CurationRules().model_dump(mode="json"),
    }


def library_manifest(
    store: Store,
    *,
    licence_preset: str,
    curation_file: str | None = None,
    cache_dir: Path,
    workers: int | None = None,
    progress: Progress | None = None,
) -> tuple[pd.DataFrame, str]:
    """The manifest of every icon of the current snapshot, and the key of its inputs."""
    policy = policy_for(licence_preset)
    curation = load_curation(Path(curation_file) if curation_file else None)
    rules, code = CurationRules(), made_by()
    snapshot = store.version(require_ref(store, SNAPSHOT, None).version_id)
    key = input_key(
        **code,
        snapshot=snapshot.id,
        preset=licence_preset,
        curation=curation.model_dump(mode="json"),
    )
    if done := unchanged(store, LIBRARY, key):
        return _read(store, done.version_id), key
    icons = [
        IconSource(path=entry.path.removeprefix("icons/"), svg_sha256=entry.sha256, byte_size=entry.size)
        for entry in snapshot.files
        if entry.path.startswith("icons/") and entry.path.lower().endswith(".svg")
    ]
    before = _previous(store)
    svgs = {icon.svg_sha256: store.read_blob(icon.svg_sha256) for icon in icons}
    probes = probe_icons(svgs, cache_dir, workers, progress)
    pairs = Pairs(cache_dir / "pairs")  # remembers what was compared: a new state compares only what is new
    frame = rows.build_manifest(
        icons,
        probes,
        policy=policy,
        rules=rules,
        curation=curation,
        authors=_authors(store, snapshot),
        permalink=_permalinks(store, snapshot, before, {icon.path: icon.svg_sha256 for icon in icons}),
        previous=_sides(before),
        measures=measure_all(icons, probes, cache_dir / "measures"),
        pairs=pairs,
    )
    validate_manifest(frame, policy)  # the gate: nothing outside the preset is ever committed
    info = {
        "input_key": key,
        MADE_BY: code,
        "categories": sorted({str(name) for name in frame["category"]}),
        "notes": [str(note) for note in frame.attrs.get("notes", ())],
        "pairs_compared": {"now": pairs.measured, "all": pairs.possible},
    }
    publish(store, LIBRARY, {"manifest.parquet": to_parquet(frame)}, info)
    return frame, key


def current_categories(store: Store) -> list[str]:
    """Categories of the manifest as it stands; a curator may have made more of them than upstream has.

    Raises:
        MissingInputError: there is no manifest yet.
    """
    return list((_library(store).info or {})["categories"])


def check_category(category: str, known: list[str]) -> None:
    """Refuse a category that the snapshot does not have, with the nearest names.

    Raises:
        BioiconsError: with what there is.
    """
    if category in known:
        return
    near = difflib.get_close_matches(category, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}."
    raise BioiconsError(f"The library has no category {category!r}: {hint}")


def notes(store: Store) -> list[str]:
    """What the curator should know: decisions that match nothing or have no effect."""
    return list((_library(store).info or {}).get("notes", []))


def manifests(
    store: Store, categories: Sequence[str], *, licence_preset: str, **how: object
) -> dict[str, Outcome]:
    """The manifest of each of `categories`; see `library_manifest` for the other arguments.

    A category that has no icon any more keeps its last manifest, marked as withdrawn: what was built from it
    stays readable, and nothing below it is built again. The library's own manifest has none of its icons.
    """
    frame, key = library_manifest(store, licence_preset=licence_preset, **how)  # type: ignore[arg-type]
    snapshot = require_ref(store, SNAPSHOT, None).info or {}
    outcomes = {}
    for category in categories:
        mine = frame.loc[frame["category"] == category].sort_values("source_path")
        if mine.empty and (before := store.get_ref(MANIFEST, partition=category)):
            outcomes[category] = gone.mark(store, category, before, snapshot)
            continue
        info = {
            **_facts(mine),
            "licence_preset": licence_preset,
            **{name: snapshot.get(name) for name in ("commit", "committed_at", "source_url")},
            "input_key": key,
        }
        files = {"manifest.parquet": to_parquet(mine)}
        outcomes[category] = publish(store, MANIFEST, files, info, partition=category)
    return outcomes


def _facts(frame: pd.DataFrame) -> dict:
    included = frame.loc[frame["included"].astype(bool)]
    return {
        "icons": len(frame),
        "included": len(included),
        "families": included["family_id"].nunique(),
        "licence_mix": _counts(included["spdx"]),
        "authors": _counts(included["author"]),
        "left_out": _counts(frame.loc[:, "exclusion_reason"]),
    }


def _counts(values: pd.Series) -> dict[str, int]:
    return {str(key): int(count) for key, count in values.value_counts().sort_index().items()}


def _read(store: Store, version_id: str) -> pd.DataFrame:
    return pd.read_parquet(io.BytesIO(store.read(version_id, "manifest.parquet")))


def _authors(store: Store, snapshot: Version) -> dict[str, str]:
    """Author -> page, from upstream's own table where the snapshot has one."""
    name = "icons/authors.json"
    present = any(entry.path == name for entry in snapshot.files)
    return read_authors(store.read(snapshot, name) if present else None)


def _previous(store: Store) -> pd.DataFrame | None:
    """The library's manifest as it stood before, if its version can still be read."""
    ref = store.get_ref(LIBRARY)
    try:
        return _read(store, ref.version_id) if ref else None
    except StoreError:
        return None


def _sides(before: pd.DataFrame | None) -> dict[str, tuple[str, str]] | None:
    """icon_id -> (family_id, split) of the last manifest: no icon ever changes sides."""
    if before is None:
        return None
    columns = before.loc[:, ["icon_id", "family_id", "split"]].astype(str)
    return {row.icon_id: (row.family_id, row.split) for row in each_row(columns)}


def _permalinks(
    store: Store, snapshot: Version, before: pd.DataFrame | None, sha256: Mapping[str, str]
) -> Callable[[str], str]:
    """Path -> address of the icon at the commit where these bytes were first seen.

    A link to an older commit shows the same bytes as one to the newest. Keeping it keeps the category's
    manifest, and everything built from it, the same when upstream moved on without touching the icon. A link
    into another source, such as a clone on somebody's disk, is not kept.
    """
    newest: dict[str, str] = read_json(store, snapshot.id, "snapshot.json")["permalinks"]
    known: dict[tuple[str, str], str] = {}
    if before is not None:
        links = before.loc[:, ["source_path", "sha256", "source_url"]].astype(str)
        known = {(row.source_path, row.sha256): row.source_url for row in each_row(links)}

    def link(path: str) -> str:
        old = known.get((path, sha256[path]), newest[path])
        return old if _any_commit(old) == _any_commit(newest[path]) else newest[path]

    return link


def _any_commit(link: str) -> str:
    """A link without its commit: equal for the same file of the same source at any time."""
    return re.sub(r"/blob/[^/]+/", "/blob/*/", link)


def _library(store: Store) -> Ref:
    """Its ref; not by `require_ref`, for no asset has its name that one could materialize."""
    ref = store.get_ref(LIBRARY)
    if ref is None:
        raise MissingInputError("There is no manifest of the library yet: materialize icon_manifest first.")
    return ref


def whole_manifest(store: Store) -> pd.DataFrame:
    """The manifest of the whole library as it stands, `notes` for the curator in its attrs.

    Raises:
        MissingInputError: there is none yet.
    """
    frame = _read(store, _library(store).version_id)
    frame.attrs["notes"] = notes(store)
    return frame


def pictures(store: Store, cache_dir: Path, workers: int | None = None) -> Callable[[str], bytes | None]:
    """sha256 of an SVG of the current manifest -> its probe PNG, from the cache where it is there."""
    wanted = sorted(set(whole_manifest(store)["sha256"].astype(str)))
    svgs = {sha: store.read_blob(sha) for sha in wanted}
    probes = probe_icons(svgs, cache_dir, workers, None)
    return lambda sha: probes[sha].png if sha in probes else None


def current_captions(store: Store) -> dict[str, str]:
    """icon_id -> caption, of the categories that are captioned by now."""
    found: dict[str, str] = {}
    for ref in store.list_refs(CAPTIONS).values():
        captions = read_json(store, ref.version_id, "captions.json")
        found |= {icon: entry["caption"] for icon, entry in captions.items()}
    return found
