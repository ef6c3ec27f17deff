"""Does a LoRA on flux-nano learn its category: held-out loss over seeds, and with shuffled captions.

    python benchmarks/nano_lora.py --store data/store [--category Human_physiology]
    python benchmarks/nano_lora.py --store data/store --category library

The dataset is the category's newest in the store (`bioicons run --category Human_physiology --until
icon_dataset`); that category has the most held-out icons, 28 of the 169 in the sample of the library.
Trained once per seed, and once per seed on the same pictures with captions dealt out at random; all are
judged on the same held-out icons, noise and sigmas. Writes benchmarks/results/nano_lora.json, for the whole
library nano_lora_library.json.
"""

import argparse
import io
import json
import os
import platform
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from bioicons_pipeline.store import Store
from bioicons_pipeline.store.names import ALL
from bioicons_pipeline.training.presets import preset
from bioicons_pipeline.training.request import TrainingRequest
from bioicons_pipeline.training.run import train

RESULTS = Path(__file__).parent / "results"
EVAL_ICONS = 256  # all that are held out


def shuffled(store: Store, version_id: str, seed: int) -> str:
    """A version of the dataset whose training icons have each other's captions."""
    version = store.version(version_id)
    tables = {
        entry.path: pq.read_table(io.BytesIO(store.read(version, entry.path)))
        for entry in version.files
        if entry.path.startswith("data/")
    }
    train_paths = sorted(path for path in tables if path.startswith("data/train-"))
    columns = ["caption", "captions"]
    rows = [row for path in train_paths for row in tables[path].select(columns).to_pylist()]
    order = np.random.default_rng(seed).permutation(len(rows))
    dealt = iter([rows[index] for index in order])
    for path in train_paths:
        table = tables[path]
        given = [next(dealt) for _ in range(table.num_rows)]
        for name in columns:
            field = table.schema.field(name)
            values = pa.array([row[name] for row in given], field.type)
            table = table.set_column(table.schema.get_field_index(name), field, values)
        tables[path] = table
    # all else stays, above all the sampling weights: without them other icons would be drawn more often
    files = {
        entry.path: store.read(version, entry.path)
        for entry in version.files
        if not entry.path.startswith("data/")
    }
    for path, table in tables.items():
        buffer = io.BytesIO()
        pq.write_table(table, buffer)
        files[path] = buffer.getvalue()
    return store.commit(files).id


def summary(category: str, dataset: str, icons: dict, config: dict, runs: list[dict]) -> dict:
    """What the runs say together; each seed has its own noise, so changes are compared within a seed."""
    own = [run["lora_loss"] for run in runs if run["captions"] == "own captions"]
    other = [run["lora_loss"] for run in runs if run["captions"] != "own captions"]
    gains = [run["base_loss"] - run["lora_loss"] for run in runs if run["captions"] == "own captions"]
    return {
        "category": category,
        "dataset": dataset,
        "icons": icons,
        "config": config,
        "runs": runs,
        "gain_over_base": {
            "mean": float(np.mean(gains)),
            "spread": float(np.ptp(gains)),
            "worst": min(gains),
        },
        "gain_over_shuffled": {
            "mean": float(np.mean(np.subtract(other, own))),
            "worst": float(np.min(np.subtract(other, own))),
        },
        "machine": {"cores": os.cpu_count(), "torch": torch.__version__, "python": platform.python_version()},
    }


def main() -> None:
    """Train, compare, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--category", default="Human_physiology")
    parser.add_argument("--base", default="flux-nano")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--work", type=Path, default=Path("data/nano_lora"))
    parser.add_argument("--out", type=Path, help="default: see above")
    options = parser.parse_args()
    store = Store(options.store)
    partition = ALL if options.category == "library" else options.category
    out = options.out or RESULTS / ("nano_lora_library.json" if partition == ALL else "nano_lora.json")
    ref = store.get_ref("icon_dataset", partition=partition)
    if ref is None:
        parser.error(
            f"no dataset of {options.category} in {options.store}: make it with `bioicons run` first"
        )
    changed = {"steps": options.steps, "learning_rate": options.learning_rate}
    changed = {name: value for name, value in changed.items() if value is not None}
    runs = []
    for seed in range(options.seeds):
        for kind in ("own captions", "shuffled captions"):
            version = ref.version_id if kind == "own captions" else shuffled(store, ref.version_id, seed)
            config = preset(
                "cpu-nano", seed=seed, eval_icons=EVAL_ICONS, tensorboard=False, export="last", **changed
            )
            started = time.perf_counter()
            outcome = train(
                TrainingRequest(
                    store_root=str(options.store),
                    dataset_version=version,
                    base=options.base,
                    config=config,
                    partition=partition,
                    work_dir=str(options.work),
                ),
                quiet=True,
            )
            assert outcome is not None
            run = {
                "captions": kind,
                "seed": seed,
                "base_loss": outcome.heldout_loss_before,
                "lora_loss": outcome.heldout_loss_after,
                "train_before": outcome.train_loss_before,
                "train_after": outcome.train_loss_after,
                "seconds": round(time.perf_counter() - started, 1),
            }
            runs.append(run)
            print(json.dumps(run), flush=True)
        # after every seed: what is measured is not lost with the rest
        icons = {"train": outcome.icons, "heldout": outcome.heldout_icons}
        result = summary(options.category, ref.version_id, icons, config.identity(), runs)
        out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({key: result[key] for key in ("gain_over_base", "gain_over_shuffled")}))


if __name__ == "__main__":
    main()
