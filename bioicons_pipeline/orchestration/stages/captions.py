"""icon_captions: the captions of every included icon of a category.

Version tree: `captions.json`, icon_id -> {caption, captions}; `captions[0]` is `caption`.
"""

from pathlib import Path

from bioicons_pipeline.captioning import (
    GRAMMAR_VERSION,
    Captions,
    StyleFacts,
    caption_icon,
    distinguish,
    measure_picture,
)
from bioicons_pipeline.captioning.checks import check_captions, check_empty
from bioicons_pipeline.library.records import each_row
from bioicons_pipeline.orchestration.stages.base import (
    CAPTIONS,
    IMAGES,
    MANIFEST,
    Outcome,
    input_key,
    publish,
    read_json,
    require_ref,
    to_json,
    unchanged,
)
from bioicons_pipeline.orchestration.stages.codes import CODE_VERSIONS
from bioicons_pipeline.orchestration.stages.gates import blocking
from bioicons_pipeline.orchestration.stages.manifest import read_manifest
from bioicons_pipeline.store import Store

CODE_VERSION = CODE_VERSIONS[CAPTIONS]
BLOCKING = ("empty",)
"""Kinds of findings that stop a category; the others are for a person to look at."""


def key_of(manifest_version: str, images_version: str) -> str:
    """The key of what captions are made from, the tables and the grammar among it."""
    return input_key(
        code=CODE_VERSION, manifest=manifest_version, images=images_version, grammar=GRAMMAR_VERSION
    )


def caption(store: Store, category: str) -> Outcome:
    """Caption the included icons of `category`; facts: captioned, distinct."""
    manifest = require_ref(store, MANIFEST, category)
    images = store.version(require_ref(store, IMAGES, category).version_id)
    key = key_of(manifest.version_id, images.id)
    if done := unchanged(store, CAPTIONS, key, partition=category):
        return Outcome(done.version_id, False, done.info or {})
    frame = read_manifest(store, category)
    drawn = {entry.path for entry in images.files}
    made: dict[str, Captions] = {}
    own: dict[str, str] = {}
    families: dict[str, str] = {}
    pictures: dict[str, StyleFacts | None] = {}
    for row in each_row(frame.loc[frame["included"]]):
        path = f"png/{row.icon_id}.png"
        if path not in drawn:  # it did not render, and will not be in the dataset
            continue
        author = row.author_folder if isinstance(row.author_folder, str) else None
        icon = str(row.icon_id)
        alpha = f"alpha/{row.icon_id}.png"  # tells white paint from the paper seen through a ring
        picture = store.read(images, alpha if alpha in drawn else path)
        families[icon], pictures[icon] = str(row.family_id), measure_picture(picture)
        made[icon] = caption_icon(str(row.name), category, author=author, picture=pictures[icon])
        if isinstance(row.caption, str) and row.caption.strip():
            own[icon] = row.caption
    captions: dict[str, dict] = {}
    for icon, said in distinguish(made, families, pictures).items():
        # The curator's own words come first; the grammar's other wordings stay as variants.
        variants = list(dict.fromkeys([own.get(icon, said.text), *said.variants[1:]]))
        captions[icon] = {"caption": variants[0], "captions": variants}
    findings = check_captions(
        {icon: entry["captions"] for icon, entry in captions.items()},
        families,
        {icon: said.unknown for icon, said in made.items()},
        listed=(),
    )
    facts = {
        **blocking([f"{found.icon_id}: {found.message}" for found in findings if found.kind in BLOCKING]),
        "findings": [f"{found.kind}: {found.message}" for found in findings],
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


def without_caption(store: Store, category: str) -> list[str]:
    """Rendered icons of `category` without a caption, or with an empty one, blocked or not."""
    ref, images = (store.get_ref(asset, partition=category) for asset in (CAPTIONS, IMAGES))
    if ref is None or images is None:
        return []
    captions = read_json(store, ref.version_id, "captions.json")
    files = store.version(images.version_id).files
    drawn = {Path(entry.path).stem for entry in files if entry.path.startswith("png/")}
    empty = {finding.icon_id for finding in check_empty({k: v["captions"] for k, v in captions.items()})}
    return sorted((drawn - set(captions)) | empty)


def findings(store: Store, category: str) -> list[str]:
    """What a curator should look at in the captions of `category`."""
    ref = store.get_ref(CAPTIONS, partition=category)
    return [str(text) for text in (ref.info or {}).get("findings", [])] if ref else []


def examples(store: Store, version_id: str, count: int = 8) -> str:
    """Some captions of a version as a Markdown list."""
    captions = read_json(store, version_id, "captions.json")
    step = max(1, len(captions) // count)
    chosen = [captions[icon]["caption"] for icon in sorted(captions)][::step][:count]
    return "\n".join(f"- {text}" for text in chosen) or "no icon is included"
