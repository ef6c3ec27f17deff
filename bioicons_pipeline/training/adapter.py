"""The LoRA on the transformer: which modules, in which precision, and its tensors by name.

Belongs here: adding the adapter and reading or writing its weights. Does not belong here: files (export,
checkpoint). LoRA as in https://arxiv.org/abs/2106.09685, rsLoRA in https://arxiv.org/abs/2312.03732 and
DoRA in https://arxiv.org/abs/2402.09353, all by peft; module names are those of diffusers'
FluxTransformer2DModel.
"""

from __future__ import annotations

import math
import re
from typing import Any

import torch
from torch import Tensor, nn

from bioicons_pipeline.training.config import TrainingConfig
from bioicons_pipeline.training.errors import TrainingError

ADAPTER = "default"

_ATTENTION = (
    r"transformer_blocks\.\d+\.attn\.(to_q|to_k|to_v|to_out\.0|add_q_proj|add_k_proj|add_v_proj|to_add_out)"
    r"|single_transformer_blocks\.\d+\.attn\.(to_q|to_k|to_v)"
)
_FEED_FORWARD = (
    r"transformer_blocks\.\d+\.(ff|ff_context)\.net\.(0\.proj|2)"
    r"|single_transformer_blocks\.\d+\.(proj_mlp|proj_out)"
)
TARGETS = {"attention": _ATTENTION, "attention+ff": f"{_ATTENTION}|{_FEED_FORWARD}"}
"""Full names of adapted modules as regular expressions. A suffix list would take the final `proj_out` in
with the `proj_out` of the single blocks."""


def equipped(transformer: Any, config: TrainingConfig) -> Any:
    """`transformer` with its adapter, and with checkpointing and compiled blocks where `config` has them."""
    add_adapter(transformer, config)
    if config.gradient_checkpointing is True:
        transformer.enable_gradient_checkpointing()
    if config.compile_blocks:
        transformer.compile_repeated_blocks()
    return transformer


def add_adapter(transformer: nn.Module, config: TrainingConfig) -> list[str]:
    """Freeze `transformer` and add a trainable fp32 LoRA to it; returns the names of the adapted modules.

    The initial weights depend on `config.seed` alone; the global random state is left as it was.
    """
    from peft import LoraConfig

    transformer.requires_grad_(False)
    pattern = TARGETS[config.targets]
    expected = [
        name
        for name, module in transformer.named_modules()
        if isinstance(module, nn.Linear) and re.fullmatch(pattern, name)
    ]
    if not expected:
        raise TrainingError(
            "The base's transformer has none of the modules a Flux LoRA adapts: is it a Flux model?"
        )
    lora = LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,  # type: ignore[arg-type] (any number)
        target_modules=pattern,
        lora_dropout=0.0,
        bias="none",
        use_rslora=config.rslora,
        use_dora=config.dora,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        transformer.add_adapter(lora, adapter_name=ADAPTER)  # type: ignore[operator]
    for parameter in transformer.parameters():
        if parameter.requires_grad:
            # small Adam updates round away in a bf16 adapter, whatever the precision of the base
            parameter.data = parameter.data.float()
    return expected


def trainable(transformer: nn.Module) -> dict[str, nn.Parameter]:
    """The adapter's parameters by name, sorted: the order in which the optimizer holds them."""
    named = {name: value for name, value in transformer.named_parameters() if value.requires_grad}
    return {name: named[name] for name in sorted(named)}


def adapter_tensors(transformer: nn.Module) -> dict[str, Tensor]:
    """Copies of the adapter's weights on the CPU, under the names that they have in a file."""
    return {file_name(name): value.detach().cpu().clone() for name, value in trainable(transformer).items()}


def file_name(parameter: str) -> str:
    """Name in a file of a parameter of the adapter, as peft writes it: `<module>.lora_A.weight`,
    `<module>.lora_B.weight`, and under DoRA `<module>.lora_magnitude_vector`."""
    plain = parameter.replace(f".{ADAPTER}.", ".")
    return plain.removesuffix(".weight") if ".lora_magnitude_vector." in plain else plain


@torch.no_grad()
def set_adapter_tensors(transformer: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Overwrite the adapter's weights; every name and shape must agree.

    Raises:
        TrainingError: the tensors are of another adapter.
    """
    own = {file_name(name): value for name, value in trainable(transformer).items()}
    if own.keys() != tensors.keys() or any(own[name].shape != tensors[name].shape for name in own):
        raise TrainingError("The saved adapter has other modules or another rank than this training.")
    for name, value in own.items():
        value.copy_(tensors[name])


def adapter_config(transformer: Any) -> dict[str, Any]:
    """peft's own description of the adapter, JSON-able, for the header that diffusers reads."""
    described = transformer.peft_config[ADAPTER].to_dict()
    return {key: sorted(value) if isinstance(value, set) else value for key, value in described.items()}


def kind(config: TrainingConfig) -> str:
    """What people call this adapter: LoRA, rsLoRA, DoRA or rsLoRA + DoRA."""
    return " + ".join([*(["rsLoRA"] if config.rslora else []), *(["DoRA"] if config.dora else [])]) or "LoRA"


def plain_alpha(config: TrainingConfig) -> float:
    """The alpha that scales a plain LoRA as this one is scaled, for programs that divide by rank."""
    return config.alpha * math.sqrt(config.rank) if config.rslora else config.alpha
