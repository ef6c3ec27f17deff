"""What the manifests and datasets in the store were made from, held against what a run would start from.

Not the snapshot: that may have been taken, and nothing built from it since. What cannot be told of single
icons without running (what another version of the code says of them, say) is told of the category, as a cause
in words. Does not belong here: what follows from it (`outlook`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from bioicons_pipeline.captioning import GRAMMAR_VERSION
from bioicons_pipeline.library.curation import Curation, verdict
from bioicons_pipeline.library.licences import LicencePolicy, licence_of_folder
from bioicons_pipeline.library.observe import Listing, blob_id, listing
from bioicons_pipeline.library.records import ExclusionReason, icon_id, path_facts
from bioicons_pipeline.library.source import SourceError
from bioicons_pipeline.orchestration.stages import captions, dataset, images
from bioicons_pipeline.orchestration.stages.base import CAPTIONS, DATASET, IMAGES, MANIFEST, SNAPSHOT
from bioicons_pipeline.orchestration.stages.gone import WITHDRAWN
from bioicons_pipeline.orchestration.stages.manifest import (
    LIBRARY,
    MADE_BY,
    made_by,
    read_manifest,
    whole_manifest,
)
from bioicons_pipeline.store import Ref, Store, StoreError, Version

PRESET = "the licence preset is another one"
RENDER_SIZE = "the render size is another one"
TABLES = "the caption tables were edited"
CODE = "the code has a new version"
MANIFEST_NEWER = "the manifest is newer than what was made from it"
OTHER = "what it is made from moved, or the code has a new version"
"""Causes to build a category again that are not seen in the listing of its icons."""


@dataclass(frozen=True)
class Inputs:
    """What a run would start from: upstream's address and ref, and what people set."""

    source: str
    ref: str | None
    preset: str
    curation: str | None
    render_size: int


@dataclass(frozen=True)
class Icon:
    """A file of a listing. `content`: what tells it from another; `licence`: its SPDX id; `allowed`: by the
    preset; `used`: the manifest includes it; `decided`: what a curator decided about it, in words;
    `withdrawn`: and that it may not be used."""

    content: str
    category: str
    licence: str | None
    allowed: bool
    used: bool = True
    decided: str = ""
    withdrawn: bool = False


def present_icons(
    ids: Mapping[str, str], policy: LicencePolicy, curation: Curation, built: Mapping[str, Icon]
) -> dict[str, Icon]:
    """path → icon, of every SVG that upstream lists; ids: path → what tells one content from another.

    Of a file that did not change the licence is the one that the manifest found, which may be stricter than
    its folder's; `built`: as `built_icons` returns them.
    """
    found: dict[str, Icon] = {}
    for path, content in ids.items():
        if not path.lower().endswith(".svg"):
            continue
        facts, before = path_facts(path), built.get(path)
        of_folder = licence_of_folder(facts.licence_folder)
        licence = of_folder.spdx if of_folder else None
        if before is not None and before.content == content:
            licence = before.licence
        entries = curation.for_icon(icon_id(path), path)
        found[path] = Icon(
            content,
            next((str(one.value) for one in reversed(entries) if one.action == "category"), facts.category),
            licence,
            policy.allows(licence),
            decided="; ".join(entry.note for entry in entries),
            withdrawn=verdict(entries) == "withdraw",
        )
    # as in the manifest: what was withdrawn is so under every path
    withdrawn = {icon.content for icon in found.values() if icon.withdrawn}
    return {path: replace(icon, withdrawn=icon.content in withdrawn) for path, icon in found.items()}


def built_icons(
    store: Store, manifests: Mapping[str, pd.DataFrame], location: str, now: Listing, cache_dir: Path
) -> dict[str, Icon]:
    """path → icon, as the categories' `manifests` have them, told by the kind of ids that `now` has."""
    content_of = _contents(store, location, now, cache_dir)
    found: dict[str, Icon] = {}
    for category, manifest in manifests.items():
        for row in manifest.to_dict("records"):
            spdx = row["spdx"] if isinstance(row["spdx"], str) else None
            reasons = str(row["all_reasons"] or "").split(";")
            sha256 = str(row["sha256"])
            if sha256 not in content_of:
                content_of[sha256] = sha256 if now.hashed else _read_id(store, sha256)
            found[str(row["source_path"])] = Icon(
                content_of[sha256],
                category,
                spdx,
                # not `exclusion_reason`: a curator's word may stand there instead
                spdx is not None and ExclusionReason.LICENCE_NOT_IN_PRESET.value not in reasons,
                used=bool(row["included"]),
                decided=row["curation"] if isinstance(row["curation"], str) else "",
                withdrawn=row["exclusion_reason"] == ExclusionReason.WITHDRAWN_BY_CURATOR.value,
            )
    return found


def present_manifests(store: Store) -> dict[str, pd.DataFrame]:
    """category → its manifest, of those that have one and are not gone."""
    refs = store.list_refs(MANIFEST).items()
    return {name: read_manifest(store, name) for name, ref in refs if WITHDRAWN not in (ref.info or {})}


def _contents(store: Store, location: str, now: Listing, cache_dir: Path) -> dict[str, str]:
    """sha256 → id in git, of the files of the snapshot in the store, where no file need be read for it."""
    ref = store.get_ref(SNAPSHOT)
    if ref is None or now.hashed:
        return {}
    commit = str((ref.info or {}).get("commit"))
    try:
        ids = now.ids if commit == now.commit else listing(location, commit, cache_dir / "git").ids
    except SourceError:  # another source, or history that upstream has rewritten: the bytes will be asked
        return {}
    files = _files(store.version(ref.version_id))
    return {sha256: ids[path] for path, sha256 in files if path in ids}


def _files(version: Version) -> list[tuple[str, str]]:
    return [
        (entry.path.removeprefix("icons/"), entry.sha256)
        for entry in version.files
        if entry.path.startswith("icons/")
    ]


def _read_id(store: Store, sha256: str) -> str:
    try:
        return blob_id(store.read_blob(sha256))
    except StoreError:  # of a snapshot before this one, and pruned: equal to nothing that upstream has
        return sha256


def causes(store: Store, manifests: Mapping[str, pd.DataFrame], inputs: Inputs) -> dict[str, list[str]]:
    """category → why it would be built again besides what changed upstream; of those with a dataset."""
    library = store.get_ref(LIBRARY)
    said = ((library.info or {}) if library else {}).get(MADE_BY)
    # of a manifest of before this was kept, nothing is said
    new_code = said is not None and said != made_by()
    whole = dict(list(whole_manifest(store).groupby("category"))) if library else {}
    found = {}
    for category, manifest in manifests.items():
        names = (MANIFEST, IMAGES, CAPTIONS, DATASET)
        refs = {name: ref for name in names if (ref := store.get_ref(name, partition=category))}
        if len(refs) < len(names):
            continue  # not built to its end: said elsewhere
        why = [CODE] if new_code else []
        if category in whole and _moved(whole[category], manifest):
            why.append(MANIFEST_NEWER)
        found[category] = why + _below_the_manifest(refs, inputs)
    return found


def _moved(whole: pd.DataFrame, mine: pd.DataFrame) -> bool:
    return not whole.sort_values("source_path").reset_index(drop=True).equals(mine)


def _below_the_manifest(refs: Mapping[str, Ref], inputs: Inputs) -> list[str]:
    """Which of pictures, captions and dataset would not be left as they are, by the stages' own keys."""
    manifest, pictures = refs[MANIFEST].version_id, refs[IMAGES].version_id
    info = {name: ref.info or {} for name, ref in refs.items()}
    above = {name: ref for name, ref in refs.items() if name != DATASET}
    drawn = info[IMAGES].get("input_key") == images.key_of(manifest, inputs.render_size)
    captioned = info[CAPTIONS].get("input_key") == captions.key_of(manifest, pictures)
    built = info[DATASET].get("input_key") == dataset.key_of(above, inputs.preset)
    why = [
        *([RENDER_SIZE] if not drawn and info[IMAGES].get("size") != inputs.render_size else []),
        *([TABLES] if not captioned and info[CAPTIONS].get("grammar_version") != GRAMMAR_VERSION else []),
        *([PRESET] if not built and info[DATASET].get("licence_preset") != inputs.preset else []),
    ]
    return why if why or (drawn and captioned and built) else [OTHER]
