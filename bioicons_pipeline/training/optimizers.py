"""The optimizers: AdamW, AdamW whose moments take 8 bits, and Prodigy; their state as plain tensors.

Belongs here: making one, and its state for a checkpoint. Does not belong here: learning rates (loop) and
files (checkpoint). AdamW as in https://arxiv.org/abs/1711.05101, 8-bit moments in blocks as in
https://arxiv.org/abs/2110.02861, by bitsandbytes, on a GPU and on a CPU. (torchao's 8-bit AdamW compiles
itself at the first step and keeps tensor subclasses as its state, which safetensors does not hold.)
Prodigy, which estimates the learning rate while it goes, as in https://arxiv.org/abs/2306.06101, by its
authors' package prodigyopt.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bioicons_pipeline.training.config import LoopConfig
from bioicons_pipeline.training.extras import require

PRODIGY_STATE = ("d", "d_max", "d_numerator", "k")
"""What Prodigy carries from step to step beside its tensors: its estimate, in doubles, and a count."""
_GROUP = "group."


def make_optimizer(
    config: LoopConfig, parameters: Sequence[torch.nn.Parameter], device: torch.device
) -> torch.optim.Optimizer:
    """The optimizer that `config.optimizer` names, over `parameters` on `device`.

    Raises:
        TrainingError: the library that it needs is not installed; says which.
    """
    settings: dict[str, Any] = {
        "lr": config.learning_rate,
        "betas": (config.adam_beta1, config.adam_beta2),
        "eps": config.adam_epsilon,
        "weight_decay": config.weight_decay,
    }
    if config.optimizer == "adamw8bit":
        bitsandbytes = require("bitsandbytes", "optimizer adamw8bit", "set optimizer to adamw")
        return bitsandbytes.optim.AdamW8bit(parameters, **settings)
    if config.optimizer == "prodigy":
        prodigyopt = require("prodigyopt", "optimizer prodigy", "set optimizer to adamw", extra="prodigy")
        with contextlib.redirect_stdout(io.StringIO()):  # it prints, and stdout is for the result
            # as its authors advise for diffusion models (https://github.com/konstmish/prodigy#readme)
            return prodigyopt.Prodigy(parameters, **settings, use_bias_correction=True, safeguard_warmup=True)
    # one pass over each parameter: 5 times the speed of the update, where torch has it
    return torch.optim.AdamW(parameters, **settings, fused=device.type in ("cpu", "cuda"))


def optimizer_tensors(optimizer: torch.optim.Optimizer, names: Sequence[str]) -> dict[str, Tensor]:
    """The optimizer's state as `<parameter>|<entry>` CPU tensors; `names` are its parameters in order.

    Read from the live state: bitsandbytes nests its own in `state_dict`. What Prodigy carries for all
    parameters together is an entry `group.…` of the first.
    """
    group = optimizer.param_groups[0]
    carried = {
        f"{names[0]}|{_GROUP}{entry}": torch.tensor(group[entry], dtype=torch.float64)
        for entry in PRODIGY_STATE
        if entry in group
    }
    return carried | {
        f"{name}|{entry}": torch.as_tensor(value).detach().cpu().clone().contiguous()
        for name, parameter in zip(names, _parameters(optimizer), strict=True)
        for entry, value in optimizer.state.get(parameter, {}).items()
    }


def load_optimizer(
    optimizer: torch.optim.Optimizer, names: Sequence[str], tensors: dict[str, Tensor]
) -> None:
    """Put the tensors of `optimizer_tensors` back; hyperparameters stay as constructed."""
    state: dict[int, dict[str, Any]] = {}
    for key, value in tensors.items():
        name, entry = key.rsplit("|", 1)
        if entry.startswith(_GROUP):
            entry = entry.removeprefix(_GROUP)
            kind = type(optimizer.param_groups[0][entry])  # a count stays one
            optimizer.param_groups[0][entry] = kind(value.item())
            continue
        state.setdefault(names.index(name), {})[entry] = value
    if isinstance(optimizer, torch.optim.AdamW):
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        return
    for index, parameter in enumerate(_parameters(optimizer)):
        # bitsandbytes and Prodigy count steps in a plain number; no state is cast: 8 bits stay 8 bits
        optimizer.state[parameter] = {
            entry: int(value) if entry == "step" else value.to(parameter.device)
            for entry, value in state.get(index, {}).items()
        }


def _parameters(optimizer: torch.optim.Optimizer) -> list[torch.nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
