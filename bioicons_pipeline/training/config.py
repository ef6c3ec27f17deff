"""Typed configuration of a training, its presets, the request and the outcome. No torch here.

Belongs here: every number that changes a result. Does not belong here: paths of this machine (settings)
and names of base models (base_models). The defaults are those for FLUX.1-dev; what they follow is the
diffusers DreamBooth-LoRA recipe for Flux, except where the contract of this room differs (fp32 adapter,
guidance 1.0, resampled latents).
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

NOT_IN_IDENTITY = ("checkpoint_every", "keep_checkpoints", "tensorboard", "workers")
"""Fields that change neither weights nor report, so a run may be resumed with other values of them."""


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
    weight_decay: float = Field(default=1e-4, ge=0, description="Decoupled weight decay of AdamW.")
    adam_beta1: float = Field(
        default=0.9,
        ge=0,
        lt=1,
        description="Decay of AdamW's running mean of gradients.",
    )
    adam_beta2: float = Field(
        default=0.999,
        ge=0,
        lt=1,
        description="Decay of AdamW's running mean of squares.",
    )
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
    def _warmup_fits(self) -> LoopConfig:
        if self.warmup_steps >= self.steps and self.warmup_steps > 0:
            raise ValueError(f"warmup_steps ({self.warmup_steps}) must be less than steps ({self.steps})")
        return self

    def identity(self) -> dict[str, Any]:
        """The fields that decide the result, JSON-able; two runs with equal identities are the same run."""
        return self.model_dump(mode="json", exclude=set(NOT_IN_IDENTITY))


class TrainingConfig(LoopConfig):
    """How one adapter is trained."""

    resolution: int = Field(
        default=1024, ge=16, le=2048, description="Side of the training images in px; a multiple of 16."
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
    gradient_checkpointing: bool = Field(
        default=False,
        description="Recompute activations in the backward pass: less memory, about 1.46 times the work.",
    )
    eval_icons: int = Field(default=8, ge=1, description="Most icons per split that an evaluation looks at.")
    eval_sigmas: tuple[float, ...] = Field(
        default=(0.1, 0.3, 0.5, 0.7, 0.9),
        min_length=1,
        description="Fixed sigmas of the evaluation, each in (0, 1).",
    )
    export: Literal["best", "last"] = Field(
        default="best",
        description="Adapter that is exported: lowest held-out loss, or that of the last step.",
    )

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


PRESETS: dict[str, TrainingConfig] = {
    "flux-dev": TrainingConfig(),
    "cpu-nano": TrainingConfig(
        resolution=64,
        rank=16,
        alpha=16.0,
        targets="attention+ff",
        steps=300,
        batch_size=8,
        learning_rate=1e-3,
        schedule="cosine",
        warmup_steps=10,
        t5_length=40,
        eval_every=60,
        eval_icons=16,
        checkpoint_every=60,
    ),
    "tiny": TrainingConfig(
        resolution=64,
        rank=16,
        alpha=32.0,
        targets="attention+ff",
        steps=240,
        batch_size=8,
        learning_rate=5e-3,
        schedule="cosine",
        warmup_steps=10,
        t5_length=48,
        eval_every=60,
        eval_icons=16,
        checkpoint_every=60,
    ),
}
"""Named starting points: `flux-dev` for FLUX.1-dev, `cpu-nano` for flux-nano on two CPU cores, `tiny` for the
tiny base with random weights."""


def preset(name: str, **overrides: Any) -> TrainingConfig:
    """The preset `name` with single fields replaced; its warm-up shrinks with fewer steps.

    Raises:
        TrainingError: no such preset, no such field, or a value out of range.
    """
    if name not in PRESETS:
        raise TrainingError(
            f"There is no training preset {name!r}: choose one of {', '.join(sorted(PRESETS))}."
        )
    values = {**PRESETS[name].model_dump(), **overrides}
    if "warmup_steps" not in overrides and isinstance(values["steps"], int):
        # whoever asks for fewer steps does not ask for a run that is all warm-up
        values["warmup_steps"] = min(values["warmup_steps"], max(0, values["steps"] // 10))
    return parse_config(values)


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


class TrainingRequest(BaseModel):
    """One training, as it is handed to the training process."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    store_root: str = Field(description="Root of the artifact store: a folder or an fsspec URL.")
    dataset_version: str = Field(description="Version id of the dataset in that store.")
    base: str = Field(description="Base model: a name of the registry or a folder in diffusers layout.")
    config: TrainingConfig = Field(default=TrainingConfig(), description="How to train.")
    partition: str = Field(description="Scientific category, or a name for the library-wide adapter.")
    work_dir: str = Field(description="Scratch folder: cache and checkpoints; kept, so a rerun resumes.")
    cache_dir: str | None = Field(
        default=None, description="Folder of locally built bases; `<work_dir>/cache` when unset."
    )
    resume_from: str | None = Field(
        default=None,
        description="A checkpoint folder to go on from; unset: the newest of the same run, if any.",
    )
    provenance: dict[str, Any] = Field(
        default_factory=dict,
        description="Said in the adapter's header: upstream commit, licence mix, trigger, category.",
    )

    def to_json(self) -> str:
        """The request as JSON, read back by `parse_request`."""
        return self.model_dump_json(indent=1)


def parse_request(text: str | bytes | dict[str, Any]) -> TrainingRequest:
    """A request from JSON or from a plain dict.

    Raises:
        TrainingError: one sentence that names each wrong field.
    """
    try:
        if isinstance(text, dict):
            return TrainingRequest.model_validate(text)
        return TrainingRequest.model_validate_json(text)
    except ValidationError as error:
        raise TrainingError(f"The training request is not valid: {validation_sentence(error)}.") from error


class TrainingOutcome(BaseModel):
    """What a finished training reports. Losses are means of squared error at fixed noise and sigmas."""

    model_config = ConfigDict(frozen=True)

    version_id: str = Field(description="Version of the adapter's files in the store.")
    base: str = Field(description="Name of the base model.")
    base_fingerprint: str = Field(description="Content fingerprint of the base model.")
    dataset_version: str = Field(description="Version of the dataset.")
    partition: str = Field(description="Category, or the library-wide name.")
    icons: int = Field(description="Icons trained on.")
    heldout_icons: int = Field(description="Icons held out.")
    steps: int = Field(description="Optimizer steps done.")
    exported_step: int = Field(description="Step whose adapter was exported.")
    train_loss_before: float = Field(description="Fixed-noise loss on training icons before training.")
    train_loss_after: float = Field(description="The same, with the exported adapter.")
    heldout_loss_before: float | None = Field(description="On held-out icons; null where there are none.")
    heldout_loss_after: float | None = Field(description="The same, with the exported adapter.")
    trainable_parameters: int = Field(description="Parameters of the adapter.")
    seconds: float = Field(description="Wall time of the training steps, resumed parts included.")
    resumed_from: int | None = Field(
        description="Step that this process went on from; null for a fresh start."
    )
    files: dict[str, int] = Field(description="Files of the version and their sizes in bytes.")


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`, hex."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
