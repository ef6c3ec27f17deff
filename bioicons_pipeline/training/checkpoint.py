"""Checkpoints to resume from: complete or absent, the newest few kept, never pickled.

Belongs here: folders `step-<n>` with weights, optimizer, random state and progress, and the refusal of a
foreign one. Does not belong here: what is published (export). A folder is written beside its place under
a name that no reader looks for, fsynced, and renamed; a kill at any moment leaves it complete or absent.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from bioicons_pipeline.training.errors import CheckpointMismatchError, TrainingError

FORMAT = 2
_PREFIX = "step-"


@dataclass
class RunState:
    """How far a run is; everything in it is JSON-able and survives a resume bit by bit."""

    step: int = 0
    losses: list[float] = field(default_factory=list)
    """Mean loss of each optimizer step."""
    grad_norms: list[float] = field(default_factory=list)
    """Gradient norm of each step before clipping."""
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    best_step: int | None = None
    best_loss: float | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as read: progress and tensors by name."""

    state: RunState
    weights: dict[str, Tensor]
    mean: dict[str, Tensor]
    """Running mean of the weights; empty where none is kept."""
    optimizer: dict[str, Tensor]
    rng: dict[str, Tensor]


def save_checkpoint(root: Path, identity: dict[str, Any], checkpoint: Checkpoint, *, keep: int) -> Path:
    """Write `root/step-<n>`, then remove all but the newest `keep` and the best.

    identity: what run this is (dataset, base, config); compared when the checkpoint is read.
    """
    root.mkdir(parents=True, exist_ok=True)
    target = root / f"{_PREFIX}{checkpoint.state.step:08d}"
    files = {
        "weights.safetensors": save(checkpoint.weights),
        "optimizer.safetensors": save(checkpoint.optimizer),
        "rng.safetensors": save(checkpoint.rng),
    }
    if checkpoint.mean:
        files["mean.safetensors"] = save(checkpoint.mean)
    description = {
        "format": FORMAT,
        "identity": identity,
        "state": asdict(checkpoint.state),
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    }
    files["state.json"] = json.dumps(description, indent=1, sort_keys=True).encode()
    building = Path(tempfile.mkdtemp(prefix=".tmp-", dir=root))
    try:
        for name, data in files.items():
            with (building / name).open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        _sync_folder(building)
        if target.exists():  # the same step of the same run, written again after a resume
            discard(target)
        building.rename(target)
        _sync_folder(root)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    prune(root, keep=keep, best_step=checkpoint.state.best_step)
    return target


def checkpoints(root: Path) -> list[Path]:
    """Complete checkpoints in `root`, oldest first."""
    if not root.is_dir():
        return []
    return sorted(path for path in root.iterdir() if path.name.startswith(_PREFIX) and path.is_dir())


def checkpoint_of(root: Path, step: int) -> Path:
    """Folder of the checkpoint of `step`, whether or not it exists."""
    return root / f"{_PREFIX}{step:08d}"


def prune(root: Path, *, keep: int, best_step: int | None) -> None:
    """Remove all checkpoints but the newest `keep` and the one of `best_step`."""
    for path in checkpoints(root)[:-keep]:
        if best_step is None or path != checkpoint_of(root, best_step):
            discard(path)


def sweep(root: Path) -> None:
    """Remove what a killed process left behind; only while no other process writes into `root`."""
    if root.is_dir():
        for path in root.iterdir():
            if path.name.startswith((".tmp-", ".old-")):
                shutil.rmtree(path, ignore_errors=True)


def check_checkpoint(path: Path, identity: dict[str, Any]) -> dict[str, Any]:
    """The description of the checkpoint in `path`, without its tensors; cheap.

    Raises:
        CheckpointMismatchError: it is of another dataset, base or config; the message names every difference.
        TrainingError: there is none.
    """
    try:
        description = json.loads((path / "state.json").read_bytes())
    except (OSError, ValueError) as error:
        raise TrainingError(f"There is no checkpoint in {path}: give a folder named {_PREFIX}<n>.") from error
    if description.get("format") != FORMAT:
        raise CheckpointMismatchError(
            f"The checkpoint {path} has another format version: start the training anew."
        )
    differences = describe_differences(description["identity"], identity)
    if differences:
        raise CheckpointMismatchError(
            f"The checkpoint {path} is of another training ({'; '.join(differences)}): resume it with the "
            "same dataset, base and config, or start anew."
        )
    return description


def load_checkpoint(path: Path, identity: dict[str, Any]) -> Checkpoint:
    """Read the checkpoint in `path`.

    Raises:
        CheckpointMismatchError: see `check_checkpoint`.
        TrainingError: there is none, or a file of it is damaged.
    """
    description = check_checkpoint(path, identity)
    tensors = {}
    for name, expected in description["sha256"].items():
        try:
            data = (path / name).read_bytes()
        except OSError as error:
            raise TrainingError(
                f"The checkpoint {path} lacks {name}: delete this folder and run again."
            ) from error
        if hashlib.sha256(data).hexdigest() != expected:
            raise TrainingError(
                f"The checkpoint file {path / name} is damaged: delete its folder and run again."
            )
        tensors[name] = load(data)
    return Checkpoint(
        state=RunState(**description["state"]),
        weights=tensors["weights.safetensors"],
        mean=tensors.get("mean.safetensors", {}),
        optimizer=tensors["optimizer.safetensors"],
        rng=tensors["rng.safetensors"],
    )


def best_beside(path: Path, root: Path, identity: dict[str, Any]) -> Path | None:
    """Folder of the checkpoint that the one in `path` knows as the best so far, where `root` lacks it.

    None: `root` has it, or nothing was evaluated yet. A run that goes on from `path` may have to export it.

    Raises:
        CheckpointMismatchError, TrainingError: see `check_checkpoint`; also when it is not beside `path`.
    """
    state = check_checkpoint(path, identity)["state"]
    best = state["best_step"]
    if best is None or checkpoint_of(root, best).is_dir():
        return None
    found = path if best == state["step"] else checkpoint_of(path.parent, best)
    if not found.is_dir():
        raise TrainingError(
            f"The checkpoint {path} says that step {best} was the best so far, and {found} is not there: put "
            "it beside the other, or start anew."
        )
    check_checkpoint(found, identity)
    return found


def adopt(path: Path, root: Path, identity: dict[str, Any]) -> None:
    """Copy the checkpoint in `path` into `root`, complete or not at all; nothing in `root` is pruned."""
    save_checkpoint(root, identity, load_checkpoint(path, identity), keep=len(checkpoints(root)) + 1)


def describe_differences(theirs: Any, ours: Any, where: str = "") -> list[str]:
    """`field: theirs there, ours here` for every leaf that differs between two JSON-able values."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        found = []
        for key in sorted({*theirs, *ours}):
            name = f"{where}.{key}" if where else str(key)
            found += describe_differences(theirs.get(key), ours.get(key), name)
        return found
    return [] if theirs == ours else [f"{where}: {theirs} there, {ours} here"]


def rng_tensors() -> dict[str, Tensor]:
    """State of torch's global generators (samples have generators of their own)."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def load_rng(tensors: dict[str, Tensor]) -> None:
    """Put the state of `rng_tensors` back."""
    torch.set_rng_state(tensors["cpu"])
    if "cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["cuda"])


def discard(path: Path) -> None:
    """Remove a folder so that no moment shows half of it under its name."""
    doomed = Path(tempfile.mkdtemp(prefix=".old-", dir=path.parent))
    path.rename(doomed / path.name)
    shutil.rmtree(doomed, ignore_errors=True)


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
