"""What all stages of flux-nano share: folders, identities, the way from checkpoint to checkpoint.

Belongs here: running one stage to its end. Does not belong here: what a stage is given (stages).
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from bioicons_pipeline.training import checkpoint as checkpoints
from bioicons_pipeline.training.checkpoint import RunState
from bioicons_pipeline.training.config import digest
from bioicons_pipeline.training.device import make_accelerator
from bioicons_pipeline.training.loop import Loop
from bioicons_pipeline.training.pretrain.recipe import Recipe
from bioicons_pipeline.training.progress import Display


class Runner:
    """What all stages share: folder, identity so far, display, histories."""

    def __init__(self, recipe: Recipe, work: Path, quiet: bool) -> None:
        self.recipe, self.work, self.quiet = recipe, work, quiet
        self.identities: dict[str, dict[str, Any]] = {}
        self.histories: dict[str, RunState] = {}
        self._display = Display(steps=1, quiet=quiet)

    def phase(self, name: str, done: int, total: int) -> None:
        self._display.phase(name, done, total)

    def accelerator(self, config: Any) -> Any:
        from accelerate.state import AcceleratorState

        AcceleratorState._reset_state()  # its precision is the process's, and stages differ in theirs
        return make_accelerator(config, bf16_on_cpu=True)

    def identity(self, stage: str, config: Any, *after: str) -> dict[str, Any]:
        """Identity of a stage: its config and the digests of the stages it builds on."""
        found = {"stage": stage, "size": self.recipe.size, "config": config.identity()}
        for name in after:
            found[name] = digest(self.identities[name])
        self.identities[stage] = found
        return found

    def folder(self, stage: str) -> Path:
        return self.work / stage / digest(self.identities[stage])[:12]

    def run(self, stage: str, loop: Loop) -> None:
        """Train to the end, and leave the averaged weights in the model."""
        checkpoints.sweep(loop.checkpoint_dir)
        found = checkpoints.checkpoints(loop.checkpoint_dir)
        if found:
            loop.resume(found[-1])
        with Display(steps=loop.config.steps, quiet=self.quiet) as display:
            done = loop.state.step
            display.note(f"{stage}: step {done} of {loop.config.steps} ({loop.checkpoint_dir})")
            loop.on_step, loop.on_evaluation = display.step, display.evaluation
            loop.fit()
        if loop.mean is not None:
            loop.set_tensors(loop.mean)
        self.histories[stage] = loop.state


def has_compiler() -> bool:
    """Whether torch.compile can make programs for the CPU here: it needs a C++ compiler."""
    return any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "g++", "clang++"))
