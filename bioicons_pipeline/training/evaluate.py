"""Loss at fixed noise and fixed sigmas: the same question before, during and after training.

Belongs here: the losses that choose the best checkpoint, and that the evaluation room compares. Does not
belong here: what they say (evaluation room). The per-step training loss cannot be compared between steps, its
sigmas differ; this one can, down to small changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch

from bioicons_pipeline.training.cache import EncodingCache
from bioicons_pipeline.training.data import Icon, IconSet, families_in_turn
from bioicons_pipeline.training.errors import NonFiniteError
from bioicons_pipeline.training.objective import flow_matching_loss, scale_latents


@dataclass(frozen=True)
class FixedNoise:
    """What an evaluation looks at: icons, each with its main caption, every sigma, always the same noise."""

    icons: tuple[Icon, ...]
    sigmas: tuple[float, ...]
    seed: int

    @classmethod
    def choose(cls, icon_set: IconSet, most: int, sigmas: Sequence[float], seed: int) -> FixedNoise:
        """At most `most` icons of the set: as `families_in_turn` chooses."""
        return cls(tuple(families_in_turn(icon_set.icons, most)), tuple(sigmas), seed)

    def noise(self, icon: Icon, sigma_index: int, shape: torch.Size) -> torch.Tensor:
        """The noise of one icon at one sigma; independent of the other icons."""
        text = f"{self.seed}/{icon.icon_id}/{sigma_index}"
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")
        return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def fixed_noise_loss(transformer: Any, fixed: FixedNoise, cache: EncodingCache, **how: Any) -> dict | None:
    """Mean loss and mean per sigma, `{"loss": float, "by_sigma": [float, …]}`; None without icons.

    how: as `fixed_noise_losses` takes it. Raises the same.
    """
    if not fixed.icons:
        return None
    losses = fixed_noise_losses(transformer, fixed, cache, **how)
    count = len(fixed.icons)
    flat = [value for row in losses for value in row]
    return {"loss": sum(flat) / len(flat), "by_sigma": [sum(row) / count for row in losses]}


@torch.no_grad()  # and no inference mode: what a sharded base gathers in it is of no use to training
def fixed_noise_losses(
    transformer: Any,
    fixed: FixedNoise,
    cache: EncodingCache,
    *,
    scaling: tuple[float, float],
    guidance: float | None,
    batch_size: int,
    device: torch.device,
    autocast: AbstractContextManager[Any],
    step: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[list[float]]:
    """The loss of every icon at every sigma: one list per sigma, each in the order of `fixed.icons`.

    progress: called with pairs of icon and sigma done and to do.

    Raises:
        NonFiniteError: a loss is not finite.
    """
    pairs = [(icon, index) for index in range(len(fixed.sigmas)) for icon in fixed.icons]
    losses = [0.0] * len(pairs)
    done = 0
    for positions in _of_one_size([icon for icon, _ in pairs], batch_size):
        part = [pairs[position] for position in positions]
        means = [cache.load_image(icon)[0] for icon, _ in part]
        noise = [
            fixed.noise(icon, index, mean.shape) for (icon, index), mean in zip(part, means, strict=True)
        ]
        text = cache.load_texts([icon.captions[0] for icon, _ in part]).to(device)
        sigma = torch.tensor([fixed.sigmas[index] for _, index in part], dtype=torch.float32)
        x = scale_latents(torch.stack(means).to(device), *scaling)
        with autocast:
            values = flow_matching_loss(
                transformer, x, torch.stack(noise).to(device), sigma.to(device), text, guidance
            ).tolist()
        bad = [
            item for item, value in zip(part, values, strict=True) if value != value or value == float("inf")
        ]
        if bad:
            raise NonFiniteError(
                "evaluation loss", step, [i.icon_id for i, _ in bad], [fixed.sigmas[s] for _, s in bad]
            )
        for position, value in zip(positions, values, strict=True):
            losses[position] = value
        done += len(part)
        if progress:
            progress(done, len(pairs))
    count = len(fixed.icons)
    return [losses[i * count : (i + 1) * count] for i in range(len(fixed.sigmas))]


def _of_one_size(icons: Sequence[Icon], most: int) -> Iterator[list[int]]:
    """Positions of at most `most` icons of one size each; in order, where all are of one."""
    by_size: dict[Any, list[int]] = {}
    for position, icon in enumerate(icons):
        by_size.setdefault(icon.size, []).append(position)
    for positions in by_size.values():
        for start in range(0, len(positions), most):
            yield positions[start : start + most]
