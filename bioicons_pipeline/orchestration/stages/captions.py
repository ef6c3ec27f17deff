"""icon_captions: the captions of every included icon of a category.

Version tree: `captions.json`, icon_id -> {caption, captions}; `captions[0]` is `caption`.
"""

from bioicons_pipeline.captioning import GRAMMAR_VERSION, caption_icon
from bioicons_pipeline.orchestration.stages.base import (
    CAPTIONS,
    MANIFEST,
    Outcome,
    input_key,
    publish,
    read_json,
    require_ref,
    to_json,
    unchanged,
)
from bioicons_pipeline.orchestration.stages.manifest import read_manifest
from bioicons_pipeline.store import Store

CODE_VERSION = "1"


def caption(store: Store, category: str) -> Outcome:
    """Caption the included icons of `category`; facts: captioned, distinct."""
    manifest = require_ref(store, MANIFEST, category)
    key = input_key(code=CODE_VERSION, manifest=manifest.version_id, grammar=GRAMMAR_VERSION)
    if done := unchanged(store, CAPTIONS, key, partition=category):
        return Outcome(done.version_id, False, done.info or {})
    frame = read_manifest(store, category)
    captions = {}
    for row in frame[frame["included"]].itertuples():
        made = caption_icon(str(row.name), category)
        # The curator's own words come first; the grammar's other wordings stay as variants.
        own = row.caption if isinstance(row.caption, str) and row.caption.strip() else None
        variants = list(dict.fromkeys([own or made.text, *made.variants[1:]]))
        captions[row.icon_id] = {"caption": variants[0], "captions": variants}
    facts = {
        "captioned": len(captions),
        "distinct": len({entry["caption"] for entry in captions.values()}),
        "grammar_version": GRAMMAR_VERSION,
    }
    return publish(
        store,
        CAPTIONS,
        {"captions.json": to_json(captions)},
        {**facts, "input_key": key},
        partition=category,
    )


def examples(store: Store, version_id: str, count: int = 8) -> str:
    """Some captions of a version as a Markdown list."""
    captions = read_json(store, version_id, "captions.json")
    step = max(1, len(captions) // count)
    chosen = [captions[icon]["caption"] for icon in sorted(captions)][::step][:count]
    return "\n".join(f"- {text}" for text in chosen) or "no icon is included"
