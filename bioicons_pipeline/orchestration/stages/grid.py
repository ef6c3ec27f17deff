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
from bioicons_pipeline.orchestration.stages.weights import NOT_TRAINED, ref_name
from bioicons_pipeline.store import Store
from bioicons_pipeline.training.base_models import BaseModel
from bioicons_pipeline.training.files import WEIGHTS_NAME

CODE_VERSION = CODE_VERSIONS[GRID]
REAL_ROWS = 5


def sampling_settings(trained: dict, choices: dict) -> SamplingSettings:
    """Sampling settings: the size and T5 length that the adapter was trained with, then `choices`.

    Raises:
        GenerationError: a value out of range.
    """
    known = {"size": trained.get("resolution"), "max_sequence_length": trained.get("t5_length")}
    chosen = {key: value for key, value in {**known, **choices}.items() if value is not None}
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


def _half(progress: Progress | None, second: bool) -> Progress | None:
    """What one of two equal halves calls to report on the whole."""
    if progress is None:
        return None
    tell = progress
    return lambda done, total: tell(second * total + done, 2 * total)


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
    settings = sampling_settings(dict(weights.info or {}), choices)
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
    from PIL import Image

    rows = prompts_for(store, dataset, category)
    seeds = [seed + index for index in range(len(rows))]
    prompts = [row["prompt"] for row in rows]
    with tempfile.TemporaryDirectory(prefix="bioicons-grid-") as scratch:
        lora = Path(scratch) / WEIGHTS_NAME
        lora.write_bytes(store.read(version, WEIGHTS_NAME))
        pipeline = load_pipeline(base, [lora])
        both = [
            sample(
                pipeline,
                prompts,
                seeds,
                settings,
                scales=(1.0,) if with_lora else (),
                progress=_half(progress, with_lora),
            )
            for with_lora in (False, True)
        ]
    reals = [Image.open(io.BytesIO(row["png"])).convert("RGB") if row["png"] else None for row in rows]
    notes = {"heldout": "held out of training", "train": "seen in training", None: ""}
    picture = compose(
        [
            GridRow(row["label"], (real, plain, tuned), notes[row["split"]])
            for row, real, plain, tuned in zip(rows, reals, *both, strict=True)
        ],
        ("real icon", f"{base.name}", "with LoRA"),
        f"{category or 'whole library'} on {base.name}",
        f"dataset {dataset[:12]} · adapter {weights.version_id[:12]} · {settings.steps} steps · "
        f"guidance {settings.guidance} · same seed in each row",
        blocks=2,
    )
    files = {"grid.png": png_bytes(picture)}
    for index, (plain, tuned) in enumerate(zip(*both, strict=True)):
        files[f"samples/{index:02d}-base.png"] = png_bytes(plain)
        files[f"samples/{index:02d}-lora.png"] = png_bytes(tuned)
    kept = [
        {k: v for k, v in row.items() if k != "png"} | {"seed": s} for row, s in zip(rows, seeds, strict=True)
    ]
    files["samples.json"] = to_json({"rows": kept, "settings": vars(settings), "dataset": dataset})
    facts = {"status": "sampled", "prompts": len(rows), "adapter": weights.version_id, "input_key": key}
    return publish(store, GRID, files, facts, **where)
