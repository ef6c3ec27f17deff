"""The training loop: batches, optimizer steps, evaluations, checkpoints. Nothing else costs time here.

Belongs here: what happens between the first and the last step, whatever is trained. Does not belong here:
what a batch is and what its loss is (lora, pretrain), getting ready and publishing (run). The loop never
sees an encoder or a picture.
"""

from __future__ import annotations

import math
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from bioicons_pipeline.training import checkpoint as checkpoints
from bioicons_pipeline.training.checkpoint import Checkpoint, RunState
from bioicons_pipeline.training.config import LoopConfig
from bioicons_pipeline.training.device import any_says, of_main_process
from bioicons_pipeline.training.errors import NonFiniteError
from bioicons_pipeline.training.optimizers import load_optimizer, make_optimizer, optimizer_tensors


def batches(source: torch.utils.data.Dataset[Any], first: int, last: int, workers: int) -> Iterator[Any]:
    """Batches `first` to `last` − 1 in order, read ahead by `workers` processes."""
    loader = torch.utils.data.DataLoader(
        source,
        batch_size=None,
        sampler=range(first, last),
        num_workers=workers,
        collate_fn=_as_it_is,
        # torch draws a seed for its workers from a generator: not from the global one
        generator=torch.Generator().manual_seed(0),
        worker_init_fn=_quiet_reader,
    )
    return iter(loader)


def _as_it_is(batch: Any) -> Any:
    """No lambda: where Python does not fork, a worker is sent this by its name."""
    return batch


def _quiet_reader(_: int) -> None:
    """A reader ends when the trainer does, and says nothing of it.

    Ctrl-C reaches the whole process group: the trainer answers it. A trainer that stops or is killed drops
    the connection over which torch hands it a tensor, and the reader's server thread would print a
    traceback of that to the user's terminal. What goes wrong with a batch travels to the trainer with the
    batch, not this way.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    shown = sys.excepthook

    def excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not isinstance(error, (ConnectionError, EOFError)):
            shown(kind, error, trace)

    sys.excepthook = excepthook


def learning_rate(config: LoopConfig, step: int) -> float:
    """Learning rate of optimizer step `step`, from 0; a pure function, so there is no state to save."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return config.learning_rate
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    factor = 1 - done if config.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))
    return config.learning_rate * factor


@dataclass(kw_only=True)
class Loop:
    """One run on one process. `fit` goes from `state.step` to `config.steps`.

    A subclass says what is trained (`trained`), what a batch costs (`losses`), whom to name when that is
    not finite (`blame`), and what an evaluation looks at (`evaluate_splits`).
    """

    config: Any
    """A LoopConfig, or what a subclass needs beyond it."""
    model: Any
    """The model as called in training (wrapped for several processes)."""
    accelerator: Any
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext
    source: Any
    """A map-style dataset: batch number of the whole run → batch."""
    checkpoint_dir: Path
    identity: dict[str, Any]
    on_step: Callable[[RunState, float], None] = lambda state, rate: None
    on_evaluation: Callable[[RunState, dict[str, Any]], None] = lambda state, evaluation: None
    on_settled: Callable[[RunState], None] = lambda state: None
    """Called before the first step and after each one, unless the run stops there: for what takes long."""
    on_saved: Callable[[bool], None] = lambda last_chance: None
    """Called by the main process after each checkpoint; told whether there will be no other."""
    stop_asked: Callable[[], bool] | None = None
    """Whether this host is about to go: then the run ends after the step it is in, with a checkpoint. All
    processes have it, or none; one that says so stops them all."""
    state: RunState = field(default_factory=RunState)

    def __post_init__(self) -> None:
        self.device: torch.device = self.accelerator.device
        self.parameters: dict[str, torch.nn.Parameter] = self.trained()
        self.names = list(self.parameters)
        self.optimizer = make_optimizer(self.config, list(self.parameters.values()), self.device)
        self.mean: dict[str, Tensor] | None = None
        if self.config.ema_decay:
            self.mean = {name: value.detach().clone() for name, value in self.parameters.items()}

    # --- what a subclass says ---

    def trained(self) -> dict[str, torch.nn.Parameter]:
        """The trained parameters by name, in the order in which the optimizer holds them."""
        raise NotImplementedError

    def losses(self, batch: Any) -> Tensor:
        """Loss per sample, (B,) fp32, differentiable."""
        raise NotImplementedError

    def blame(self, batch: Any, bad: Sequence[int] | None) -> tuple[Sequence[str], Sequence[float]]:
        """Icons and sigmas of the samples `bad` of a batch, or of all of them."""
        raise NotImplementedError

    def evaluate_splits(self) -> dict[str, dict[str, Any] | None]:
        """`{"train": {"loss": …, …}, "heldout": …}`; None for a split without icons."""
        raise NotImplementedError

    def share_gradients(self) -> None:
        """Called once a step, between backward pass and clipping: average the gradients over the processes,
        where no wrapper of the model has done so."""

    def tensors(self) -> dict[str, Tensor]:
        """Copies of the trained weights on the CPU, under the names that `set_tensors` takes."""
        return {name: value.detach().cpu().clone() for name, value in self.parameters.items()}

    @torch.no_grad()
    def set_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Overwrite the trained weights."""
        for name, value in self.parameters.items():
            value.copy_(tensors[name])

    # --- the loop ---

    def resume(self, path: Path) -> None:
        """Go on from the checkpoint in `path`; see `load_checkpoint` for what is refused."""
        read = self.resume_weights(path)
        load_optimizer(self.optimizer, self.names, read.optimizer)
        checkpoints.load_rng(read.rng)
        self.state = read.state

    def fit(self) -> None:
        """Train to the last step. Whoever stops it loses at most `checkpoint_every` steps.

        Raises:
            KeyboardInterrupt: `stop_asked` said so; the checkpoint is written.
        """
        config, state = self.config, self.state
        # all have read the checkpoint they go on from before the main process replaces it by a later one
        self.accelerator.wait_for_everyone()
        if self._look():  # at a step where it was stopped before it came to that
            self.save(last_chance=state.step == config.steps)
        first = state.step * config.accumulation
        stream = batches(self.source, first, config.steps * config.accumulation, config.workers)
        while state.step < config.steps:
            started = time.perf_counter()
            self.train_step(stream)
            state.seconds += time.perf_counter() - started
            self.on_step(state, learning_rate(config, state.step - 1))
            # before evaluation and images: of the notice that a host gets, these can take all
            if self._stop_agreed():
                self.save(last_chance=True)
                raise KeyboardInterrupt
            last = state.step == config.steps
            if self._look() or last or state.step % config.checkpoint_every == 0:
                self.save(last_chance=last)

    def _look(self) -> bool:
        """What is due at this step and not done yet: images, evaluation; whether the latter was the best."""
        step, every = self.state.step, self.config.eval_every
        self.on_settled(self.state)
        seen = {item["step"] for item in self.state.evaluations}
        due = not seen or step == self.config.steps or bool(every and step % every == 0)
        return due and step not in seen and self.evaluate()

    def _stop_agreed(self) -> bool:
        """Whether a process was asked to stop. All hear the same: one that went on alone would wait for ever
        for the gradients of the others."""
        return self.stop_asked is not None and any_says(self.stop_asked(), self.accelerator)

    def train_step(self, stream: Iterator[Any]) -> None:
        """One optimizer step over `accumulation` forward passes."""
        config, state = self.config, self.state
        total = 0.0
        batch = None
        for micro in range(config.accumulation):
            batch = next(stream)
            final = micro == config.accumulation - 1
            with nullcontext() if final else self.accelerator.no_sync(self.model):
                losses = self.losses(batch)
                self.accelerator.backward(losses.mean() / config.accumulation)
            total += self._checked(losses, batch)
        self.share_gradients()
        values = list(self.parameters.values())
        norm = float(torch.nn.utils.clip_grad_norm_(values, config.max_grad_norm or math.inf))
        if not math.isfinite(norm):
            raise NonFiniteError("gradient", state.step + 1, *self.blame(batch, None))
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(config, state.step)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self._average()
        state.step += 1
        state.losses.append(total / config.accumulation)
        state.grad_norms.append(norm)

    def _checked(self, losses: Tensor, batch: Any) -> float:
        """Mean of the losses over all processes; stops where one is not finite."""
        values = losses.detach().tolist()
        bad = [index for index, value in enumerate(values) if not math.isfinite(value)]
        if bad:
            raise NonFiniteError("loss", self.state.step + 1, *self.blame(batch, bad))
        if self.accelerator.num_processes == 1:
            return sum(values) / len(values)
        return float(self.accelerator.reduce(losses.detach().mean(), reduction="mean"))

    @torch.no_grad()
    def _average(self) -> None:
        """Move the running mean towards the weights; early on faster, else it would remember the start."""
        if self.mean is None:
            return
        decay = min(self.config.ema_decay, (1 + self.state.step) / (10 + self.state.step))
        torch._foreach_lerp_(list(self.mean.values()), list(self.parameters.values()), 1 - decay)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The running mean in the place of the weights, for evaluation and export; nothing without one."""
        if self.mean is None:
            yield
            return
        kept = {name: value.data for name, value in self.parameters.items()}
        try:
            for name, value in self.parameters.items():
                value.data = self.mean[name]
            yield
        finally:
            for name, value in self.parameters.items():
                value.data = kept[name]

    def evaluate(self) -> bool:
        """Fixed-noise losses at this step; True when the held-out loss is the best of a trained model."""
        state = self.state
        with self.averaged():
            losses = self.evaluate_splits()
        # cards may differ in the last digits: were another step the best for one process, it would save alone
        found: dict[str, Any] = {"step": state.step, **of_main_process(losses, self.accelerator)}
        state.evaluations.append(found)
        self.on_evaluation(state, found)
        if state.step == 0 or found["heldout"] is None:
            return False
        loss = found["heldout"]["loss"]
        if state.best_loss is None or loss < state.best_loss:
            state.best_step, state.best_loss = state.step, loss
            return True
        return False

    def save(self, *, last_chance: bool = False) -> None:
        """Write a checkpoint of this step (the main process only; the others wait for it).

        last_chance: there will be no other, because the run ends, or the host does.
        """
        if self.accelerator.is_main_process:
            made = Checkpoint(
                state=self.state,
                weights=self.tensors(),
                mean={name: value.cpu() for name, value in (self.mean or {}).items()},
                optimizer=optimizer_tensors(self.optimizer, self.names),
                rng=checkpoints.rng_tensors(),
            )
            checkpoints.save_checkpoint(
                self.checkpoint_dir, self.identity, made, keep=self.config.keep_checkpoints
            )
            self.on_saved(last_chance)
        self.accelerator.wait_for_everyone()

    def restore_best(self) -> int:
        """Put the weights of the best evaluation in place, for export; the step they are of."""
        best = self.state.best_step
        if best is not None and best != self.state.step:
            self.resume_weights(checkpoints.checkpoint_of(self.checkpoint_dir, best))
            return best
        return self.state.step

    def resume_weights(self, path: Path) -> Checkpoint:
        """Weights and running mean of the checkpoint in `path`, without its place in the run."""
        read = checkpoints.load_checkpoint(path, self.identity)
        self.set_tensors(read.weights)
        if self.mean is not None:
            for name, value in self.mean.items():
                value.copy_(read.mean[name])
        return read
