"""Arithmetic of a Flux transformer: parameters, adapter, activations and operations, from its config alone.

Belongs here: closed formulas of `transformer/config.json`. Does not belong here: what a machine has and
whether it is enough (memory). No torch here. The layers are those of FluxTransformer2DModel; tests compare
every formula with the model itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bioicons_pipeline.training.config import TrainingConfig

# Bytes that the backward pass keeps per token and unit of width, of a double and a single block, by adapted
# modules and precision. Counted on FLUX.1-dev's own blocks at 1024 px (torch.autograd.graph's hooks on fake
# tensors), with what CUDA's autocast keeps in fp32: every norm, and a bf16 copy of its output for each LoRA.
_KEPT = {
    ("attention", "bf16"): (40.3, 34.2),
    ("attention+ff", "bf16"): (50.4, 46.3),
    ("attention", "fp32"): (52.2, 48.2),
    ("attention+ff", "fp32"): (72.3, 68.2),
}
_DORA = {"attention": 1.55, "attention+ff": 1.95}
"""How many times as much DoRA keeps: of each adapted layer its own output and the adapter's beside it.
Counted a token in fp32; in bf16 it is less (1.4 and 1.8)."""
_TIMESTEP_CHANNELS = 256


@dataclass(frozen=True)
class FluxShape:
    """Sizes of a Flux transformer; the defaults are FLUX.1-dev's."""

    layers: int = 19
    single_layers: int = 38
    heads: int = 24
    head_dim: int = 128
    channels: int = 64
    text_dim: int = 4096
    pooled_dim: int = 768
    guidance: bool = True

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> FluxShape:
        """The shape that a `transformer/config.json` describes; what it does not say is FLUX.1-dev's."""
        names = {
            "num_layers": "layers",
            "num_single_layers": "single_layers",
            "num_attention_heads": "heads",
            "attention_head_dim": "head_dim",
            "in_channels": "channels",
            "joint_attention_dim": "text_dim",
            "pooled_projection_dim": "pooled_dim",
            "guidance_embeds": "guidance",
        }
        return cls(**{ours: config[theirs] for theirs, ours in names.items() if theirs in config})

    @property
    def width(self) -> int:
        """Inner dimension."""
        return self.heads * self.head_dim

    def parameters(self) -> int:
        """Parameters of the transformer."""
        double, single = self.block_parameters()
        return self.outer_parameters() + self.layers * double + self.single_layers * single

    def block_parameters(self) -> tuple[int, int]:
        """Parameters of one double and one single block."""
        D = self.width
        double = (
            2 * _linear(D, 6 * D)
            + 8 * _linear(D, D)
            + 4 * self.head_dim
            + 2 * (_linear(D, 4 * D) + _linear(4 * D, D))
        )
        single = (
            _linear(D, 3 * D) + _linear(D, 4 * D) + _linear(5 * D, D) + 3 * _linear(D, D) + 2 * self.head_dim
        )
        return double, single

    def outer_parameters(self) -> int:
        """Parameters outside the blocks: what embeds their inputs, and the last layers."""
        D = self.width
        embedders = 2 if self.guidance else 1
        embedding = (
            _linear(self.channels, D)
            + _linear(self.text_dim, D)
            + embedders * (_linear(_TIMESTEP_CHANNELS, D) + _linear(D, D))
            + _linear(self.pooled_dim, D)
            + _linear(D, D)
        )
        return embedding + _linear(D, 2 * D) + _linear(D, self.channels)

    def adapter_parameters(self, config: TrainingConfig) -> int:
        """Trained parameters of the adapter that `config` asks for."""
        D = self.width
        double, single = [(D, D)] * 8, [(D, D)] * 3
        if config.targets == "attention+ff":
            double += [(D, 4 * D), (4 * D, D)] * 2
            single += [(D, 4 * D), (5 * D, D)]
        modules = double * self.layers + single * self.single_layers
        lengths = sum(outputs for _, outputs in modules) if config.dora else 0
        return sum(config.rank * (inputs + outputs) for inputs, outputs in modules) + lengths

    def tokens(self, config: TrainingConfig) -> int:
        """Tokens of one sample: packed latents and text."""
        return (config.resolution // 16) ** 2 + config.t5_length

    def kept_bytes(self, config: TrainingConfig, *, checkpointing: bool, bf16: bool) -> int:
        """Bytes of activations that one forward pass keeps for the backward pass."""
        double, single = _KEPT[config.targets, "bf16" if bf16 else "fp32"]
        if config.dora:
            double, single = double * _DORA[config.targets], single * _DORA[config.targets]
        rows = config.batch_size * self.tokens(config) * self.width
        if not checkpointing:
            return int(rows * (self.layers * double + self.single_layers * single))
        # each block's, and one block whole; torchao's int8 layers hand on fp32 as fp32, autocast or not
        wide = 2 if bf16 and config.quantize != "int8" else 4
        inputs = wide * (self.layers + self.single_layers)
        return int(rows * (inputs + max(double, single)))

    def restored_weights(self, *, checkpointing: bool) -> int:
        """Weights that torchao's 8-bit linear layers leave dequantized for the backward pass: autograd keeps
        the operand of the product, where the input needs a gradient. Those of the blocks, without the
        modulations; with checkpointing of the one block that is computed again. So 8 bits
        save memory only with checkpointing.
        """
        double, single = 24 * self.width**2, 12 * self.width**2
        if checkpointing:
            return max(double if self.layers else 0, single if self.single_layers else 0)
        return self.layers * double + self.single_layers * single

    def step_flops(self, config: TrainingConfig, *, checkpointing: bool) -> float:
        """Operations of one forward and backward pass of `batch_size` samples, adapter included.

        Forward: 2 a weight and token, 4·tokens²·width a block for attention. Backward: the same for the
        matrix products (frozen weights need no gradient), twice for attention. Checkpointing: the forward
        once more.
        """
        tokens, D = self.tokens(config), self.width
        # a token passes one of a double block's two streams: 4 + 8 D² weights; in a single block 3 + 4 + 5
        products = 2.0 * tokens * 12 * D * D * (self.layers + self.single_layers)
        attention = 4.0 * tokens**2 * D * (self.layers + self.single_layers)
        adapter = 2.0 * tokens * self.adapter_parameters(config)
        forward = products + attention + adapter
        backward = products + 2 * attention + 2 * adapter
        return config.batch_size * (forward + backward + (forward if checkpointing else 0.0))


def _linear(inputs: int, outputs: int) -> int:
    """Parameters of a linear layer with bias."""
    return inputs * outputs + outputs
