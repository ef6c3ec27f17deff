"""The autoencoder of flux-nano: its shape, its batches, and what the loop needs to train it.

Belongs here: pixels → latents → pixels. Does not belong here: the loop. AutoencoderKL as in
https://arxiv.org/abs/2112.10752, without the adversarial part: at 64 px squared error is sharp enough.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bioicons_pipeline.training.data import Icon, SamplePlan, micro_batch
from bioicons_pipeline.training.loop import Loop
from bioicons_pipeline.training.pretrain.icons import BaseIcons
from bioicons_pipeline.training.pretrain.recipe import AutoencoderConfig


def make_autoencoder(config: AutoencoderConfig) -> Any:
    """An untrained AutoencoderKL: (B, 3, S, S) in [-1, 1] ↔ (B, 16, S/8, S/8)."""
    from diffusers import AutoencoderKL

    shape: dict[str, Any] = {
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "block_out_channels": config.channels,
        "layers_per_block": config.layers_per_block,
        "latent_channels": 16,
        "norm_num_groups": 8,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
        "mid_block_add_attention": False,
        "scaling_factor": 1.0,
        "shift_factor": 0.0,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return AutoencoderKL(**shape)


@dataclass(frozen=True)
class PixelBatch:
    """`pixels` (B, 3, S, S) fp32 in [-1, 1]; `noise` (B, 16, S/8, S/8) for the posterior sample."""

    keys: tuple[str, ...]
    pixels: Tensor
    noise: Tensor


class PixelBatches(torch.utils.data.Dataset[PixelBatch]):
    """Batch i of the run; a pure function of i. Colours are permuted and sides swapped at random: a LoRA
    will bring other palettes than the sets have, and an autoencoder has nothing to learn from chirality."""

    def __init__(self, icons: BaseIcons, config: AutoencoderConfig) -> None:
        self.icons, self.config = icons, config
        self.by_key = {icon.key: index for index, icon in enumerate(icons.icons)}
        trained = [Icon(icons.icons[index].key, "", ("",)) for index in icons.split(heldout=False)]
        self.plan = SamplePlan(trained, seed=config.seed)

    def __getitem__(self, number: int) -> PixelBatch:
        samples = [
            self.plan[index]
            for index in micro_batch(number, 0, 0, batch=self.config.batch_size, accumulation=1, processes=1)
        ]
        pixels, noises = [], []
        for sample in samples:
            random = np.random.default_rng(sample.noise_seed)
            picture = self.icons.pixels[self.by_key[sample.icon.icon_id]]
            if random.random() < 0.5:
                picture = picture[:, ::-1]
            if random.random() < 0.3:
                picture = picture[:, :, random.permutation(3)]
            pixels.append(as_tensor(picture))
            side = picture.shape[0] // 8
            generator = torch.Generator().manual_seed(sample.noise_seed)
            noises.append(torch.randn(16, side, side, generator=generator))
        keys = tuple(sample.icon.icon_id for sample in samples)
        return PixelBatch(keys, torch.stack(pixels), torch.stack(noises))


def as_tensor(picture: np.ndarray) -> Tensor:
    """(S, S, 3) uint8 → (3, S, S) fp32 in [-1, 1]."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 127.5 - 1.0


def psnr(ours: Tensor, theirs: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of each image of two batches in [-1, 1], (B,)."""
    error = (ours.clamp(-1, 1) - theirs).square().flatten(1).mean(dim=1).clamp_min(1e-10)
    return 10 * torch.log10(4 / error)


@dataclass(kw_only=True)
class AutoencoderLoop(Loop):
    """Trains `model`, an AutoencoderKL."""

    config: AutoencoderConfig
    heldout: Tensor
    """Held-out icons, (N, 3, S, S) in [-1, 1]."""

    def trained(self) -> dict[str, torch.nn.Parameter]:
        """All of the autoencoder."""
        return dict(sorted(self.model.named_parameters()))

    def losses(self, batch: PixelBatch) -> Tensor:
        """Squared plus weighted absolute error plus weighted divergence, per icon, (B,)."""
        pixels = batch.pixels.to(self.device)
        with self.autocast():
            posterior = self.model.encode(pixels).latent_dist
            decoded = self.model.decode(posterior.mean + posterior.std * batch.noise.to(self.device)).sample
        error = decoded.float() - pixels
        divergence = 0.5 * (
            posterior.mean.float() ** 2 + posterior.var.float() - 1 - posterior.logvar.float()
        )
        return (
            error.square().flatten(1).mean(dim=1)
            + self.config.l1_weight * error.abs().flatten(1).mean(dim=1)
            + self.config.kl_weight * divergence.flatten(1).mean(dim=1)
        )

    def blame(self, batch: PixelBatch, bad: Sequence[int] | None) -> tuple[Sequence[str], Sequence[float]]:
        """The icons; an autoencoder has no sigma."""
        return [batch.keys[index] for index in (range(len(batch.keys)) if bad is None else bad)], []

    @torch.inference_mode()
    def evaluate_splits(self) -> dict[str, dict[str, Any] | None]:
        """Mean squared error and mean PSNR of held-out icons, without sampling the posterior."""
        errors, ratios = [], []
        for part in self.heldout.split(32):
            pixels = part.to(self.device)
            decoded = self.model.decode(self.model.encode(pixels).latent_dist.mode()).sample.float()
            errors.append((decoded - pixels).square().flatten(1).mean(dim=1))
            ratios.append(psnr(decoded, pixels))
        loss, ratio = float(torch.cat(errors).mean()), float(torch.cat(ratios).mean())
        return {"train": None, "heldout": {"loss": loss, "psnr": ratio}}


@torch.inference_mode()
def standardise(model: Any, pixels: Tensor) -> None:
    """Set the config's shift and scale so that the latents of `pixels` have mean 0 and deviation 1."""
    means = torch.cat([model.encode(part).latent_dist.mean for part in pixels.split(64)])
    deviation = float(means.std())
    if not math.isfinite(deviation) or deviation <= 0:
        raise ValueError("the autoencoder's latents have no spread")
    model.register_to_config(
        shift_factor=round(float(means.mean()), 5), scaling_factor=round(1 / deviation, 5)
    )
