"""sample_grid: what the base draws and what the LoRA draws, from the same prompts and seeds.

Version tree: `grid.png`, `samples/<nn>-base.png`, `samples/<nn>-lora.png`, `samples.json` (prompt,
seed, real icon beside it, settings). A category that was not trained has `not_trained.json` instead.
"""

import io
import tempfile
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq

from bioicons_pipeline.captioning import caption_prompt, subject_of
from bioicons_pipeline.generation.carriers import png_bytes
from bioicons_pipeline.generation.grid import GridRow, compose
from bioicons_pipeline.generation.prompts import DEFAULT_SUBJECTS
from bioicons_pipeline.generation.sampler import SamplingSettings, load_pipeline, sample, suitable_batch
from bioicons_pipeline.orchestration.stages.base import (
    DATASET,
    GRID,
    WEIGHTS,
    Outcome,
    Progress,
    input_key,
    publish,
    require_ref,
    to_json,
    unchanged,
)
from bioicons_pipeline.orchestration.stages.codes import CODE_VERSIONS
from bioicons_pipeline.orchestration.stages.weights import NOT_TRAINED, ref_name, sampling_of
from bioicons_pipeline.store import Store
from bioicons_pipeline.training.base_models import BaseModel
from bioicons_pipeline.training.files import WEIGHTS_NAME

CODE_VERSION = CODE_VERSIONS[GRID]
REAL_ROWS = 5


def sampling_settings(base: BaseModel, trained: dict, choices: dict) -> SamplingSettings:
    """Sampling settings: what suits the base, the size and T5 length that the adapter was trained with,
    then `choices`.

    Raises:
        GenerationError: a value out of range.
    """
    known = {"size": trained.get("resolution"), "max_sequence_length": trained.get("t5_length")}
    chosen = {
        key: value for key, value in {**sampling_of(base), **known, **choices}.items() if value is not None
    }
    settings = SamplingSettings(**chosen)
    return settings if "batch" in chosen else replace(settings, batch=suitable_batch(settings.size))


def prompts_for(store: Store, dataset_version: str, category: str | None) -> list[dict]:
    """Rows of the grid: held-out icons with their captions (training ones where none is held out),
    then subjects of the project's own list; each {prompt, label, icon_id | None, png | None}."""
    version = store.version(dataset_version)
    found: list[dict] = []
    for split in ("heldout", "train"):
        for entry in version.files:
            if len(found) >= REAL_ROWS or not entry.path.startswith(f"data/{split}-"):
                continue
            table = pq.read_table(io.BytesIO(store.read(version, entry.path)))
            families: set[str] = set()
            for row in table.to_pylist():
                # In the library-wide grid one row per category, in a category's grid one per family.
                full = len(found) >= REAL_ROWS or (category is None and families)
                if full or row["family_id"] in families:
                    continue
                families.add(row["family_id"])
                found.append(
                    {
                        "prompt": row["caption"],
                        "label": f"{subject_of(row['name'])} ({row['category']})",
                        "icon_id": row["icon_id"],
                        "split": split,
                        "png": row["image"]["bytes"],
                    }
                )
    found += [
        {"prompt": caption_prompt(subject), "label": subject, "icon_id": None, "split": None, "png": None}
        for subject in DEFAULT_SUBJECTS
    ]
    return found


def draw(
    store: Store,
    category: str | None,
    base: BaseModel,
    choices: dict,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> Outcome:
    """Sample and compose the grid of `category` (None: the library) with `base` and its LoRA."""
    weights = require_ref(store, WEIGHTS, category, ref_name(base))
    dataset = str(
        (weights.info or {}).get("dataset_version") or require_ref(store, DATASET, category).version_id
    )
    settings = sampling_settings(base, dict(weights.info or {}), choices)
    key = input_key(
        code=CODE_VERSION, weights=weights.version_id, dataset=dataset, settings=vars(settings), seed=seed
    )
    if done := unchanged(store, GRID, key, partition=category, base=ref_name(base)):
        return Outcome(done.version_id, False, done.info or {})
    version = store.version(weights.version_id)
    where = {"partition": category, "base": ref_name(base)}
    if any(entry.path == NOT_TRAINED for entry in version.files):
        record = store.read(version, NOT_TRAINED)
        return publish(
            store, GRID, {NOT_TRAINED: record}, {"status": "not trained", "input_key": key}, **where
        )
    rows = prompts_for(store, dataset, category)
    seeds = [seed + index for index in range(len(rows))]
    lora = store.read(version, WEIGHTS_NAME)
    plain, tuned = _both(base, lora, [row["prompt"] for row in rows], seeds, settings, progress)
    title = f"{category or 'whole library'} on {base.name}"
    made_of = f"dataset {dataset[:12]} · adapter {weights.version_id[:12]}"
    how = f"{settings.steps} steps · guidance {settings.guidance} · same seed in each row"
    files = {"grid.png": _sheet(rows, plain, tuned, base.name, title, f"{made_of} · {how}")}
    for index, pair in enumerate(zip(plain, tuned, strict=True)):
        for kind, image in zip(("base", "lora"), pair, strict=True):
            files[f"samples/{index:02d}-{kind}.png"] = png_bytes(image)
    kept = [
        {k: v for k, v in row.items() if k != "png"} | {"seed": s} for row, s in zip(rows, seeds, strict=True)
    ]
    files["samples.json"] = to_json({"rows": kept, "settings": vars(settings), "dataset": dataset})
    facts = {"status": "sampled", "prompts": len(rows), "adapter": weights.version_id, "input_key": key}
    return publish(store, GRID, files, facts, **where)


def _both(
    base: BaseModel, lora: bytes, prompts: list[str], seeds: list[int], settings: SamplingSettings,
    progress: Progress | None,
) -> tuple[list, list]:  # fmt: skip
    """The pictures of the base alone, and with the LoRA, from the same seeds."""
    with tempfile.TemporaryDirectory(prefix="bioicons-grid-") as scratch:
        path = Path(scratch) / WEIGHTS_NAME
        path.write_bytes(lora)
        pipeline = load_pipeline(base, [path])
        plain = sample(pipeline, prompts, seeds, settings, scales=(), progress=_half(progress, False))
        tuned = sample(pipeline, prompts, seeds, settings, scales=(1.0,), progress=_half(progress, True))
    return plain, tuned


def _half(progress: Progress | None, second: bool) -> Progress | None:
    """What one of two equal halves calls to report on the whole."""
    if progress is None:
        return None
    tell = progress
    return lambda done, total: tell(second * total + done, 2 * total)


def _sheet(rows: list[dict], plain: list, tuned: list, base_name: str, title: str, footer: str) -> bytes:
    """PNG: the real icon where there is one, the base, the LoRA; a row per prompt."""
    from PIL import Image

    reals = [Image.open(io.BytesIO(row["png"])).convert("RGB") if row["png"] else None for row in rows]
    notes = {"heldout": "held out of training", "train": "seen in training", None: ""}
    shown = [
        GridRow(row["label"], tuple(pictures), notes[row["split"]])
        for row, *pictures in zip(rows, reals, plain, tuned, strict=True)
    ]
    return png_bytes(compose(shown, ("real icon", base_name, "with LoRA"), title, footer, blocks=2))
