"""What LoRA training puts into the loop: the batches of a run and the trainer of an adapter.

Belongs here: cached encodings → batch → flow-matching loss of the adapted transformer. Does not belong
here: steps and checkpoints (loop), the objective itself (objective).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bioicons_pipeline.training.adapter import adapter_tensors, set_adapter_tensors, trainable
from bioicons_pipeline.training.buckets import Size
from bioicons_pipeline.training.cache import EncodingCache
from bioicons_pipeline.training.config import TrainingConfig
from bioicons_pipeline.training.data import BucketPlan, Icon, SamplePlan, micro_batch
from bioicons_pipeline.training.evaluate import FixedNoise, fixed_noise_loss
from bioicons_pipeline.training.loop import Loop
from bioicons_pipeline.training.objective import (
    Conditioning,
    flow_matching_loss,
    sample_sigma,
    scale_latents,
)
from bioicons_pipeline.training.sharding import average_gradients


@dataclass(frozen=True)
class Batch:
    """One forward pass: `x` scaled latents, `noise`, both (B, 16, h, w) fp32; `sigma` (B,) fp32."""

    icon_ids: tuple[str, ...]
    captions: tuple[str, ...]
    x: Tensor
    noise: Tensor
    sigma: Tensor
    text: Conditioning


def plan_of(icons: Sequence[Icon], config: TrainingConfig, processes: int = 1) -> SamplePlan:
    """The plan that `config` asks for. With buckets all processes take the same size in a forward pass, so
    that none waits for one with a larger picture."""
    options: dict[str, Any] = {
        "seed": config.seed,
        "caption_dropout": config.caption_dropout,
        "variants": config.caption_variants,
    }
    if config.aspect_buckets:
        return BucketPlan(icons, group=config.batch_size * processes, **options)
    return SamplePlan(icons, **options)


class BatchSource(torch.utils.data.Dataset[Batch]):
    """Batch number i of this process, counted over the whole run; a pure function of i.

    Every sample has a generator of its own, so its noise depends neither on its neighbours in the batch,
    nor on how many processes there are, nor on whether a worker made it. All of a batch are of one size,
    which is the plan's business; `mu` is that of the square, `bucket_mu` that of each other size.
    """

    def __init__(
        self,
        plan: SamplePlan,
        cache: EncodingCache,
        config: TrainingConfig,
        *,
        scaling: tuple[float, float],
        mu: float,
        bucket_mu: Mapping[Size, float] | None = None,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self.plan, self.cache, self.config = plan, cache, config
        self.bucket_mu = bucket_mu or {}
        self.scaling, self.mu, self.rank, self.processes = scaling, mu, rank, processes

    def __getitem__(self, number: int) -> Batch:
        step, micro = divmod(number, self.config.accumulation)
        indices = micro_batch(
            step,
            micro,
            self.rank,
            batch=self.config.batch_size,
            accumulation=self.config.accumulation,
            processes=self.processes,
        )
        samples = [self.plan[index] for index in indices]
        xs, noises, sigmas = [], [], []
        for sample in samples:
            generator = torch.Generator().manual_seed(sample.noise_seed)
            mean, std = self.cache.load_image(sample.icon)
            latents = mean + std * torch.randn(mean.shape, generator=generator)
            xs.append(scale_latents(latents, *self.scaling))
            noises.append(torch.randn(mean.shape, generator=generator))
            sigmas.append(
                sample_sigma(
                    generator,
                    self.config.timestep_sampling,
                    logit_mean=self.config.logit_mean,
                    logit_std=self.config.logit_std,
                    mu=self.mu if sample.icon.size is None else self.bucket_mu[sample.icon.size],
                )
            )
        captions = tuple(sample.caption for sample in samples)
        return Batch(
            icon_ids=tuple(sample.icon.icon_id for sample in samples),
            captions=captions,
            x=torch.stack(xs),
            noise=torch.stack(noises),
            sigma=torch.tensor(sigmas, dtype=torch.float32),
            text=self.cache.load_texts(captions),
        )


@dataclass(kw_only=True)
class Trainer(Loop):
    """Trains the adapter of a transformer."""

    config: TrainingConfig
    transformer: Any
    """The transformer unwrapped."""
    source: BatchSource
    cache: EncodingCache
    fixed: dict[str, FixedNoise]
    """`train` and `heldout`."""
    guidance: float | None

    def trained(self) -> dict[str, torch.nn.Parameter]:
        """The adapter's parameters."""
        return trainable(self.transformer)

    def losses(self, batch: Batch) -> Tensor:
        """Loss per sample, (B,) fp32, differentiable."""
        with self.autocast():
            return flow_matching_loss(
                self.model,
                batch.x.to(self.device),
                batch.noise.to(self.device),
                batch.sigma.to(self.device),
                batch.text.to(self.device),
                self.guidance,
            )

    def share_gradients(self) -> None:
        """DDP averages in the backward pass; a sharded base has no DDP around it."""
        if self.config.shard_base:
            average_gradients(self.parameters.values(), self.accelerator)

    def blame(self, batch: Batch, bad: Sequence[int] | None) -> tuple[Sequence[str], Sequence[float]]:
        """Icons and sigmas of the samples `bad`, or of all."""
        chosen = range(len(batch.icon_ids)) if bad is None else bad
        return [batch.icon_ids[index] for index in chosen], [float(batch.sigma[index]) for index in chosen]

    def evaluate_splits(self) -> dict[str, dict[str, Any] | None]:
        """Fixed-noise losses of both splits."""
        return {
            split: fixed_noise_loss(
                self.transformer,
                fixed,
                self.cache,
                scaling=self.source.scaling,
                guidance=self.guidance,
                batch_size=self.config.batch_size,
                device=self.device,
                autocast=self.autocast(),
                step=self.state.step,
            )
            for split, fixed in self.fixed.items()
        }

    def tensors(self) -> dict[str, Tensor]:
        """The adapter's weights by module name."""
        return adapter_tensors(self.transformer)

    def set_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Overwrite the adapter's weights; refuses those of another adapter."""
        set_adapter_tensors(self.transformer, tensors)

    def exported(self) -> tuple[int, dict[str, Tensor]]:
        """(step, weights) of the adapter that `config.export` asks for."""
        step = self.state.step if self.config.export == "last" else self.restore_best()
        with self.averaged():
            return step, self.tensors()
