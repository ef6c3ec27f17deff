"""How much memory a training needs, said and checked before anything is loaded.

Belongs here: the estimate for (base, config), the machine's memory, and the way out where it is too little.
Does not belong here: the arithmetic of the transformer (shape), errors of a run that ran out all the same
(guards). No torch here. The base is loaded in pieces, so the peak is the largest phase, not the sum.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bioicons_pipeline.training.base_models import BaseModel
from bioicons_pipeline.training.config import TrainingConfig
from bioicons_pipeline.training.errors import TrainingError
from bioicons_pipeline.training.header import parameters_in
from bioicons_pipeline.training.presets import PRESETS
from bioicons_pipeline.training.shape import FluxShape

GIB = 2**30
WEIGHT_BYTES = {"int8": 1.0, "fp8": 1.0, "nf4": 0.5 + 1 / 64 + 4 / (64 * 256)}
"""Bytes of a quantized weight with its scales: a row each, or, in NF4, one of 8 bits a block of 64 and one of
32 bits for 256 of them."""
_RUNTIME = {"cuda": 1.0 * GIB, "cpu": 0.7 * GIB}
"""What is there before the first tensor: CUDA's context and cuBLAS' workspaces; the imported libraries."""
_ALLOCATOR = 1.1
"""Activations are freed and taken in another order: what the allocator holds above what is used."""
_VAE_LIVE = 6
"""Feature maps of the VAE's first width that live at once at full size; read off the code, unmeasured."""


@dataclass(frozen=True)
class Pieces:
    """Parameters of the pieces of a base, as they are loaded one after the other."""

    transformer: FluxShape
    vae: int
    text: int
    vae_width: int = 128


FLUX_DEV = Pieces(FluxShape(), vae=83_819_683, text=4_762_310_656 + 123_060_480)
"""FLUX.1-dev: T5-XXL's encoder and CLIP-L are its text encoders."""


@dataclass(frozen=True)
class Estimate:
    """Bytes by phase: what is resident in training, what a step adds, and the phases before it."""

    base: int
    adapter: int
    activations: int
    encoding_images: int
    encoding_captions: int
    validation: int
    runtime: int

    @property
    def training(self) -> int:
        """Peak while training; validation images are drawn while no activations are kept."""
        return self.base + self.adapter + max(self.activations, self.validation) + self.runtime

    @property
    def peak(self) -> int:
        """Peak over all phases."""
        return max(self.training, self.encoding_images, self.encoding_captions)

    def sentence(self) -> str:
        """The estimate in words."""
        if self.peak > self.training:
            return f"{gib(self.peak)}, while the base's encoders are loaded"
        most = (
            f"activations {gib(self.activations)}"
            if self.activations >= self.validation
            else f"validation images {gib(self.validation)}"
        )
        return (
            f"{gib(self.peak)} (base {gib(self.base)}, adapter and optimizer {gib(self.adapter)}, {most}, "
            f"runtime {gib(self.runtime)})"
        )


def gib(size: float) -> str:
    """Bytes as `12.3 GiB`."""
    return f"{size / GIB:.1f} GiB"


def pieces_of(base: BaseModel) -> Pieces:
    """Sizes of the pieces of `base`: of a folder from its config and the headers of its files.

    Raises:
        TrainingError: a file of the folder cannot be read.
    """
    if base.revision is not None:
        return FLUX_DEV  # the one base on the hub; nothing is downloaded to learn its sizes
    folder = Path(base.path)
    try:
        config = json.loads((folder / "transformer" / "config.json").read_bytes())
        vae = json.loads((folder / "vae" / "config.json").read_bytes())
        return Pieces(
            FluxShape.of(config),
            vae=parameters_in(folder / "vae"),
            text=parameters_in(folder / "text_encoder") + parameters_in(folder / "text_encoder_2"),
            vae_width=vae.get("block_out_channels", [128])[0],
        )
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"The base model in {base.path} cannot be read ({error}): download or build it again."
        ) from error


def estimate(
    pieces: Pieces,
    config: TrainingConfig,
    *,
    checkpointing: bool,
    half: bool,
    bf16: bool,
    device: str,
    processes: int = 1,
) -> Estimate:
    """What training `config` on a base of these sizes takes on one `device` (`cuda` or `cpu`).

    half: the base is held in bf16; bf16: activations are (autocast); processes: how many share the
    base where it is sharded.
    """
    shape, runtime = pieces.transformer, int(_RUNTIME[device])
    word = 2 if half else 4
    moments = {"adamw8bit": 2, "prodigy": 16}.get(config.optimizer, 8)
    a_parameter = 4 + 4 + moments + (4 if config.ema_decay else 0)  # weight, gradient, moments, running mean
    kept = _ALLOCATOR * shape.kept_bytes(config, checkpointing=checkpointing, bf16=bf16)
    if config.quantize in ("int8", "fp8"):
        kept += word * shape.restored_weights(checkpointing=checkpointing)
    vae = 4 * pieces.vae + _VAE_LIVE * pieces.vae_width * config.resolution**2 * 4
    return Estimate(
        base=int(_held(shape, config, processes) * WEIGHT_BYTES.get(config.quantize, word)),
        adapter=shape.adapter_parameters(config) * a_parameter,
        activations=int(kept),
        encoding_images=vae + runtime,
        encoding_captions=word * pieces.text + runtime,
        validation=vae if config.validation_every else 0,
        runtime=runtime,
    )


def _held(shape: FluxShape, config: TrainingConfig, processes: int) -> int:
    """Parameters of the base that one process holds at most at a time.

    Sharded: its share, what is outside the blocks (whole from one forward pass to the next), and two blocks:
    the next one is gathered while one computes.
    """
    if not config.shard_base or processes == 1:
        return shape.parameters()
    return shape.parameters() // processes + shape.outer_parameters() + 2 * max(shape.block_parameters())


@dataclass(frozen=True)
class Machine:
    """Where a training runs: `device` is `cuda` or `cpu`, `available` the bytes that one of its `processes`
    may take."""

    device: str
    available: int
    half: bool
    bf16: bool
    processes: int = 1

    def estimate(self, pieces: Pieces, config: TrainingConfig) -> Estimate:
        """The estimate with checkpointing as `config` says; `auto` is off."""
        return estimate(
            pieces,
            config,
            checkpointing=config.gradient_checkpointing is True,
            half=self.half,
            bf16=self.bf16,
            device=self.device,
            processes=self.processes,
        )


def settle(pieces: Pieces, config: TrainingConfig, machine: Machine) -> tuple[TrainingConfig, Estimate]:
    """`config` with checkpointing decided (`auto`: off where memory allows), and what it will take. In one
    process `shard_base` is off: there is nobody to share with.

    Raises:
        TrainingError: it does not fit; says what it needs, what there is, and what to change.
    """
    if machine.processes == 1:
        config = config.model_copy(update={"shard_base": False})
    choices = [False, True] if config.gradient_checkpointing == "auto" else [config.gradient_checkpointing]
    for choice in choices:
        settled = config.model_copy(update={"gradient_checkpointing": choice})
        needed = machine.estimate(pieces, settled)
        if needed.peak <= machine.available:
            return settled, needed
    what = "GPU" if machine.device == "cuda" else "machine"
    raise TrainingError(
        f"This training needs about {needed.sentence()}, and the {what} has {gib(machine.available)} free: "
        f"{way_out(pieces, settled, machine)}."
    )


def way_out(pieces: Pieces, config: TrainingConfig, machine: Machine) -> str:
    """The smallest change of `config` that fits, and the preset that does, in words."""
    found = [_words(changes) for changes in _ways(config, machine) if _fits(pieces, config, changes, machine)]
    presets = [
        name
        for name, preset in PRESETS.items()
        if name.startswith("gpu-") and _fits(pieces, preset, {}, machine) and machine.device == "cuda"
    ]
    advice = [*found[:1], *(f"choose the preset {name}" for name in presets[:1])]
    return ", or ".join(advice) or "use a smaller base, or a machine with more memory"


def _ways(config: TrainingConfig, machine: Machine) -> list[dict[str, Any]]:
    """Changes in the order of what they cost: time, then precision, then resolution."""
    saving: dict[str, Any] = {} if config.gradient_checkpointing is True else {"gradient_checkpointing": True}
    single: dict[str, Any] = (
        {"batch_size": 1, "accumulation": config.batch_size * config.accumulation}
        if config.batch_size > 1
        else {}
    )
    small: dict[str, Any] = {"resolution": 512} if config.resolution > 512 else {}
    ways = [saving, single, saving | single]
    if machine.processes > 1 and not (config.shard_base or config.quantize != "none"):
        shared = {"shard_base": True, **({"compile_blocks": False} if config.compile_blocks else {})}
        ways += [shared, saving | shared, saving | single | shared]
    finer = {"none": ["int8", "nf4"], "int8": ["nf4"], "fp8": ["nf4"], "nf4": []}[config.quantize]
    for kind in [] if config.dora else finer:
        if kind == "int8" or machine.device == "cuda":
            whole = {"shard_base": False} if config.shard_base else {}
            ways.append(saving | single | {"quantize": kind, **whole})
    ways += [{**way, **small} for way in ways[2:]]
    return [way for way in ways if way]


def _fits(pieces: Pieces, config: TrainingConfig, changes: dict[str, Any], machine: Machine) -> bool:
    return machine.estimate(pieces, config.model_copy(update=changes)).peak <= machine.available


def _words(changes: dict[str, Any]) -> str:
    return "set " + " and ".join(
        f"{name} to {str(value).lower() if isinstance(value, bool) else value}"
        for name, value in changes.items()
    )


def host_memory() -> int:
    """Bytes of main memory that a new process may take: what is free, within a container's limit (Linux)."""
    limits = []
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                limits.append(int(line.split()[1]) * 1024)
        group = Path("/sys/fs/cgroup")
        most = (group / "memory.max").read_text().strip()
        if most != "max":
            stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            used = int((group / "memory.current").read_text()) - int(stat.get("inactive_file", 0))
            limits.append(int(most) - used)
    except (OSError, ValueError, IndexError):
        pass  # another system, or no container
    return min(limits) if limits else 2**63
