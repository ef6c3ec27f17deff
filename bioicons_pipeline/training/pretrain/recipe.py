"""Every number of flux-nano: shapes and the trainings, in one typed object. No torch here.

Belongs here: what decides the result. Does not belong here: how it is used. Two cores of 2.3 GHz go through
`cpu` within 100 minutes, with fetching, drawing and naming the icons
(`benchmarks/results/flux_nano_cpu.json`). `long` trains twice as long: the base that ships is of it
(`history.json`; its 197 minutes are of busier cores). Neither was run on a GPU.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from bioicons_pipeline.training.config import LoopConfig


class AutoencoderConfig(LoopConfig):
    """The autoencoder: an AutoencoderKL of factor 8 with 16 latent channels, without attention."""

    channels: tuple[int, int, int, int] = Field(
        default=(16, 32, 64, 128), description="Channels per resolution, full size first; multiples of 8."
    )
    layers_per_block: int = Field(default=1, ge=1, description="Residual blocks per resolution.")
    kl_weight: float = Field(
        default=3e-5, ge=0, description="Weight of the posterior's divergence from N(0, 1), per latent value."
    )
    l1_weight: float = Field(
        default=0.1, ge=0, description="Weight of the absolute error beside the squared error: crisp edges."
    )


class TextConfig(LoopConfig):
    """The text encoders' start: they learn to say what a sentence embedding says of a caption."""

    width: int = Field(default=192, description="Hidden size of both text encoders; a multiple of 64.")
    layers: int = Field(default=2, ge=1, description="Layers of each text encoder.")
    vocabulary: int = Field(default=6000, ge=500, description="Entries of each tokenizer, about.")


class FlowConfig(LoopConfig):
    """The transformer with its text encoders, by flow matching."""

    layers: int = Field(default=3, ge=1, description="Double-stream blocks.")
    single_layers: int = Field(default=6, ge=1, description="Single-stream blocks.")
    heads: int = Field(default=8, ge=1, description="Attention heads of 32 dimensions.")
    caption_dropout: float = Field(
        default=0.1, ge=0, le=1, description="Share of samples trained without caption, for guidance."
    )
    t5_lengths: tuple[int, ...] = Field(
        default=(14, 40),
        description="T5 tokens of a batch: few for what precedes the fixed phrases, all for a LoRA.",
    )
    long_share: float = Field(default=0.15, ge=0, le=1, description="Share of batches at the longest length.")
    logit_mean: float = Field(
        default=0.0,
        description="Mean of the logit of sigma. Above 0 more is learnt where the shape is decided, and the "
        "sampler's own shift for so few tokens is 0.5.",
    )
    compile: bool = Field(
        default=False, description="torch.compile the repeated blocks, where there is a C++ compiler."
    )


class RewordingConfig(LoopConfig):
    """The flow stage goes on, with captions in words that the icons' names do not have."""

    long_share: float = Field(
        default=0.4,
        ge=0,
        le=1,
        description="Share of batches at the longest T5 length, at which a LoRA trains.",
    )


class WideningConfig(LoopConfig):
    """It goes on once more, with more sets, and with names that may be wrong."""

    long_share: float = Field(
        default=0.4, ge=0, le=1, description="Share of batches at the longest T5 length."
    )
    first_share: float = Field(
        default=0.5, gt=0, le=1, description="Share of samples of the sets that the flow stage had."
    )


class GuidanceConfig(LoopConfig):
    """Guidance distillation (https://arxiv.org/abs/2210.03142): one pass that does what two did. Only what
    embeds the guidance is trained: at a guidance of 1, where a LoRA trains, the model stays what it was."""

    scales: tuple[float, float] = Field(
        default=(1.0, 5.0), description="Guidance is drawn evenly from this range; 1 is no guidance."
    )
    plain_share: float = Field(
        default=0.25, ge=0, le=1, description="Share of samples at a guidance of 1, at which a LoRA trains."
    )


class Recipe(BaseModel):
    """All of flux-nano."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(default=64, description="Side of the icons in px.")
    autoencoder: AutoencoderConfig
    text: TextConfig
    flow: FlowConfig
    rewording: RewordingConfig | None = Field(description="None leaves the stage out.")
    widening: WideningConfig
    guidance: GuidanceConfig


_COMMON = {"mixed_precision": "no", "schedule": "cosine", "tensorboard": False, "keep_checkpoints": 1}
_HALF = {**_COMMON, "mixed_precision": "auto"}
"""bf16 where that is faster, measured at the start (`device`); fp32 elsewhere."""

_TEXT = TextConfig(
    **_COMMON, steps=1500, batch_size=64, learning_rate=2e-3, warmup_steps=50, adam_beta2=0.98,
    eval_every=500, checkpoint_every=500,
)  # fmt: skip


def _autoencoder(steps: int) -> AutoencoderConfig:
    return AutoencoderConfig(
        **_COMMON, steps=steps, batch_size=16, learning_rate=2e-3, warmup_steps=50, weight_decay=0.0,
        adam_beta2=0.98, ema_decay=0.99, eval_every=250, checkpoint_every=250,
    )  # fmt: skip


def _flow(steps: int, long_share: float) -> FlowConfig:
    return FlowConfig(
        **_HALF, steps=steps, batch_size=64, learning_rate=1.2e-3, warmup_steps=300, weight_decay=0.01,
        adam_beta2=0.98, ema_decay=0.999, eval_every=500, checkpoint_every=250, logit_mean=0.4,
        long_share=long_share, compile=True,
    )  # fmt: skip


_GOES_ON = {
    **_HALF, "batch_size": 64, "warmup_steps": 50, "weight_decay": 0.01, "adam_beta2": 0.98,
    "ema_decay": 0.999, "eval_every": 250, "checkpoint_every": 250,
}  # fmt: skip


def _guidance(steps: int) -> GuidanceConfig:
    return GuidanceConfig(
        **_HALF, steps=steps, batch_size=64, learning_rate=3e-3, warmup_steps=30, adam_beta2=0.98,
        ema_decay=0.98, eval_every=100, checkpoint_every=100,
    )  # fmt: skip


RECIPES: dict[str, Recipe] = {
    "cpu": Recipe(
        autoencoder=_autoencoder(1800),
        text=_TEXT,
        flow=_flow(4200, long_share=0.1),
        rewording=None,
        widening=WideningConfig(**_GOES_ON, steps=1500, learning_rate=8e-4),
        guidance=_guidance(200),
    ),
    "long": Recipe(
        autoencoder=_autoencoder(2000),
        text=_TEXT,
        flow=_flow(9000, long_share=0.25),
        rewording=RewordingConfig(**_GOES_ON, steps=1500, learning_rate=4e-4),
        widening=WideningConfig(**_GOES_ON, steps=2000, learning_rate=6e-4),
        guidance=_guidance(300),
    ),
}
"""By the name that `--recipe` takes."""
