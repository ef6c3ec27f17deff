"""Does a LoRA on flux-nano learn its category: held-out loss over seeds, and with shuffled captions.

    python benchmarks/nano_lora.py --store data/store [--category Animals] [--folds 4]
    python benchmarks/nano_lora.py --store data/store --category library

The dataset is the category's newest in the store (`bioicons run --category Animals --until icon_dataset`). A
category holds out a handful of icons, and of nine a single one decides. So its icons are dealt by family into
folds, and each seed holds out another fold: in the end every icon was judged once. The whole library, which
holds out 169, keeps its own split.

Trained once per seed, and once per seed on the same pictures with captions dealt out at random; both are
judged on the same held-out icons with their own captions, at the same noise and sigmas. Writes
benchmarks/results/nano_lora.json, for other categories nano_lora_CATEGORY.json.
"""

import argparse
import io
import json
import os
import platform
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from bioicons_pipeline.dataset import sampling_weights
from bioicons_pipeline.store import Store, Version
from bioicons_pipeline.store.names import ALL
from bioicons_pipeline.training import files as weight_files
from bioicons_pipeline.training.base_models import resolve_base
from bioicons_pipeline.training.config import TrainingConfig
from bioicons_pipeline.training.data import WEIGHTS_FILE
from bioicons_pipeline.training.presets import preset
from bioicons_pipeline.training.request import TrainingRequest
from bioicons_pipeline.training.run import train

RESULTS = Path(__file__).parent / "results"
CATEGORY = "Animals"
EVAL_ICONS = 256  # all that are held out
STEPS = 150
"""Of a category. After more its icons are learnt by heart, and the held-out loss rises again: a run exports
its best step, this benchmark the last."""
OWN, SHUFFLED = "own captions", "shuffled captions"


def tables(store: Store, version: Version) -> tuple[pa.Table, pa.Table]:
    """The dataset's icons: (train, held out)."""

    def split(name: str) -> pa.Table:
        paths = [entry.path for entry in version.files if entry.path.startswith(f"data/{name}-")]
        return pa.concat_tables(
            pq.read_table(io.BytesIO(store.read(version, path))) for path in sorted(paths)
        )

    return split("train"), split("heldout")


def dealt(train: pa.Table, heldout: pa.Table, fold: int, folds: int) -> tuple[pa.Table, pa.Table]:
    """The same icons with one of `folds` equal parts of the families held out instead."""
    icons = pa.concat_tables([train, heldout]).sort_by("icon_id")
    families = icons["family_id"].to_pylist()
    names = sorted(set(families))
    order = np.random.default_rng(0).permutation(len(names))
    chosen = {names[index] for index in order[fold::folds]}
    out = pa.array([family in chosen for family in families])
    return icons.filter(pc.invert(out)), icons.filter(out)


def shuffled(train: pa.Table, seed: int) -> pa.Table:
    """The same pictures with each other's captions."""
    order = pa.array(np.random.default_rng(seed).permutation(train.num_rows))
    for name in ("caption", "captions"):
        at = train.schema.get_field_index(name)
        train = train.set_column(at, train.schema.field(name), train[name].take(order))
    return train


def written(store: Store, version: Version, train: pa.Table, heldout: pa.Table) -> str:
    """Id of a version of the dataset with these icons, and the sampling weights that they would have."""
    columns = (train[name].to_pylist() for name in ("icon_id", "family_id", "author"))
    files = {
        entry.path: store.read(version, entry.path)
        for entry in version.files
        if not entry.path.startswith("data/")
    }
    files[WEIGHTS_FILE] = sampling_weights(zip(*columns, strict=True)).as_csv().encode()
    for name, table in (("train", train), ("heldout", heldout)):
        buffer = io.BytesIO()
        pq.write_table(table, buffer)
        files[f"data/{name}-icons.parquet"] = buffer.getvalue()
    return store.commit(files).id


def summary(runs: list[dict]) -> dict:
    """What the runs say together; each seed has its own noise, so changes are compared within a seed."""
    own = [run for run in runs if run["captions"] == OWN]
    other = [run for run in runs if run["captions"] == SHUFFLED]
    gains = [run["base_loss"] - run["lora_loss"] for run in own]
    against = [two["lora_loss"] - one["lora_loss"] for one, two in zip(own, other, strict=True)]
    error = float(np.std(against, ddof=1)) / len(against) ** 0.5 if len(against) > 1 else None
    by_sigma = [
        np.subtract(two["lora_by_sigma"], one["lora_by_sigma"]) for one, two in zip(own, other, strict=True)
    ]
    return {
        "gain_over_base": {
            "mean": float(np.mean(gains)),
            "spread": float(np.ptp(gains)),
            "worst": min(gains),
        },
        "gain_over_shuffled": {
            "mean": float(np.mean(against)),
            "standard_error": error,
            "worst": min(against),
            "by_sigma": np.mean(by_sigma, axis=0).round(5).tolist(),
        },
    }


def trained(
    store: Store, version_id: str, base: str, partition: str, work: Path, config: TrainingConfig
) -> dict:
    """One training: losses before and after."""
    started = time.perf_counter()
    outcome = train(
        TrainingRequest(
            store_root=str(store.root),
            dataset_version=version_id,
            base=base,
            config=config,
            partition=partition,
            work_dir=str(work),
        ),
        quiet=True,
    )
    assert outcome is not None
    report = json.loads(store.read(store.version(outcome.version_id), weight_files.REPORT_NAME))
    return {
        "icons": {"train": outcome.icons, "heldout": outcome.heldout_icons},
        "base_loss": outcome.heldout_loss_before,
        "lora_loss": outcome.heldout_loss_after,
        "lora_by_sigma": report["evaluations"][-1]["heldout"]["by_sigma"],
        "train_before": outcome.train_loss_before,
        "train_after": outcome.train_loss_after,
        "seconds": round(time.perf_counter() - started, 1),
    }


def kept(out: Path, given: dict) -> list[dict]:
    """The runs of an earlier result.

    Raises:
        SystemExit: it was measured on something else.
    """
    earlier = json.loads(out.read_text())
    # as JSON has it: a tuple comes back as a list
    other = [name for name, value in json.loads(json.dumps(given)).items() if earlier.get(name) != value]
    if other:
        raise SystemExit(f"{out} was measured with another {', '.join(other)}: run without --append")
    return earlier["runs"]


def main() -> None:
    """Train, compare, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--category", default=CATEGORY)
    parser.add_argument("--folds", type=int, help="0: the dataset's own split; default: 4, for the library 0")
    parser.add_argument("--base", default="flux-nano")
    parser.add_argument("--seeds", type=int, help="default: one a fold, 3 without folds")
    parser.add_argument(
        "--append", action="store_true", help="keep the runs that the result has, go on with the next seed"
    )
    parser.add_argument("--steps", type=int, help=f"default: {STEPS}, for the library the preset's")
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--out", type=Path, help="default: see above")
    options = parser.parse_args()
    partition = ALL if options.category == "library" else options.category
    folds = options.folds if options.folds is not None else (0 if partition == ALL else 4)
    suffix = "" if options.category == CATEGORY else f"_{options.category.lower()}"
    out = options.out or RESULTS / f"nano_lora{suffix}.json"
    store = Store(options.store)
    ref = store.get_ref("icon_dataset", partition=partition)
    if ref is None:
        parser.error(
            f"no dataset of {options.category} in {options.store}: make it with `bioicons run` first"
        )
    version = store.version(ref.version_id)
    steps = options.steps or (None if partition == ALL else STEPS)
    changed = {"steps": steps, "learning_rate": options.learning_rate}
    changed = {name: value for name, value in changed.items() if value is not None}
    # the last adapter, not the best: the held-out icons that judge must not choose
    config = preset("cpu-nano", eval_icons=EVAL_ICONS, tensorboard=False, export="last", **changed)
    train_icons, heldout = tables(store, version)
    # a folder of its own: a training that was done before would be taken from it, and its time be nothing
    scratch = tempfile.TemporaryDirectory(prefix="nano_lora-")
    given = {
        "category": options.category,
        "dataset": ref.version_id,
        "base": options.base,
        "base_fingerprint": resolve_base(options.base, ".").fingerprint,
        "icons": {"train": train_icons.num_rows, "heldout": heldout.num_rows},
        "folds": folds,
        "config": config.identity(),
    }
    runs = kept(out, given) if options.append else []
    for seed in range(len(runs) // 2, options.seeds or folds or 3):
        pair = dealt(train_icons, heldout, seed % folds, folds) if folds else (train_icons, heldout)
        for kind in (OWN, SHUFFLED):
            icons = pair[0] if kind == OWN else shuffled(pair[0], seed)
            version_id = written(store, version, icons, pair[1])
            seeded = config.model_copy(update={"seed": seed})
            found = trained(store, version_id, options.base, partition, Path(scratch.name), seeded)
            runs.append({"captions": kind, "seed": seed, **found})
            print(json.dumps(runs[-1]), flush=True)
        result = {
            **given,
            "runs": runs,
            **summary(runs),
            "machine": {
                "cores": os.cpu_count(),
                "threads": torch.get_num_threads(),
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
        }
        # after every seed: what is measured is not lost with the rest
        out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({key: result[key] for key in ("gain_over_base", "gain_over_shuffled")}))


if __name__ == "__main__":
    main()
