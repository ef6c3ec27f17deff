"""Libraries that only some trainings need, and the sentence where one is missing. No torch here.

Belongs here: which setting needs which library, checked before anything is loaded. Does not belong here:
using them (optimizers, encoders). They are the extra `low-memory` in pyproject.toml.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from bioicons_pipeline.training.config import TrainingConfig
from bioicons_pipeline.training.errors import TrainingError


def require(library: str, what: str, otherwise: str) -> Any:
    """The module `library`, which `what` needs; `otherwise` is what to do without it.

    Raises:
        TrainingError: it is not installed, or does not load on this machine.
    """
    missing(library, what, otherwise)
    try:
        return importlib.import_module(library)
    except (ImportError, OSError, RuntimeError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise TrainingError(
            f"{what} needs {library}, which does not load here ({first}): install a version that suits this "
            f"machine's torch, or {otherwise}."
        ) from error


def missing(library: str, what: str, otherwise: str) -> None:
    """Refuse where `library` is not installed; nothing is imported.

    Raises:
        TrainingError: one sentence with the command that installs it.
    """
    package = library.split(".")[0]
    if importlib.util.find_spec(package) is None:
        raise TrainingError(
            f"{what} needs {package}, which is not installed: run `pip install "
            f"'bioicons-pipeline[low-memory]'`, or {otherwise}."
        )


def check_extras(config: TrainingConfig, device: str) -> None:
    """Refuse a config whose libraries or device are not there, before anything is loaded.

    device: `cuda` or `cpu`.

    Raises:
        TrainingError: what is missing, and what to do.
    """
    if config.optimizer == "adamw8bit":
        missing("bitsandbytes", "optimizer adamw8bit", "set optimizer to adamw")
    if config.quantize == "int8":
        missing("torchao", "quantize int8", "set quantize to none")
    if config.quantize == "nf4":
        if device != "cuda":
            raise TrainingError(
                f"quantize nf4 needs a CUDA GPU, and this training runs on {device}: set quantize to int8 or "
                "none."
            )
        missing("bitsandbytes", "quantize nf4", "set quantize to int8")
