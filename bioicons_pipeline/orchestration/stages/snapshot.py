"""svg_snapshot: one upstream state, every file of it content-addressed in the store.

Version tree: `icons/<path>` for every file under `static/icons`, and `snapshot.json` with the commit,
its date, the source, the permalinks and what was refused. Later stages read from here alone, so an old
state stays readable when upstream has moved on or rewritten its history.
"""

from collections import Counter
from pathlib import Path

from bioicons_pipeline.library import source as upstream
from bioicons_pipeline.library.records import path_facts
from bioicons_pipeline.orchestration.stages.base import (
    SNAPSHOT,
    Outcome,
    Progress,
    publish,
    require_ref,
    to_json,
)
from bioicons_pipeline.store import Store

STARTER = "starter"
"""The name of the small library that ships inside the package."""


def starter_library() -> Path:
    """The folder of the packaged starter library."""
    return Path(__file__).resolve().parents[2] / "starter_library"


def location_of(source: str) -> str:
    """Where the library that a setting or an option names is: itself, but for the packaged one's name."""
    return str(starter_library()) if source == STARTER else source


def icons_by_category(paths: list[str]) -> dict[str, int]:
    """Icons per scientific category, read off their paths."""
    return dict(sorted(Counter(path_facts(path).category for path in paths).items()))


def current_categories(store: Store) -> list[str]:
    """Categories of the snapshot as it stands.

    Raises:
        MissingInputError: there is no snapshot yet.
    """
    return list((require_ref(store, SNAPSHOT, None).info or {})["categories"])


def snapshot(
    store: Store,
    source: str,
    ref: str | None,
    cache_dir: Path,
    progress: Progress | None = None,
    stored: Progress | None = None,
) -> Outcome:
    """Fetch `source` at `ref` and commit it; facts: commit, committed_at, icons, categories, refused.

    progress: of fetching; stored: of bringing the files to the store, which may be far away.

    Raises:
        SourceError, LayoutError: from the library room, one sentence each.
    """
    location = location_of(source)
    tree = upstream.fetch(location, ref, cache_dir / "git", progress=progress)
    paths = [entry.path for entry in tree.entries]
    svgs = [path for path in paths if path.lower().endswith(".svg")]
    by_category = icons_by_category(svgs)
    source_url = "bioicons_pipeline starter library" if source == STARTER else tree.source_url
    facts = {
        "commit": tree.commit,
        "committed_at": tree.committed_at,
        "source_url": source_url,
        "icons": len(svgs),
        "categories": list(by_category),
        "icons_by_category": by_category,
        "refused": [{"path": entry.path, "reason": entry.reason} for entry in tree.refused],
    }
    # Blob by blob: a library may hold gigabytes, and memory must not.
    files: dict = {}
    for path, data in tree.read_all():
        files[f"icons/{path}"] = store.put_blob(data)
        if stored:
            stored(len(files), len(paths))
    starter_link = "bioicons_pipeline/starter_library/static/icons/"
    permalinks = {path: starter_link + path if source == STARTER else tree.permalink(path) for path in svgs}
    files["snapshot.json"] = to_json({**facts, "permalinks": permalinks})
    return publish(store, SNAPSHOT, files, {**facts, "input_key": tree.commit})
