"""icon_dataset: manifest, pictures and captions become a Hugging Face dataset, with its credits.

Version tree: what `bioicons_pipeline.dataset` writes (`data/*.parquet`, README.md, ATTRIBUTION.*,
LICENSES/, dataset.json). The library-wide twin is the union of the categories' shards, which are the
same blobs, under a card of its own.
"""

import csv
import io
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from bioicons_pipeline.captioning import GRAMMAR_VERSION, TRIGGER
from bioicons_pipeline.dataset import DatasetInfo, DatasetRow, findings, write_card, write_shards
from bioicons_pipeline.library.findings import torn
from bioicons_pipeline.library.licences import policy_for
from bioicons_pipeline.orchestration.stages.base import (
    CAPTIONS,
    DATASET,
    IMAGES,
    MANIFEST,
    SNAPSHOT,
    Outcome,
    Progress,
    input_key,
    publish,
    read_json,
    require_ref,
    unchanged,
)
from bioicons_pipeline.orchestration.stages.codes import CODE_VERSIONS
from bioicons_pipeline.orchestration.stages.gates import BlockedError, check_open
from bioicons_pipeline.orchestration.stages.manifest import read_manifest
from bioicons_pipeline.store import BlobRef, Ref, Store, Version

CODE_VERSION = CODE_VERSIONS[DATASET]
_Written = tuple[dict, Version]
LIBRARY_PARTITION = None
"""Refs of library-wide twins have no partition: the store files them under `__all__`."""


class DatasetRefusedError(BlockedError):
    """A dataset with wrong counts, a missing credit, or a leak between training and held-out icons."""


class LicenceGateError(BlockedError):
    """An icon whose licence is outside the preset was about to enter a dataset."""


def rows_of(store: Store, category: str) -> tuple[list[DatasetRow], pd.DataFrame]:
    """The dataset's rows of a category and the manifest rows they come from: included and rendered."""
    frame = read_manifest(store, category)
    images = store.version(require_ref(store, IMAGES, category).version_id)
    pictures = {entry.path: entry.sha256 for entry in images.files}
    reports = read_json(store, images.id, "rendering.json")
    captions = read_json(store, require_ref(store, CAPTIONS, category).version_id, "captions.json")
    kept = frame.loc[frame["included"] & frame["icon_id"].map(lambda icon: f"png/{icon}.png" in pictures)]
    rows = []
    for record in kept.to_dict("records"):
        icon = str(record["icon_id"])
        side = int(reports[icon]["report"].get("size", 0)) or _side(store, pictures[f"png/{icon}.png"])
        url = record["author_url"]
        rows.append(
            DatasetRow(
                **{name: str(record[name]) for name in _COPIED},
                author_url=url if isinstance(url, str) and url else None,
                category=category,
                caption=captions[icon]["caption"],
                captions=tuple(captions[icon]["captions"]),
                width=side,
                height=side,
                png=lambda sha=pictures[f"png/{icon}.png"]: store.read_blob(sha),
            )
        )
    return rows, kept


_COPIED = ("icon_id", "sha256", "name", "author", "spdx", "licence_url", "source_url", "family_id", "split")


def _side(store: Store, sha256: str) -> int:
    from PIL import Image

    return Image.open(io.BytesIO(store.read_blob(sha256))).width


def _gate(frame: pd.DataFrame, preset: str) -> None:
    """Raise unless every icon's licence is allowed: the gate stands in the code path, not in a check."""
    policy = policy_for(preset)
    outside = frame[~frame["spdx"].map(lambda spdx: policy.allows(spdx))]
    if len(outside):
        first = outside.iloc[0]
        raise LicenceGateError(
            f"{len(outside)} icons are outside the licence preset {preset!r}, the first being "
            f"{first['source_path']} ({first['spdx']}): materialize {MANIFEST} again with this preset."
        )


def _info(store: Store, title: str, preset: str, size: int, manifest_info: dict | None) -> DatasetInfo:
    snapshot = require_ref(store, SNAPSHOT, None).info or {}
    origin = manifest_info or snapshot
    return DatasetInfo(
        title=title,
        source_url=str(origin.get("source_url", snapshot.get("source_url", ""))),
        commit=str(origin.get("commit", snapshot.get("commit", ""))),
        committed_at=origin.get("committed_at", snapshot.get("committed_at")),
        licence_preset=preset,
        trigger=TRIGGER,
        grammar_version=GRAMMAR_VERSION,
        render_size=size,
    )


def _kept(before: Ref | None, info: DatasetInfo, write: Callable[[DatasetInfo], _Written]) -> _Written:
    """What `write` makes of `info`; of the upstream commit of `before`, while that gives the same version.

    So the card tells where this content first appeared, and a commit that touches no icon of the dataset
    leaves its version alone, and everything that is built from it.
    """
    if before is not None:
        first = {name: (before.info or {}).get(name) for name in ("commit", "committed_at")}
        if first["commit"] and (made := write(replace(info, **first)))[1].id == before.version_id:
            return made
    return write(info)


def key_of(refs: Mapping[str, Ref], preset: str) -> str:
    """The key of what a category's dataset is made from; refs: of `MANIFEST`, `IMAGES` and `CAPTIONS`."""
    return input_key(
        code=CODE_VERSION, preset=preset, **{asset: ref.version_id for asset, ref in refs.items()}
    )


def build(store: Store, category: str, preset: str, *, progress: Progress | None = None) -> Outcome:
    """Build the dataset of `category`; facts are those of `dataset.json`.

    Raises:
        LicenceGateError: an icon outside `preset` got this far.
        DatasetRefusedError: see there.
    """
    refs = {asset: require_ref(store, asset, category) for asset in (MANIFEST, IMAGES, CAPTIONS)}
    key = key_of(refs, preset)
    if done := unchanged(store, DATASET, key, partition=category):
        return Outcome(done.version_id, False, done.info or {})
    rows, frame = rows_of(store, category)
    _gate(frame, preset)
    size = int((refs[IMAGES].info or {}).get("size", 0))
    info = _info(store, f"bioicons: {category}", preset, size, refs[MANIFEST].info)
    with tempfile.TemporaryDirectory(prefix="bioicons-dataset-") as scratch:
        folder = Path(scratch)
        counts = write_shards(rows, folder, progress)

        def write(info: DatasetInfo) -> _Written:
            return write_card(frame, info, counts, folder), store.commit_tree(folder)

        facts, version = _kept(store.get_ref(DATASET, partition=category), info, write)
    _check(store, version, category)
    return publish(store, DATASET, version, {**facts, "input_key": key}, partition=category)


def build_library(store: Store, categories: list[str], preset: str) -> Outcome:
    """The library-wide dataset: the shards of `categories`, one card over them.

    A category that a gate has stopped is left out until it is mended, and the fact `left_out` says why: its
    last good dataset may hold an icon that was withdrawn since.

    Raises:
        MissingInputError: a category has no dataset yet.
        BlockedError: all of them are stopped.
    """
    stopped = {category: reason for category in categories if (reason := _stopped(store, category))}
    if categories and len(stopped) == len(categories):
        raise BlockedError(f"Every category is stopped. {next(iter(stopped.values()))}")
    refs = {name: require_ref(store, DATASET, name) for name in categories if name not in stopped}
    key = input_key(
        code=CODE_VERSION, preset=preset, datasets={name: ref.version_id for name, ref in refs.items()}
    )
    if done := unchanged(store, DATASET, key, partition=LIBRARY_PARTITION):
        return Outcome(done.version_id, False, {**(done.info or {}), "left_out": stopped})
    files: dict[str, bytes | Path | BlobRef] = {}
    frames = []
    for category, ref in refs.items():
        for entry in store.version(ref.version_id).files:
            if entry.path.startswith("data/"):
                files[entry.path] = BlobRef(entry.sha256, entry.size)
        frames.append(rows_of(store, category)[1])
    frame = pd.concat(frames, ignore_index=True)
    _gate(frame, preset)
    counts = {split: list(frame["split"]).count(split) for split in ("train", "heldout")}
    size = max(int((ref.info or {}).get("render_size", 0)) for ref in refs.values())
    info = _info(store, "bioicons", preset, size, None)
    with tempfile.TemporaryDirectory(prefix="bioicons-dataset-") as scratch:
        folder = Path(scratch)

        def write(info: DatasetInfo) -> _Written:
            facts = write_card(frame, info, counts, folder)
            card = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
            return facts, store.commit({**files, **card})

        facts, version = _kept(store.get_ref(DATASET, partition=LIBRARY_PARTITION), info, write)
    _check(store, version, "the library")
    facts = {**facts, "input_key": key}
    outcome = publish(store, DATASET, version, facts, partition=LIBRARY_PARTITION)
    return replace(outcome, facts={**outcome.facts, "left_out": stopped})


def _stopped(store: Store, category: str) -> str | None:
    """What a gate says of the inputs of a category's dataset; None where they are open or not there yet."""
    for asset in (MANIFEST, IMAGES, CAPTIONS):
        ref = store.get_ref(asset, partition=category)
        try:
            check_open(asset, category, ref.info if ref else None)
        except BlockedError as error:
            return str(error)
    return None


def _check(store: Store, version: Version, name: str) -> None:
    """Raise where a dataset that was just written is not as it must be: the last good one stays current."""
    faults = [fault for found in faults_of(store, version).values() for fault in found]
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise DatasetRefusedError(
            f"The dataset of {name} is refused: {faults[0]}{more}. Materialize {MANIFEST} again; what was "
            "built before stays."
        )


def faults_of(store: Store, version: Version) -> dict[str, list[str]]:
    """What is wrong with a dataset version, read from its files: by `counts`, `credits` and `leaks`."""
    rows = _columns(store, version, list(findings.COLUMNS))
    credited = csv.DictReader(io.StringIO(store.read(version, "ATTRIBUTION.csv").decode()))
    return {
        "counts": findings.count_faults(rows, read_json(store, version.id, "dataset.json")),
        "credits": findings.credit_faults(rows, {row["icon_id"] for row in credited}),
        "leaks": findings.leaks(rows),
    }


def current_faults(store: Store, category: str | None) -> dict[str, list[str]]:
    """The same of the current dataset; {} where there is none."""
    ref = store.get_ref(DATASET, partition=category)
    return faults_of(store, store.version(ref.version_id)) if ref else {}


def _columns(store: Store, version: Version, columns: list[str]) -> pd.DataFrame:
    """Columns of every shard of a dataset, with the split of the shard they lie in."""
    frames = []
    for entry in version.files:
        if entry.path.startswith("data/"):
            shard = pd.read_parquet(io.BytesIO(store.read(version, entry.path)), columns=columns)
            split = entry.path.removeprefix("data/").split("-", 1)[0]
            frames.append(shard.assign(split=split, category_shard=entry.path))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=[*columns, "split"])


def licences_outside(store: Store, category: str | None, preset: str) -> list[str]:
    """icon_ids in the current dataset whose licence is outside `preset`."""
    frame = _columns(store, _current(store, category), ["icon_id", "spdx"])
    policy = policy_for(preset)
    return sorted(frame[~frame["spdx"].map(lambda spdx: policy.allows(spdx)).astype(bool)]["icon_id"])


def torn_families(store: Store, category: str | None) -> list[str]:
    """family_ids in the current dataset with icons both in training and held out."""
    return torn(_columns(store, _current(store, category), ["family_id"]))


def _current(store: Store, category: str | None) -> Version:
    return store.version(require_ref(store, DATASET, category).version_id)
