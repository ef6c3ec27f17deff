"""The flow-matching objective of FLUX.1: packing, position ids, sigmas, loss. Pure functions of tensors.

Belongs here: the numbers that make the training right. Does not belong here: loading, caching, optimizing.
Follows "Scaling Rectified Flow Transformers" (https://arxiv.org/abs/2403.03206, sections 2 and 3.1) and
the sampler this must agree with, diffusers' FluxPipeline and FlowMatchEulerDiscreteScheduler.

Symbols: `x` scaled clean latents (B, C, h, w); `n` noise of the same shape; `sigma` (B,) in (0, 1);
`x_t = (1 - sigma) x + sigma n`; the model predicts the velocity `n - x`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


def pack(latents: Tensor) -> Tensor:
    """(B, C, h, w) → (B, h/2 · w/2, 4 C): 2×2 patches in row order, channel outermost within a patch."""
    B, C, h, w = latents.shape
    patches = latents.reshape(B, C, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return patches.reshape(B, (h // 2) * (w // 2), C * 4)


def unpack(tokens: Tensor, h: int, w: int) -> Tensor:
    """Inverse of `pack`: (B, h/2 · w/2, 4 C) → (B, C, h, w), with h and w in latent pixels."""
    B, _, channels = tokens.shape
    patches = tokens.reshape(B, h // 2, w // 2, channels // 4, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return patches.reshape(B, channels // 4, h, w)


def image_ids(h: int, w: int, device: torch.device | str = "cpu") -> Tensor:
    """Position ids of the packed latents, (h/2 · w/2, 3) fp32: [0, row, column]; unbatched."""
    rows, columns = torch.meshgrid(torch.arange(h // 2), torch.arange(w // 2), indexing="ij")
    ids = torch.stack([torch.zeros_like(rows), rows, columns], dim=-1).reshape(-1, 3)
    return ids.to(device=device, dtype=torch.float32)


def text_ids(length: int, device: torch.device | str = "cpu") -> Tensor:
    """Position ids of the text tokens: zeros (length, 3) fp32; unbatched."""
    return torch.zeros(length, 3, device=device, dtype=torch.float32)


def resolution_shift(image_tokens: int, scheduler_config: Mapping[str, Any]) -> float:
    """`mu` for an image of so many packed tokens: linear between the scheduler's two anchors.

    A scheduler without dynamic shifting has one constant factor `shift`; its `mu` is log(shift).
    """
    if not scheduler_config.get("use_dynamic_shifting", False):
        return math.log(scheduler_config.get("shift", 1.0))
    low, high = (
        scheduler_config.get("base_image_seq_len", 256),
        scheduler_config.get("max_image_seq_len", 4096),
    )
    mu_low, mu_high = scheduler_config.get("base_shift", 0.5), scheduler_config.get("max_shift", 1.15)
    return mu_low + (mu_high - mu_low) * (image_tokens - low) / (high - low)


def sample_sigma(
    generator: torch.Generator, kind: str, *, logit_mean: float = 0.0, logit_std: float = 1.0, mu: float = 0.0
) -> float:
    """One sigma in (0, 1), drawn in fp64 and rounded to fp32.

    `uniform`; `logit_normal`; `shifted`: the logit-normal through sigma' = e^mu / (e^mu + 1/sigma - 1),
    which is a logit-normal of mean `logit_mean + mu`. It replaces, and is never applied on top of, the
    scheduler's own shift: with `use_dynamic_shifting` the scheduler's stored sigmas are unshifted.
    """
    if kind == "uniform":
        sigma = torch.rand((), generator=generator, dtype=torch.float64)
    else:
        normal = torch.randn((), generator=generator, dtype=torch.float64)
        sigma = torch.sigmoid(logit_mean + logit_std * normal + (mu if kind == "shifted" else 0.0))
    # fp32 can round to exactly 0 or 1, where the objective has no noise or no image left
    return float(sigma.clamp(1e-5, 1 - 1e-5).to(torch.float32))


@dataclass(frozen=True)
class Conditioning:
    """Text of a batch: `t5` (B, T, d), `pooled` (B, p); any float type, the model's own is best."""

    t5: Tensor
    pooled: Tensor

    def to(self, device: torch.device | str) -> Conditioning:
        """The same on `device`."""
        return Conditioning(self.t5.to(device), self.pooled.to(device))


def predict_velocity(
    transformer: Any, x_t: Tensor, sigma: Tensor, text: Conditioning, guidance: float | Tensor | None
) -> Tensor:
    """The model's velocity at `x_t`, (B, C, h, w) fp32.

    sigma: (B,) fp32 in [0, 1], handed over as `timestep` (the model multiplies by 1000 itself);
    guidance: for a guidance-distilled base, one value or (B,) values; None where the base has no such input.
    """
    B, _, h, w = x_t.shape
    vector = guidance if guidance is None else torch.as_tensor(guidance, dtype=torch.float32).to(x_t.device)
    if vector is not None:
        vector = vector.expand(B)
    output = transformer(
        hidden_states=pack(x_t),
        timestep=sigma,
        guidance=vector,
        pooled_projections=text.pooled,
        encoder_hidden_states=text.t5,
        txt_ids=text_ids(text.t5.shape[1], x_t.device),
        img_ids=image_ids(h, w, x_t.device),
        return_dict=False,
    )[0]
    return unpack(output.float(), h, w)


def flow_matching_loss(
    transformer: Any, x: Tensor, noise: Tensor, sigma: Tensor, text: Conditioning, guidance: float | None
) -> Tensor:
    """Mean squared error of the predicted velocity per sample, (B,) fp32, differentiable.

    Call it under autocast for mixed precision: mixing and error are computed in fp32 here either way.
    """
    x, noise = x.float(), noise.float()
    weight = sigma.float().view(-1, 1, 1, 1)
    x_t = (1 - weight) * x + weight * noise
    velocity = predict_velocity(transformer, x_t, sigma.float(), text, guidance)
    return (velocity - (noise - x)).square().flatten(1).mean(dim=1)


def scale_latents(latents: Tensor, shift: float | None, scale: float) -> Tensor:
    """Raw VAE latents → what the transformer works on: (latents − shift) · scale."""
    return (latents - (shift or 0.0)) * scale
