"""Typed configuration of a training. No torch here.

Belongs here: every number that changes a result. Does not belong here: named settings (presets), what is
asked and answered (request), paths of this machine (settings) and names of base models (base_models). The
defaults are those for FLUX.1-dev; what they follow is the diffusers DreamBooth-LoRA recipe for Flux, except
where the contract of this room differs (fp32 adapter, guidance 1.0, resampled latents).
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from bioicons_pipeline.training.errors import TrainingError

TargetPreset = Literal["attention", "attention+ff"]
Schedule = Literal["constant", "cosine", "linear"]
TimestepSampling = Literal["logit_normal", "uniform", "shifted"]
Optimizer = Literal["adamw", "adamw8bit", "prodigy"]
Quantization = Literal["none", "int8", "fp8", "nf4"]

NOT_IN_IDENTITY = (
    "checkpoint_every",
    "keep_checkpoints",
    "shard_base",
    "tensorboard",
    "wandb",
    "wandb_project",
    "workers",
)
"""Fields that change neither weights nor report (`shard_base`: beyond rounding), so a run may be resumed with
other values of them."""

ADDED_LATER = (
    "optimizer",
    "rslora",
    "dora",
    "quantize",
    "compile_blocks",
    "validation_every",
    "validation_prompts",
    "validation_seed",
    "validation_steps",
    "validation_guidance",
    "aspect_buckets",
)
"""Fields that the first trainer did not have. At their default they are left out of the identity: what was
trained before is not trained again, and its checkpoints are still its own."""


class LoopConfig(BaseModel):
    """What the loop itself needs to know, whatever is trained with it. Frozen; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(default=1000, ge=1, description="Optimizer steps.")
    batch_size: int = Field(default=1, ge=1, description="Images per forward pass and process.")
    accumulation: int = Field(default=1, ge=1, description="Forward passes per optimizer step.")
    learning_rate: float = Field(default=1e-4, gt=0, le=1, description="Peak learning rate of AdamW.")
    schedule: Schedule = Field(
        default="constant",
        description="Learning rate after the warm-up: constant, or falling to 0 at the last step.",
    )
    warmup_steps: int = Field(
        default=0,
        ge=0,
        description="Steps of linear rise of the learning rate from 0.",
    )
    optimizer: Optimizer = Field(
        default="adamw",
        description="`adamw`, or `adamw8bit`: its moments in 8 bits, by bitsandbytes, 6 bytes a trained "
        "parameter less; or `prodigy`, which finds the learning rate itself, by prodigyopt: set "
        "learning_rate to 1.",
    )
    weight_decay: float = Field(default=1e-4, ge=0, description="Decoupled weight decay of AdamW.")
    adam_beta1: float = Field(default=0.9, ge=0, lt=1, description="Decay of AdamW's mean of gradients.")
    adam_beta2: float = Field(default=0.999, ge=0, lt=1, description="Decay of AdamW's mean of squares.")
    adam_epsilon: float = Field(default=1e-8, gt=0, description="Added to AdamW's denominator.")
    max_grad_norm: float = Field(
        default=1.0,
        ge=0,
        description="Global gradient norm is clipped to this; 0 = never.",
    )
    ema_decay: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Decay of a running mean of the weights, which is then what is evaluated and exported; "
        "0 = none. Early steps use min(decay, (1 + step) / (10 + step)).",
    )
    seed: int = Field(
        default=0,
        ge=0,
        lt=2**31,
        description="Seed of adapter init, data order, noise and sigmas.",
    )
    mixed_precision: Literal["auto", "no", "bf16"] = Field(
        default="auto",
        description="Autocast of the forward pass; `auto` is bf16 on a GPU that has it, else none.",
    )
    eval_every: int = Field(
        default=100,
        ge=0,
        description="Steps between evaluations; 0 = only before and after.",
    )
    checkpoint_every: int = Field(default=250, ge=1, description="Steps between checkpoints to resume from.")
    keep_checkpoints: int = Field(
        default=2, ge=1, description="Newest checkpoints kept; the best by held-out loss is kept beside them."
    )
    workers: int = Field(default=0, ge=0, le=16, description="Processes that read the cache ahead; 0 = none.")
    tensorboard: bool = Field(default=True, description="Write TensorBoard event files into the work folder.")

    @model_validator(mode="after")
    def _prodigy_finds_the_rate(self) -> LoopConfig:
        if self.optimizer == "prodigy" and self.learning_rate < 0.1:
            raise ValueError(
                f"learning_rate ({self.learning_rate:g}) multiplies the one that prodigy finds: set it to 1"
            )
        return self

    @model_validator(mode="after")
    def _warmup_fits(self) -> LoopConfig:
        if self.warmup_steps >= self.steps and self.warmup_steps > 0:
            raise ValueError(f"warmup_steps ({self.warmup_steps}) must be less than steps ({self.steps})")
        return self

    def identity(self) -> dict[str, Any]:
        """The fields that decide the result, JSON-able; two runs with equal identities are the same run."""
        unset = {
            name
            for name, field in type(self).model_fields.items()
            if name in ADDED_LATER and getattr(self, name) == field.default
        }
        return self.model_dump(mode="json", exclude={*NOT_IN_IDENTITY, *unset})


class TrainingConfig(LoopConfig):
    """How one adapter is trained."""

    resolution: int = Field(
        default=1024, ge=16, le=2048, description="Side of the training images in px; a multiple of 16."
    )
    aspect_buckets: bool = Field(
        default=False,
        description="Train wide and tall icons on wide and tall pictures of about the same area, from 1:2 to "
        "2:1, instead of on squares; a batch holds one size. Wants a render size of 1.5 times `resolution`.",
    )
    rank: int = Field(
        default=16,
        ge=1,
        le=256,
        description="Rank of the low-rank update of each adapted matrix.",
    )
    alpha: float = Field(
        default=16.0,
        gt=0,
        description="The update is scaled by alpha / rank; alpha = rank means a scale of 1.",
    )
    targets: TargetPreset = Field(
        default="attention",
        description="Adapted matrices: `attention` (q, k, v, output, in both streams) or `attention+ff` "
        "(feed-forward layers too: more capacity, about 2.5 times the parameters).",
    )
    rslora: bool = Field(
        default=False,
        description="Scale by alpha / √rank instead, so that a higher rank learns as fast as a low one "
        "(https://arxiv.org/abs/2312.03732).",
    )
    dora: bool = Field(
        default=False,
        description="Learn the length of each row of a matrix apart from its direction "
        "(https://arxiv.org/abs/2402.09353): more time and memory a step, and no ComfyUI file.",
    )
    timestep_sampling: TimestepSampling = Field(
        default="logit_normal",
        description="Distribution of sigma: `logit_normal` (sigmoid of a normal), `uniform` in (0, 1), or "
        "`shifted` (the logit-normal pushed towards noise by image size, as the Flux reference samples).",
    )
    logit_mean: float = Field(default=0.0, description="Mean of the normal below the sigmoid.")
    logit_std: float = Field(
        default=1.0,
        gt=0,
        description="Standard deviation of the normal below the sigmoid.",
    )
    guidance: float = Field(
        default=1.0,
        ge=0,
        description="Guidance value that a guidance-distilled base is given while training.",
    )
    caption_dropout: float = Field(
        default=0.05, ge=0, le=1, description="Share of samples that are trained with the empty caption."
    )
    caption_variants: bool = Field(
        default=True, description="Draw one of an icon's caption variants per sample; off: always its first."
    )
    t5_length: int = Field(
        default=512, ge=8, le=512, description="T5 tokens, padded; sampling must use the same length."
    )
    gradient_checkpointing: bool | Literal["auto"] = Field(
        default="auto",
        description="Recompute activations in the backward pass: less memory, about 1.46 times the work. "
        "`auto`: only where the memory would not do without.",
    )
    quantize: Quantization = Field(
        default="none",
        description="Precision of the frozen base: as it is; `int8` or `fp8` (torchao, half of bf16, a scale "
        "a row; int8 is nearer, but where few weights of a row outweigh the others; they save memory with "
        "gradient checkpointing); or `nf4` (bitsandbytes, a quarter; CUDA only).",
    )
    shard_base: bool = Field(
        default=False,
        description="With several processes: each holds a share of the frozen base, and a block is gathered "
        "when its turn comes (FSDP), for a base that does not fit one card. Slower steps.",
    )
    compile_blocks: bool = Field(
        default=False,
        description="torch.compile the repeated blocks: faster steps after a minute or more at the start.",
    )
    validation_every: int = Field(
        default=0,
        ge=0,
        description="Steps between validation images, which are drawn before the first step and after the "
        "last too; 0 = none.",
    )
    validation_prompts: tuple[str, ...] = Field(
        default=(),
        max_length=16,
        description="What they show; empty: the captions of four held-out icons (training icons where none "
        "is held out).",
    )
    validation_seed: int = Field(
        default=0, ge=0, lt=2**31, description="Seed of the first validation image; each further one adds 1."
    )
    validation_steps: int = Field(
        default=20, ge=1, le=200, description="Denoising steps of a validation image."
    )
    validation_guidance: float = Field(
        default=3.5, ge=0, description="Guidance value of a validation image, for a guidance-distilled base."
    )
    eval_icons: int = Field(default=8, ge=1, description="Most icons per split that an evaluation looks at.")
    eval_sigmas: tuple[float, ...] = Field(
        default=(0.1, 0.3, 0.5, 0.7, 0.9),
        min_length=1,
        description="Fixed sigmas of the evaluation, each in (0, 1).",
    )
    wandb: Literal["off", "offline", "online"] = Field(
        default="off",
        description="Weights & Biases: `offline` writes a run into the work folder, which `wandb sync` can "
        "send later; `online` sends losses and validation images while it trains. Nothing is sent otherwise.",
    )
    wandb_project: str = Field(default="bioicons", description="Project of that run.")
    export: Literal["best", "last"] = Field(
        default="best",
        description="Adapter that is exported: lowest held-out loss, or that of the last step.",
    )

    @model_validator(mode="after")
    def _dora_of_whole_weights(self) -> TrainingConfig:
        if self.dora and self.quantize != "none":
            raise ValueError("dora needs the base as it is: set quantize to none, or dora to false")
        return self

    @model_validator(mode="after")
    def _shards_of_plain_weights(self) -> TrainingConfig:
        if self.shard_base and self.quantize != "none":
            raise ValueError(
                "shard_base needs the base as it is: set quantize to none, or shard_base to false"
            )
        if self.shard_base and self.compile_blocks:
            raise ValueError(
                "shard_base does not go with compile_blocks: set compile_blocks or shard_base to false"
            )
        return self

    def identity(self) -> dict[str, Any]:
        """See `LoopConfig`. Where memory decides on checkpointing it counts as off: it changes no result
        beyond rounding, and a run may go on on another machine."""
        return {**super().identity(), "gradient_checkpointing": self.gradient_checkpointing is True}

    @field_validator("resolution")
    @classmethod
    def _multiple_of_16(cls, value: int) -> int:
        if value % 16:
            raise ValueError("must be a multiple of 16 (VAE factor 8, patches of 2)")
        return value

    @field_validator("eval_sigmas")
    @classmethod
    def _open_interval(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 < sigma < 1 for sigma in value):
            raise ValueError("every sigma must lie in (0, 1)")
        return value


def parse_config(values: dict[str, Any]) -> TrainingConfig:
    """Validate `values`, missing fields taking their defaults.

    Raises:
        TrainingError: one sentence that names each wrong field.
    """
    try:
        return TrainingConfig.model_validate(values)
    except ValidationError as error:
        raise TrainingError(f"The training config is not valid: {validation_sentence(error)}.") from error


def validation_sentence(error: ValidationError) -> str:
    """Pydantic's findings as one line: `field: what is wrong; field: …`."""
    parts = []
    for finding in error.errors(include_url=False):
        where = ".".join(str(part) for part in finding["loc"]) or "config"
        parts.append(f"{where}: {finding['msg'].removeprefix('Value error, ')}")
    return "; ".join(parts)


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


TRAINER_VERSION = 1
"""Part of a run's identity: raised when the same config would train another adapter."""


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`, hex."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
