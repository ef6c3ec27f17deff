"""Libraries that only some trainings need, and the sentence where one is missing. No torch here.

Belongs here: which setting needs which library, checked before anything is loaded. Does not belong here:
using them (optimizers, encoders, wandb_log). They are the extras `low-memory`, `prodigy` and `wandb` in
pyproject.toml.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from bioicons_pipeline.training.config import TrainingConfig
from bioicons_pipeline.training.errors import TrainingError


def require(library: str, what: str, otherwise: str, extra: str = "low-memory") -> Any:
    """The module `library`, which `what` needs; `otherwise` is what to do without it, `extra` brings it.

    Raises:
        TrainingError: it is not installed, or does not load on this machine.
    """
    missing(library, what, otherwise, extra)
    try:
        return importlib.import_module(library)
    except (ImportError, OSError, RuntimeError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise TrainingError(
            f"{what} needs {library}, which does not load here ({first}): install a version that suits this "
            f"machine's torch, or {otherwise}."
        ) from error


def missing(library: str, what: str, otherwise: str, extra: str = "low-memory") -> None:
    """Refuse where `library` is not installed; nothing is imported.

    Raises:
        TrainingError: one sentence with the command that installs it.
    """
    package = library.split(".")[0]
    if importlib.util.find_spec(package) is None:
        raise TrainingError(
            f"{what} needs {package}, which is not installed: run `pip install "
            f"'bioicons-pipeline[{extra}]'`, or {otherwise}."
        )


def check_extras(config: TrainingConfig, device: str) -> None:
    """Refuse a config whose libraries or device are not there, before anything is loaded.

    device: `cuda` or `cpu`.

    Raises:
        TrainingError: what is missing, and what to do.
    """
    if config.optimizer == "adamw8bit":
        missing("bitsandbytes", "optimizer adamw8bit", "set optimizer to adamw")
    if config.optimizer == "prodigy":
        missing("prodigyopt", "optimizer prodigy", "set optimizer to adamw", "prodigy")
    if config.wandb != "off":
        missing("wandb", f"wandb {config.wandb}", "set wandb to off", "wandb")
    if config.quantize in ("int8", "fp8"):
        missing("torchao", f"quantize {config.quantize}", "set quantize to none")
    if config.quantize == "nf4":
        if device != "cuda":
            raise TrainingError(
                f"quantize nf4 needs a CUDA GPU, and this training runs on {device}: set quantize to int8 or "
                "none."
            )
        missing("bitsandbytes", "quantize nf4", "set quantize to int8")
