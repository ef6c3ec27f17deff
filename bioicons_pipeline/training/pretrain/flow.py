"""The transformer of flux-nano with its text encoders: batches, training, and guidance distillation.

Belongs here: what the loop needs to train all of the model by the project's one objective. Does not belong
here: the objective (objective) and the loop. Two loops: flow matching with a guidance of 1 and dropped
captions; after it the model learns to answer, for a guidance g it is told, what classifier-free guidance with
the scale g would answer (https://arxiv.org/abs/2210.03142), which is how FLUX.1-dev takes guidance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from bioicons_pipeline.training.data import Icon, SamplePlan, micro_batch
from bioicons_pipeline.training.loop import Loop
from bioicons_pipeline.training.objective import (
    Conditioning,
    flow_matching_loss,
    predict_velocity,
    sample_sigma,
)
from bioicons_pipeline.training.pretrain.recipe import (
    FlowConfig,
    GuidanceConfig,
    RewordingConfig,
    WideningConfig,
)
from bioicons_pipeline.training.pretrain.text import Tokenized


@contextmanager
def short_attention(device: torch.device) -> Iterator[None]:
    """Attention over few tokens on a CPU: plain products, forth and back, in a fraction of the fused kernel's
    time, which is made for long sequences."""
    if device.type != "cpu":
        yield
        return
    with sdpa_kernel([SDPBackend.MATH]):
        yield


EVALUATED_SIGMAS = (0.1, 0.3, 0.5, 0.7, 0.9)


def make_transformer(config: FlowConfig, width: int) -> Any:
    """An untrained FluxTransformer2DModel with guidance embedding; `width` is that of the text encoders."""
    from diffusers import FluxTransformer2DModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = FluxTransformer2DModel(
            in_channels=64,
            num_layers=config.layers,
            num_single_layers=config.single_layers,
            attention_head_dim=32,
            num_attention_heads=config.heads,
            joint_attention_dim=width,
            pooled_projection_dim=width,
            guidance_embeds=True,
            axes_dims_rope=(8, 12, 12),
        )
        _start_at_identity(model)
    return model


@torch.no_grad()
def _start_at_identity(model: Any) -> None:
    """Zero the modulations and the output, so that every block starts as the identity (adaLN-Zero,
    https://arxiv.org/abs/2212.09748); otherwise the first thousand steps are spent on undoing noise."""
    for block in model.transformer_blocks:
        for linear in (block.norm1.linear, block.norm1_context.linear):
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)
    for block in model.single_transformer_blocks:
        nn.init.zeros_(block.norm.linear.weight)
        nn.init.zeros_(block.norm.linear.bias)
    for linear in (model.norm_out.linear, model.proj_out):
        nn.init.zeros_(linear.weight)
        nn.init.zeros_(linear.bias)


class Nano(nn.Module):
    """Transformer and text encoders as one module, so that one optimizer holds all of it."""

    def __init__(self, transformer: Any, clip: Any, t5: Any) -> None:
        super().__init__()
        self.transformer, self.clip, self.t5 = transformer, clip, t5

    def text(self, clip_ids: Tensor, t5_ids: Tensor) -> Conditioning:
        """What FluxPipeline's `encode_prompt` gives for the same tokens."""
        return Conditioning(t5=self.t5(t5_ids).last_hidden_state, pooled=self.clip(clip_ids).pooler_output)


@dataclass(frozen=True)
class FlowBatch:
    """`x` scaled latents and `noise`, (B, 16, h, w); `sigma` (B,); token ids; `guidance` (B,)."""

    keys: tuple[str, ...]
    captions: tuple[str, ...]
    x: Tensor
    noise: Tensor
    sigma: Tensor
    clip_ids: Tensor
    t5_ids: Tensor
    guidance: Tensor


@dataclass(frozen=True)
class Latents:
    """Posterior of every icon, unscaled: `mean`, `std` (N, 16, h, w); `index` by key; shift and scale."""

    mean: Tensor
    std: Tensor
    index: dict[str, int]
    shift: float
    scale: float

    def sample(self, key: str, generator: torch.Generator) -> Tensor:
        """Scaled latents of one icon, drawn from its posterior."""
        row = self.index[key]
        drawn = self.mean[row] + self.std[row] * torch.randn(self.mean.shape[1:], generator=generator)
        return (drawn - self.shift) * self.scale

    def clean(self, key: str) -> Tensor:
        """Scaled mean of one icon."""
        return (self.mean[self.index[key]] - self.shift) * self.scale


class FlowBatches(torch.utils.data.Dataset[FlowBatch]):
    """Batch i of the run; a pure function of i, by the sample plan that LoRA training uses."""

    def __init__(
        self,
        icons: Sequence[Icon],
        latents: Latents,
        tokenized: Tokenized,
        *,
        batch_size: int,
        seed: int,
        caption_dropout: float,
        t5_lengths: tuple[int, ...],
        long_share: float,
        logit_mean: float = 0.0,
        scales: tuple[float, float] = (1.0, 1.0),
        plain_share: float = 0.0,
    ) -> None:
        self.plan = SamplePlan(icons, seed=seed, caption_dropout=caption_dropout)
        self.latents, self.tokenized = latents, tokenized
        self.batch_size, self.seed = batch_size, seed
        self.t5_lengths, self.long_share, self.scales = t5_lengths, long_share, scales
        self.logit_mean, self.plain_share = logit_mean, plain_share

    def __getitem__(self, number: int) -> FlowBatch:
        indices = micro_batch(number, 0, 0, batch=self.batch_size, accumulation=1, processes=1)
        samples = [self.plan[index] for index in indices]
        random = np.random.default_rng([self.seed, 2, number])
        length = self.t5_lengths[-1] if random.random() < self.long_share else self.t5_lengths[0]
        xs, noises, sigmas = [], [], []
        for sample in samples:
            generator = torch.Generator().manual_seed(sample.noise_seed)
            xs.append(self.latents.sample(sample.icon.icon_id, generator))
            noises.append(torch.randn(xs[-1].shape, generator=generator))
            sigmas.append(sample_sigma(generator, "logit_normal", logit_mean=self.logit_mean))
        captions = tuple(sample.caption for sample in samples)
        guidance = random.uniform(*self.scales, len(samples))
        guidance[random.random(len(samples)) < self.plain_share] = 1.0
        return FlowBatch(
            keys=tuple(sample.icon.icon_id for sample in samples),
            captions=captions,
            x=torch.stack(xs),
            noise=torch.stack(noises),
            sigma=torch.tensor(sigmas, dtype=torch.float32),
            clip_ids=self.tokenized.clip(captions),
            t5_ids=self.tokenized.t5(captions, length),
            guidance=torch.from_numpy(guidance.astype(np.float32)),
        )


@dataclass(frozen=True)
class FlowFixed:
    """What an evaluation looks at: fixed batches of one split, each at one sigma with fixed noise."""

    batches: tuple[FlowBatch, ...]

    @classmethod
    def choose(
        cls, icons: Sequence[Icon], latents: Latents, tokenized: Tokenized, t5_length: int, most: int = 64
    ) -> FlowFixed:
        """`most` icons spread evenly over the split, with their fullest caption, at every sigma."""
        chosen = [icons[index] for index in np.linspace(0, len(icons) - 1, min(most, len(icons))).astype(int)]
        keys = tuple(icon.icon_id for icon in chosen)
        captions = tuple(icon.captions[0] for icon in chosen)
        x = torch.stack([latents.clean(key) for key in keys])
        made = []
        for number, sigma in enumerate(EVALUATED_SIGMAS):
            generator = torch.Generator().manual_seed(number)
            made.append(
                FlowBatch(
                    keys, captions, x, torch.randn(x.shape, generator=generator),
                    torch.full((len(keys),), sigma), tokenized.clip(captions),
                    tokenized.t5(captions, t5_length), torch.ones(len(keys)),
                )
            )  # fmt: skip
        return cls(tuple(made))


@dataclass(kw_only=True)
class FlowLoop(Loop):
    """Trains `model`, a Nano, all of it."""

    config: FlowConfig | RewordingConfig | WideningConfig
    fixed: dict[str, FlowFixed]
    """`train` and `heldout`."""

    def trained(self) -> dict[str, nn.Parameter]:
        """Transformer and text encoders."""
        return {name: value for name, value in sorted(self.model.named_parameters()) if value.requires_grad}

    def losses(self, batch: FlowBatch) -> Tensor:
        """The project's flow-matching loss at a guidance of 1, (B,)."""
        with self.autocast(), short_attention(self.device):
            text = self.model.text(batch.clip_ids.to(self.device), batch.t5_ids.to(self.device))
            return flow_matching_loss(
                self.model.transformer,
                batch.x.to(self.device),
                batch.noise.to(self.device),
                batch.sigma.to(self.device),
                text,
                1.0,
            )

    def blame(self, batch: FlowBatch, bad: Sequence[int] | None) -> tuple[Sequence[str], Sequence[float]]:
        """Icons and sigmas."""
        chosen = range(len(batch.keys)) if bad is None else bad
        return [batch.keys[index] for index in chosen], [float(batch.sigma[index]) for index in chosen]

    @torch.inference_mode()
    def evaluate_splits(self) -> dict[str, dict[str, Any] | None]:
        """Mean loss of both splits at fixed noise, and by sigma."""
        found: dict[str, dict[str, Any] | None] = {}
        for split, fixed in self.fixed.items():
            by_sigma = [float(FlowLoop.losses(self, batch).mean()) for batch in fixed.batches]
            found[split] = {"loss": sum(by_sigma) / len(by_sigma), "by_sigma": by_sigma}
        return found


@dataclass(kw_only=True)
class GuidanceLoop(FlowLoop):
    """Teaches the transformer to obey the guidance it is told, by those of its parameters that may change."""

    config: GuidanceConfig  # type: ignore[assignment]
    teacher: Any = field(repr=False)
    """A frozen copy of the transformer before this stage."""
    empty_clip: Tensor
    empty_t5: Tensor
    """Token ids of the empty caption, (1, L); T5's at the longest length."""

    def losses(self, batch: FlowBatch) -> Tensor:
        """Squared distance to the teacher's guided velocity in units of the guidance, (B,): it grows with its
        square, and the guidance of 1, at which a LoRA trains, would hardly count."""
        B, length = len(batch.keys), batch.t5_ids.shape[1]
        x, noise, sigma = (value.to(self.device) for value in (batch.x, batch.noise, batch.sigma))
        guidance = batch.guidance.to(self.device)
        mix = sigma.view(-1, 1, 1, 1)
        x_t = (1 - mix) * x + mix * noise
        with torch.no_grad(), self.autocast(), short_attention(self.device):
            text = self.model.text(batch.clip_ids.to(self.device), batch.t5_ids.to(self.device))
            empty = self.model.text(
                self.empty_clip.to(self.device).expand(B, -1),
                self.empty_t5[:, :length].to(self.device).expand(B, -1),
            )
            said = predict_velocity(self.teacher, x_t, sigma, text, 1.0)
            unsaid = predict_velocity(self.teacher, x_t, sigma, empty, 1.0)
            target = unsaid + guidance.view(-1, 1, 1, 1) * (said - unsaid)
        with self.autocast(), short_attention(self.device):
            answer = predict_velocity(self.model.transformer, x_t, sigma, text, guidance)
        return (answer - target).square().flatten(1).mean(dim=1) / guidance.square()
