"""How a running training is seen: bar in a terminal, lines in a log, TensorBoard, messages to the caller.

Belongs here: showing. Does not belong here: deciding anything. The bar and the lines go to stderr; stdout
is for the result.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from bioicons_pipeline.training.checkpoint import RunState

Send = Callable[[dict[str, Any]], None]

_LINE_EVERY = 5.0
"""Seconds between two progress lines where there is no terminal."""


class Display:
    """Shows the phases of one training on stderr and hands every event to `send` as a dict.

    Events: `{"event": "phase", "phase", "done", "total"}`, `{"event": "step", "step", "steps", "loss", …}`,
    `{"event": "evaluation", "step", "train", "heldout"}`, `{"event": "validation", "step", "images"}`,
    `{"event": "note", "text"}`.
    """

    def __init__(self, *, steps: int, send: Send | None = None, quiet: bool = False) -> None:
        self.steps = steps
        self.send = send or (lambda event: None)
        self.quiet = quiet
        self.console = Console(stderr=True, quiet=quiet)
        self.live = self.console.is_terminal and not quiet
        self._last_line = -_LINE_EVERY
        self._rate: float | None = None
        self._seen: tuple[int, float] | None = None
        self._task: tuple[str, TaskID] | None = None
        self._bar = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
        )

    def __enter__(self) -> Display:
        if self.live:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self._bar.stop()

    def note(self, text: str) -> None:
        """One line for the reader."""
        if not self.quiet:
            self.console.print(text, highlight=False, markup=False, soft_wrap=True)
        self.send({"event": "note", "text": text})

    def phase(self, name: str, done: int, total: int) -> None:
        """Progress of the phase `name` (images, captions)."""
        self._advance(name, done, total, "")
        if self._due(done == total):
            self.send({"event": "phase", "phase": name, "done": done, "total": total})

    def phase_of(self, name: str) -> Callable[[int, int], None]:
        """The progress callback of the phase `name`; it may be called from several threads."""
        return lambda done, total: self.phase(name, done, total)

    def step(self, state: RunState, rate: float) -> None:
        """A training step is done; `rate` is its learning rate."""
        now = time.monotonic()
        if self._seen is not None and now > self._seen[1]:
            speed = (state.step - self._seen[0]) / (now - self._seen[1])
            self._rate = speed if self._rate is None else 0.9 * self._rate + 0.1 * speed
        self._seen = (state.step, now)
        recent = state.losses[-20:]
        loss = sum(recent) / len(recent)
        speed_text = f"{self._rate:.1f} steps/s" if self._rate else ""
        memory = memory_text()
        self._advance(
            "training", state.step, self.steps, f"loss {loss:.4f}  lr {rate:.1e}  {speed_text}  {memory}"
        )
        if self._due(state.step == self.steps):
            left = (self.steps - state.step) / self._rate if self._rate else None
            self.send(
                {
                    "event": "step",
                    "step": state.step,
                    "steps": self.steps,
                    "loss": loss,
                    "learning_rate": rate,
                    "steps_per_second": self._rate,
                    "seconds_left": left,
                    "memory": memory,
                }
            )
            self._last_line = now

    def evaluation(self, state: RunState, evaluation: dict[str, Any]) -> None:
        """Fixed-noise losses of one step."""
        found = {
            split: evaluation[split]["loss"] if evaluation[split] else None for split in ("train", "heldout")
        }
        heldout = "no held-out icons" if found["heldout"] is None else f"held-out {found['heldout']:.4f}"
        train = "" if found["train"] is None else f"train {found['train']:.4f}, "
        best = "  (best)" if state.best_step == state.step and state.step else ""
        if not self.quiet:
            self.console.print(
                f"step {state.step:>5}: fixed-noise loss {train}{heldout}{best}",
                highlight=False,
                markup=False,
            )
        self.send({"event": "evaluation", "step": state.step, **found})

    def validation(self, step: int, images: Sequence[Path]) -> None:
        """Validation images of one step were drawn."""
        text = f"step {step:>5}: {len(images)} validation images in {images[0].parent}"
        if not self.quiet:
            self.console.print(text, highlight=False, markup=False, soft_wrap=True)
        self.send({"event": "validation", "step": step, "images": [str(path) for path in images]})

    def _due(self, final: bool) -> bool:
        return final or time.monotonic() - self._last_line >= _LINE_EVERY

    def _advance(self, name: str, done: int, total: int, facts: str) -> None:
        if self.live:
            if self._task is None or self._task[0] != name:
                self._task = (name, self._bar.add_task(name, total=total, facts=facts))
            self._bar.update(self._task[1], completed=done, total=total, facts=facts)
        elif not self.quiet and self._due(done == total):
            left = ""
            if name == "training" and self._rate and done < total:
                left = f"  {(total - done) / self._rate:.0f} s left"
            self.console.print(
                f"{name} {done}/{total}  {facts}{left}".rstrip(), highlight=False, markup=False
            )
            if name != "training":
                self._last_line = time.monotonic()


class TensorBoardLog:
    """Scalars of a run as TensorBoard event files in `folder`."""

    def __init__(self, folder: Path, purge_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(folder), purge_step=purge_step)

    def step(self, state: RunState, rate: float) -> None:
        """Loss, gradient norm and learning rate of the last step."""
        self.writer.add_scalar("train/loss", state.losses[-1], state.step)
        self.writer.add_scalar("train/gradient_norm", state.grad_norms[-1], state.step)
        self.writer.add_scalar("train/learning_rate", rate, state.step)

    def evaluation(self, evaluation: dict[str, Any]) -> None:
        """Fixed-noise losses, whole and per sigma."""
        for split in ("train", "heldout"):
            if evaluation[split]:
                self.writer.add_scalar(f"fixed_noise/{split}", evaluation[split]["loss"], evaluation["step"])

    def validation(self, step: int, images: Sequence[Path]) -> None:
        """The validation images of a step."""
        for number, path in enumerate(images):
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB"))
            self.writer.add_image(f"validation/{number:02d}", pixels, step, dataformats="HWC")

    def close(self) -> None:
        """Flush and close."""
        self.writer.close()


def memory_text() -> str:
    """Peak memory so far: of the GPU where there is one, else of this process."""
    if torch.cuda.is_available():
        return f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB GPU"
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return f"{peak / 2**30:.1f} GiB"
