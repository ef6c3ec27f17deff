"""lora_sweep: one training for every combination of learning rate, steps and rank, and one table of them all.

Version tree: `sweep.csv` and `sweep.json` (a row a training: settings, held-out loss, time), `grid.png` (the
same prompts and seeds from every adapter), `runs/<name>/…` (each training's own files). A training that
diverged has a row, which says so, and no files. Every training looks at the same held-out icons, noise and
sigmas, so its losses can be compared. What is shown is the last step's adapter: the best of a long run is
often that of a shorter one, and would hide what the steps did.
"""

import csv
import io
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.orchestration.stages import weights
from bioicons_pipeline.orchestration.stages.base import (
    DATASET,
    Guard,
    Outcome,
    input_key,
    publish,
    require_ref,
    to_json,
    unchanged,
)
from bioicons_pipeline.orchestration.stages.codes import CODE_VERSIONS
from bioicons_pipeline.store import BlobRef, Store
from bioicons_pipeline.training.base_models import BaseModel
from bioicons_pipeline.training.config import TrainingConfig, parse_config
from bioicons_pipeline.training.files import REPORT_NAME, VALIDATION_FOLDER, VALIDATION_PROMPTS
from bioicons_pipeline.training.request import TrainingRequest

SWEEP = "lora_sweep"
TABLE, PICTURE = "sweep.json", "grid.png"
CODE_VERSION = CODE_VERSIONS[SWEEP]
MOST = 48
"""Trainings of one sweep: more is most often a slip of the comma."""
COLUMNS = (
    "learning_rate",
    "steps",
    "rank",
    "heldout_loss_before",
    "heldout_loss",
    "train_loss",
    "best_step",
    "best_heldout_loss",
    "seconds",
    "parameters",
    "version",
    "failed",
)
SHOWN = COLUMNS[3:-2]
"""Columns of the table for people; the name says the first three."""


@dataclass(frozen=True)
class Axes:
    """Values to combine; an empty axis is the preset's own value (learning rate: half, once and twice it)."""

    learning_rates: tuple[float, ...] = ()
    steps: tuple[int, ...] = ()
    ranks: tuple[int, ...] = ()

    def configs(self, config: TrainingConfig) -> dict[str, TrainingConfig]:
        """The trainings by name. alpha follows the rank, so that the scale stays the preset's.

        Raises:
            BioiconsError: too many of them, or a value out of range.
        """
        rates = self.learning_rates
        if not (self.learning_rates or self.steps or self.ranks):
            rates = tuple(factor * config.learning_rate for factor in (0.5, 1.0, 2.0))
        combined = list(
            itertools.product(
                dict.fromkeys(rates or (config.learning_rate,)),
                dict.fromkeys(self.steps or (config.steps,)),
                dict.fromkeys(self.ranks or (config.rank,)),
            )
        )
        if len(combined) > MOST:
            raise BioiconsError(
                f"This sweep has {len(combined)} trainings: give fewer values, at most {MOST} together."
            )
        return {
            f"lr{rate:g}-steps{steps}-rank{rank}": _one(config, rate, steps, rank)
            for rate, steps, rank in combined
        }


def _one(config: TrainingConfig, rate: float, steps: int, rank: int) -> TrainingConfig:
    changes = {
        "learning_rate": rate,
        "steps": steps,
        "rank": rank,
        "alpha": config.alpha / config.rank * rank if rank else config.alpha,
        "warmup_steps": min(config.warmup_steps, max(0, steps // 10)),
        "validation_every": max(1, steps),
        "export": "last",
    }
    return parse_config({**config.model_dump(), **changes})


@dataclass(frozen=True)
class SweepPlan:
    """One of: `done` (nothing changed since the last time), or the requests by name, in order."""

    key: str
    requests: dict[str, TrainingRequest]
    done: Outcome | None = None


def plan(
    store: Store,
    category: str | None,
    base: BaseModel,
    config: TrainingConfig,
    axes: Axes,
    *,
    base_argument: str,
    work_dir: Path,
    cache_dir: Path,
) -> SweepPlan:
    """The trainings of a sweep of `category` (None: the whole library) on `base`.

    Raises:
        BioiconsError: no dataset, too few icons, or too many trainings.
    """
    dataset = require_ref(store, DATASET, category).version_id
    configs = axes.configs(config)
    key = input_key(
        code=CODE_VERSION,
        dataset=dataset,
        base=base.fingerprint,
        configs={name: one.identity() for name, one in configs.items()},
    )
    done = unchanged(store, SWEEP, key, partition=category, base=weights.ref_name(base))
    if done:
        return SweepPlan(key, {}, Outcome(done.version_id, False, done.info or {}))
    # once for all of them: it reads the dataset, to see that every icon of it may still be used
    asked = weights.request_for(
        store, category, config, base_argument=base_argument, work_dir=work_dir, cache_dir=cache_dir
    ).model_copy(update={"base_revision": base.revision})
    requests = {
        name: asked.model_copy(update={"config": one, "input_key": weights.training_key(dataset, base, one)})
        for name, one in configs.items()
    }
    return SweepPlan(key, requests)


def row_of(
    store: Store, name: str, request: TrainingRequest, version_id: str, seconds: float
) -> dict[str, Any]:
    """One line of the table."""
    report = json.loads(store.read(store.version(version_id), REPORT_NAME))
    best = [item for item in report["evaluations"] if item["step"] == report["best_step"]]
    return {
        "name": name,
        "learning_rate": request.config.learning_rate,
        "steps": request.config.steps,
        "rank": request.config.rank,
        "heldout_loss_before": report["heldout_loss_before"],
        "heldout_loss": report["heldout_loss_after"],
        "train_loss": report["train_loss_after"],
        "best_step": report["best_step"],
        "best_heldout_loss": best[0]["heldout"]["loss"] if best else None,
        "seconds": round(seconds, 2),
        "parameters": report["adapter"]["parameters"],
        "version": version_id,
        "failed": None,
    }


def failed_row(name: str, request: TrainingRequest, sentence: str) -> dict[str, Any]:
    """The line of a training that diverged, which `sentence` says: nothing measured."""
    asked = {key: getattr(request.config, key) for key in ("learning_rate", "steps", "rank")}
    return {"name": name, **dict.fromkeys(COLUMNS), **asked, "failed": sentence}


def finish(
    store: Store,
    category: str | None,
    base: BaseModel,
    made: SweepPlan,
    rows: Sequence[dict[str, Any]],
    guard: Guard | None = None,
) -> Outcome:
    """Commit the table, the grid and every training's files as one version; the best first in the table, what
    failed last.

    Raises:
        BioiconsError: all of them failed.
    """
    good = sorted(
        (row for row in rows if not row["failed"]),
        key=lambda row: (row["heldout_loss"] is None, row["heldout_loss"], row["train_loss"]),
    )
    failed = [row for row in rows if row["failed"]]
    if not good:
        raise BioiconsError(f"None of the {len(rows)} trainings finished; the first: {failed[0]['failed']}")
    ordered = [*good, *failed]
    files: dict[str, bytes | Path | BlobRef] = {TABLE: to_json(ordered), "sweep.csv": _csv(ordered)}
    for row in good:
        for entry in store.version(row["version"]).files:
            files[f"runs/{row['name']}/{entry.path}"] = BlobRef(entry.sha256, entry.size)
    files[PICTURE] = grid(store, ordered, f"{category or 'whole library'} on {base.name}")
    first = next(iter(made.requests.values()))
    facts = {
        "status": "swept",
        "trainings": len(ordered),
        "failed": len(failed),
        "best": ordered[0]["name"],
        "dataset_version": first.dataset_version,
        "base": base.name,
        "input_key": made.key,
    }
    name = weights.ref_name(base)
    return publish(store, SWEEP, files, facts, partition=category, base=name, guard=guard)


def read(store: Store, outcome: Outcome, name: str) -> bytes:
    """A file of the sweep."""
    return store.read(store.version(outcome.version_id), name)


def markdown(table: bytes) -> str:
    """`sweep.json` as a table for people."""
    rows, shown = json.loads(table), ("name", *SHOWN)
    lines = [f"| {' | '.join(shown)} |", "|---|" + "---:|" * (len(shown) - 1)]
    lines += [f"| {' | '.join(cells(row, shown, '.4f'))} |" for row in rows]
    return "\n".join([*lines, *(f"\n{sentence}" for sentence in failures(rows))])


def cells(row: Mapping[str, Any], shown: Sequence[str], digits: str) -> list[str]:
    """A row's values as text, floats as the format `digits` has them; of a training that failed, that it did
    stands where its held-out loss would."""
    if row.get("failed"):  # tables of before there was this column have none
        row = {**row, "heldout_loss": "failed"} | {key: "–" for key in SHOWN if key != "heldout_loss"}
    return [f"{row[key]:{digits}}" if isinstance(row[key], float) else str(row[key]) for key in shown]


def failures(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence for each training that failed."""
    return [f"{row['name']} failed: {row['failed']}" for row in rows if row.get("failed")]


def _csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    text = io.StringIO()
    writer: csv.DictWriter[str] = csv.DictWriter(text, ("name", *COLUMNS), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _title(row: Mapping[str, Any]) -> str:
    return f"{row['learning_rate']:g} · {row['steps']} · r{row['rank']}{' failed' if row['failed'] else ''}"


def grid(store: Store, rows: Sequence[dict[str, Any]], title: str) -> bytes:
    """PNG: a row per prompt; the base, then every training in the table's order, from the same seeds."""
    from PIL import Image

    from bioicons_pipeline.generation.carriers import png_bytes
    from bioicons_pipeline.generation.grid import GridRow, compose

    shown = json.loads(store.read(store.version(rows[0]["version"]), VALIDATION_PROMPTS))

    def images(row: dict[str, Any], step: int) -> list[Image.Image | None]:
        if row["failed"]:
            return [None] * len(shown["prompts"])
        version = store.version(row["version"])
        folder = f"{VALIDATION_FOLDER}/step-{step:08d}/"
        names = sorted(entry.path for entry in version.files if entry.path.startswith(folder))
        return [Image.open(io.BytesIO(store.read(version, name))).convert("RGB") for name in names]

    columns = [images(rows[0], 0), *(images(row, row["steps"]) for row in rows)]
    picture = compose(
        [
            GridRow(prompt, cells)
            for prompt, cells in zip(shown["prompts"], zip(*columns, strict=True), strict=True)
        ],
        ("base", *map(_title, rows)),
        f"Sweep of {title}",
        "learning rate · steps · rank, lowest held-out loss first; the same seed in each row",
    )
    return png_bytes(picture)
