"""The training loop: batches, optimizer steps, evaluations, checkpoints. Nothing else costs time here.

Belongs here: what happens between the first and the last step. Does not belong here: getting ready and
publishing (run). The loop never sees an encoder or a picture.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bioicons_pipeline.training import checkpoint as checkpoints
from bioicons_pipeline.training.adapter import adapter_tensors, set_adapter_tensors, trainable
from bioicons_pipeline.training.cache import EncodingCache
from bioicons_pipeline.training.checkpoint import Checkpoint, RunState
from bioicons_pipeline.training.config import TrainingConfig
from bioicons_pipeline.training.data import SamplePlan, micro_batch
from bioicons_pipeline.training.errors import NonFiniteError
from bioicons_pipeline.training.evaluate import FixedNoise, fixed_noise_loss
from bioicons_pipeline.training.objective import (
    Conditioning,
    flow_matching_loss,
    sample_sigma,
    scale_latents,
)


@dataclass(frozen=True)
class Batch:
    """One forward pass: `x` scaled latents, `noise`, both (B, 16, h, w) fp32; `sigma` (B,) fp32."""

    icon_ids: tuple[str, ...]
    captions: tuple[str, ...]
    x: Tensor
    noise: Tensor
    sigma: Tensor
    text: Conditioning


class BatchSource(torch.utils.data.Dataset[Batch]):
    """Batch number i of this process, counted over the whole run; a pure function of i.

    Every sample has a generator of its own, so its noise depends neither on its neighbours in the batch,
    nor on how many processes there are, nor on whether a worker made it.
    """

    def __init__(
        self,
        plan: SamplePlan,
        cache: EncodingCache,
        config: TrainingConfig,
        *,
        scaling: tuple[float, float],
        mu: float,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self.plan, self.cache, self.config = plan, cache, config
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
                    mu=self.mu,
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


def batches(source: BatchSource, first: int, last: int, workers: int) -> Iterator[Batch]:
    """Batches `first` to `last` − 1 in order, read ahead by `workers` processes."""
    loader = torch.utils.data.DataLoader(
        source,
        batch_size=None,
        sampler=range(first, last),
        num_workers=workers,
        collate_fn=lambda batch: batch,
        # torch draws a seed for its workers from a generator: not from the global one
        generator=torch.Generator().manual_seed(0),
    )
    return iter(loader)


def learning_rate(config: TrainingConfig, step: int) -> float:
    """Learning rate of optimizer step `step`, from 0; a pure function, so there is no state to save."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return config.learning_rate
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    factor = 1 - done if config.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))
    return config.learning_rate * factor


@dataclass
class Trainer:
    """One run on one process. `fit` goes from `state.step` to `config.steps`."""

    config: TrainingConfig
    model: Any
    """The transformer as called in training (wrapped for several processes)."""
    transformer: Any
    """The same transformer unwrapped."""
    accelerator: Any
    autocast: Callable[[], AbstractContextManager[Any]]
    source: BatchSource
    cache: EncodingCache
    fixed: dict[str, FixedNoise]
    """`train` and `heldout`."""
    guidance: float | None
    checkpoint_dir: Path
    identity: dict[str, Any]
    on_step: Callable[[RunState, float], None] = lambda state, rate: None
    on_evaluation: Callable[[RunState, dict[str, Any]], None] = lambda state, evaluation: None

    def __post_init__(self) -> None:
        self.state = RunState()
        self.device: torch.device = self.accelerator.device
        self.parameters = trainable(self.transformer)
        self.names = list(self.parameters)
        self.optimizer = torch.optim.AdamW(
            list(self.parameters.values()),
            lr=self.config.learning_rate,
            betas=(self.config.adam_beta1, self.config.adam_beta2),
            eps=self.config.adam_epsilon,
            weight_decay=self.config.weight_decay,
        )

    def resume(self, path: Path) -> None:
        """Go on from the checkpoint in `path`; see `load_checkpoint` for what is refused."""
        read = checkpoints.load_checkpoint(path, self.identity)
        set_adapter_tensors(self.transformer, read.adapter)
        checkpoints.load_optimizer(self.optimizer, self.names, read.optimizer)
        checkpoints.load_rng(read.rng)
        self.state = read.state

    def fit(self) -> None:
        """Train to the last step. Whoever stops it loses at most `checkpoint_every` steps."""
        config, state = self.config, self.state
        if not state.evaluations:
            self.evaluate()
        first = state.step * config.accumulation
        stream = batches(self.source, first, config.steps * config.accumulation, config.workers)
        while state.step < config.steps:
            started = time.perf_counter()
            self.train_step(stream)
            state.seconds += time.perf_counter() - started
            self.on_step(state, learning_rate(config, state.step - 1))
            last = state.step == config.steps
            improved = False
            if last or (config.eval_every and state.step % config.eval_every == 0):
                improved = self.evaluate()
            if last or improved or state.step % config.checkpoint_every == 0:
                self.save()

    def train_step(self, stream: Iterator[Batch]) -> None:
        """One optimizer step over `accumulation` forward passes."""
        config, state = self.config, self.state
        total = 0.0
        for micro in range(config.accumulation):
            batch = next(stream)
            final = micro == config.accumulation - 1
            with nullcontext() if final else self.accelerator.no_sync(self.model):
                losses = self.losses(batch)
                self.accelerator.backward(losses.mean() / config.accumulation)
            total += self._checked(losses, batch)
        norm = float(torch.nn.utils.clip_grad_norm_(self._values(), config.max_grad_norm or math.inf))
        if not math.isfinite(norm):
            raise NonFiniteError("gradient", state.step + 1, batch.icon_ids, batch.sigma.tolist())
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(config, state.step)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        state.step += 1
        state.losses.append(total / config.accumulation)
        state.grad_norms.append(norm)

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

    def _checked(self, losses: Tensor, batch: Batch) -> float:
        """Mean of the losses over all processes; stops where one is not finite."""
        values = losses.detach().tolist()
        bad = [index for index, value in enumerate(values) if not math.isfinite(value)]
        if bad:
            raise NonFiniteError(
                "loss",
                self.state.step + 1,
                [batch.icon_ids[index] for index in bad],
                [float(batch.sigma[index]) for index in bad],
            )
        if self.accelerator.num_processes == 1:
            return sum(values) / len(values)
        return float(self.accelerator.reduce(losses.detach().mean(), reduction="mean"))

    def _values(self) -> list[torch.nn.Parameter]:
        return list(self.parameters.values())

    def evaluate(self) -> bool:
        """Fixed-noise losses at this step; True when the held-out loss is the best of a trained adapter."""
        state = self.state
        found: dict[str, Any] = {"step": state.step}
        for split, fixed in self.fixed.items():
            found[split] = fixed_noise_loss(
                self.transformer,
                fixed,
                self.cache,
                scaling=self.source.scaling,
                guidance=self.guidance,
                batch_size=self.config.batch_size,
                device=self.device,
                autocast=self.autocast(),
                step=state.step,
            )
        state.evaluations.append(found)
        self.on_evaluation(state, found)
        if state.step == 0 or found["heldout"] is None:
            return False
        loss = found["heldout"]["loss"]
        if state.best_loss is None or loss < state.best_loss:
            state.best_step, state.best_loss = state.step, loss
            return True
        return False

    def save(self) -> None:
        """Write a checkpoint of this step (the main process only)."""
        if self.accelerator.is_main_process:
            made = Checkpoint(
                state=self.state,
                adapter=adapter_tensors(self.transformer),
                optimizer=checkpoints.optimizer_tensors(self.optimizer, self.names),
                rng=checkpoints.rng_tensors(),
            )
            checkpoints.save_checkpoint(
                self.checkpoint_dir, self.identity, made, keep=self.config.keep_checkpoints
            )
        self.accelerator.wait_for_everyone()

    def exported(self) -> tuple[int, dict[str, Tensor]]:
        """(step, weights) of the adapter that `config.export` asks for."""
        best = self.state.best_step
        if self.config.export == "last" or best is None or best == self.state.step:
            return self.state.step, adapter_tensors(self.transformer)
        path = checkpoints.checkpoint_of(self.checkpoint_dir, best)
        return best, checkpoints.load_checkpoint(path, self.identity).adapter
