"""Curves in Weights & Biases, for those who ask for them; and the logs that a config wants, as one.

Belongs here: what is sent there. Does not belong here: the terminal and TensorBoard (progress). Only with
`online` anything leaves the machine: https://docs.wandb.ai/ref/python/init. A training that goes on after a
kill goes on in the same run there: its id is that of the run folder.

Told: the run's identity, losses, learning rate, validation images. It adds versions of
Python and packages itself; console, code, git state and figures of the machine are switched off.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from bioicons_pipeline.training.checkpoint import RunState
from bioicons_pipeline.training.config import TrainingConfig
from bioicons_pipeline.training.errors import TrainingError
from bioicons_pipeline.training.extras import require
from bioicons_pipeline.training.progress import TensorBoardLog

PRIVATE = {
    "console": "off",
    "save_code": False,
    "disable_code": True,
    "disable_git": True,
    "x_disable_stats": True,
    "x_disable_meta": True,
    "x_disable_machine_info": True,
    "silent": True,
}
"""Settings that keep everything but what is logged here on this machine."""


class Log(Protocol):
    """What a training tells its logs."""

    def step(self, state: RunState, rate: float) -> None:
        """A step is done."""
        ...

    def evaluation(self, evaluation: dict[str, Any]) -> None:
        """Fixed-noise losses of one step."""
        ...

    def validation(self, step: int, images: Sequence[Path]) -> None:
        """Validation images of one step."""
        ...

    def close(self) -> None:
        """Nothing more comes."""
        ...


def logs_of(config: TrainingConfig, run_dir: Path, step: int, identity: dict[str, Any]) -> Log:
    """The logs that `config` asks for, as one; `step`: the last one that was done.

    Raises:
        TrainingError: Weights & Biases was asked for and is not installed, or does not let us in.
    """
    logs: list[Log] = []
    if config.wandb != "off":  # the one that can refuse, before a file is opened
        logs.append(WandbLog(config, run_dir, identity))
    if config.tensorboard:
        logs.append(TensorBoardLog(run_dir / "tensorboard", purge_step=step + 1))
    return Logs(logs)


class Logs:
    """Several logs, told the same."""

    def __init__(self, logs: Sequence[Log]) -> None:
        self.logs = logs

    def step(self, state: RunState, rate: float) -> None:
        """See `Log`."""
        for log in self.logs:
            log.step(state, rate)

    def evaluation(self, evaluation: dict[str, Any]) -> None:
        """See `Log`."""
        for log in self.logs:
            log.evaluation(evaluation)

    def validation(self, step: int, images: Sequence[Path]) -> None:
        """See `Log`."""
        for log in self.logs:
            log.validation(step, images)

    def close(self) -> None:
        """See `Log`."""
        for log in self.logs:
            log.close()


class WandbLog:
    """One run in Weights & Biases, under the same names as in TensorBoard."""

    def __init__(self, config: TrainingConfig, run_dir: Path, identity: dict[str, Any]) -> None:
        self.wandb = require("wandb", f"wandb {config.wandb}", "set wandb to off", extra="wandb")
        if config.wandb == "online" and not self.wandb.api.api_key:  # it would ask, and a job would wait
            raise TrainingError(
                "Weights & Biases has no key for wandb online: run `wandb login`, set WANDB_API_KEY, or set "
                "wandb to offline."
            )
        try:
            self.run = self.wandb.init(
                project=config.wandb_project,
                id=run_dir.name,
                name=run_dir.name,
                resume="allow",
                mode=config.wandb,  # stands before WANDB_MODE
                dir=str(run_dir),
                config=identity,
                settings=self.wandb.Settings(**PRIVATE),
            )
        except self.wandb.Error as error:
            raise TrainingError(
                f"Weights & Biases does not begin a run ({str(error).splitlines()[0][:200]}): mend it, or "
                "set wandb to offline or off."
            ) from error

    def step(self, state: RunState, rate: float) -> None:
        """Loss, gradient norm and learning rate of the last step."""
        values = {"loss": state.losses[-1], "gradient_norm": state.grad_norms[-1], "learning_rate": rate}
        self._log({f"train/{name}": value for name, value in values.items()}, state.step)

    def evaluation(self, evaluation: dict[str, Any]) -> None:
        """Fixed-noise losses."""
        found = {
            f"fixed_noise/{split}": evaluation[split]["loss"]
            for split in ("train", "heldout")
            if evaluation[split]
        }
        self._log(found, evaluation["step"])

    def validation(self, step: int, images: Sequence[Path]) -> None:
        """The validation images of a step."""
        drawn = {
            f"validation/{number:02d}": self.wandb.Image(str(path)) for number, path in enumerate(images)
        }
        self._log(drawn, step)

    def close(self) -> None:
        """Finish the run; a training that was stopped goes on in it."""
        self.run.finish()

    def _log(self, values: dict[str, Any], step: int) -> None:
        if values:
            self.run.log(values, step=step)
