"""What stands around a training: one process a run, and memory errors that say what to change.

Belongs here: context managers that know nothing of the training inside them. Does not belong here: the
training itself (run, loop).
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from bioicons_pipeline.training.config import TrainingConfig
from bioicons_pipeline.training.errors import TrainingError

PATIENCE_S = 20.0
"""How long to wait for a run's lock."""


@contextmanager
def only_one(run_dir: Path) -> Iterator[None]:
    """Hold this run's lock; the system frees it when the process ends, however it ends.

    A trainer whose parent was killed takes a moment to end; its successor waits that long for the lock.

    A POSIX record lock and no flock: processes that read the cache ahead would inherit a flock, and
    outlive a killed trainer by some seconds.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    with (run_dir / "lock").open("w") as file:
        ends = time.monotonic() + PATIENCE_S
        while True:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if time.monotonic() > ends:
                    raise TrainingError(
                        f"Another process is training this very run ({run_dir / 'lock'}): wait for it or "
                        "stop it."
                    ) from error
            time.sleep(0.2)
        yield


@contextmanager
def enough_memory(config: TrainingConfig, phase: str) -> Iterator[None]:
    """Turn an out-of-memory error into one sentence with the setting to change."""
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError, RuntimeError) as error:
        text = str(error).lower()
        ours = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not ours and "out of memory" not in text and "can't allocate memory" not in text:
            raise
        raise TrainingError(f"Out of memory while {phase}: {memory_advice(config)}.") from error


def memory_advice(config: TrainingConfig) -> str:
    """Which setting to change, the one that helps most first."""
    ways = []
    if config.batch_size > 1:
        half = config.batch_size // 2
        ways.append(
            f"set batch_size to {half} and accumulation to {config.accumulation * config.batch_size // half}"
        )
    if config.gradient_checkpointing is not True:
        ways.append("set gradient_checkpointing to true")
    if config.resolution > 512:
        ways.append(f"set resolution to 512 (now {config.resolution})")
    if config.t5_length > 128:
        ways.append(f"set t5_length to 128 (now {config.t5_length}; sample with the same)")
    if config.rank > 8:
        ways.append(f"set rank to {config.rank // 2} (now {config.rank})")
    return ", or ".join(ways) or "use a machine with more memory"
