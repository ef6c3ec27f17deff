"""How a base is held for sampling: in which precision, and how much of it on the GPU at once.

Belongs here: the choice by memory, without torch. Does not belong here: loading and moving (sampler), what a
training needs (training.memory). What quantizing costs in quality is said where it is used: the card of each
icon names the precision.
"""

from collections.abc import Collection
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from bioicons_pipeline.training.config import Quantization
from bioicons_pipeline.training.memory import GIB, WEIGHT_BYTES, Pieces

QUANTIZERS: dict[Quantization, str] = {"int8": "torchao", "nf4": "bitsandbytes"}
"""The library that quantizes; best quality first. fp8 is not among them: as large as int8, and less exact."""
_DRAWING = 4 * GIB
"""Activations at 1024 px, and what the driver takes. An estimate."""
_READING = 1 * GIB
"""The same while captions are encoded."""


@dataclass(frozen=True)
class Placement:
    """quantize: of the transformer's linear layers; offload: nothing, all but the part at work (transformer,
    text encoders or VAE), or all but the layer at work, which is slow."""

    quantize: Quantization = "none"
    offload: Literal["none", "parts", "layers"] = "none"


def placement(pieces: Pieces, memory: int, quantizers: Collection[str]) -> Placement:
    """The best way to hold a base in bf16, or less, on a GPU with `memory` free bytes.

    quantizers: of `QUANTIZERS`, those whose library is installed. For FLUX.1-dev: 36 GiB whole, 27 one part
    after the other, 16 in int8, 11 in NF4.
    """
    rest = 2 * (pieces.vae + pieces.text)
    transformer = pieces.transformer.parameters()
    if memory >= 2 * transformer + rest + _DRAWING:
        return Placement()
    kinds: tuple[Quantization, ...] = ("none", *(kind for kind in QUANTIZERS if kind in quantizers))
    for kind in kinds:
        held = int(transformer * WEIGHT_BYTES.get(kind, 2.0))
        if memory >= max(held + _DRAWING, 2 * pieces.text + _READING):
            return Placement(kind, "parts")
    return Placement("none", "layers")


def installed_quantizers() -> list[str]:
    """Those of `QUANTIZERS` whose library is installed; nothing is imported."""
    return [kind for kind, library in QUANTIZERS.items() if find_spec(library) is not None]
