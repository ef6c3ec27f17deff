"""Sampling: one pipeline, fixed prompts and seeds, with and without the adapter.

Every image has a generator of its own, made on the CPU from its seed, so an image does not depend on
which others are sampled beside it. The sampler is diffusers' FluxPipeline as it stands
(https://huggingface.co/docs/diffusers/api/pipelines/flux).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioicons_pipeline.errors import BioiconsError

if TYPE_CHECKING:
    from PIL import Image

    from bioicons_pipeline.training.base_models import BaseModel

WEIGHTS_NAME = "pytorch_lora_weights.safetensors"


class GenerationError(BioiconsError):
    """Sampling cannot start or cannot go on."""


@dataclass(frozen=True)
class SamplingSettings:
    """How images are sampled.

    size: side in px, a multiple of 16 (VAE factor 8, patches of 2); steps: denoising steps;
    guidance: the distilled guidance given to the model; max_sequence_length: T5 tokens, the same as in
    training; lora_scale: strength of the adapter, 0 to 2.
    """

    size: int = 1024
    steps: int = 28
    guidance: float = 3.5
    max_sequence_length: int = 512
    lora_scale: float = 1.0


def load_pipeline(base: BaseModel, lora: Path | None = None) -> Any:
    """A `FluxPipeline` of `base` on the best device there is, with the adapter file `lora` if given.

    Raises:
        GenerationError: the adapter file is damaged or belongs to another base.
    """
    # OpenMP threads that spin while they wait cost a busy CPU ten times the time (measured on two cores
    # beside other work: 13.3 s against 1.4 s for two images of flux-tiny). Read when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch
    from diffusers import FluxPipeline

    cuda = torch.cuda.is_available()
    dtype = torch.bfloat16 if cuda else torch.float32
    pipeline = FluxPipeline.from_pretrained(
        base.path, revision=base.revision, torch_dtype=dtype, use_safetensors=True
    )
    pipeline.set_progress_bar_config(disable=True)
    if lora is not None:
        try:
            pipeline.load_lora_weights(str(lora.parent), weight_name=lora.name, adapter_name="bioicons")
        except Exception as error:  # diffusers, peft and safetensors raise types of their own here
            raise GenerationError(
                f"The adapter {lora} does not load into {base.name} ({type(error).__name__}: "
                f"{str(error).splitlines()[0][:200]}): use an adapter that was trained on this base."
            ) from error
    if cuda and torch.cuda.mem_get_info()[1] < 40 * 2**30:
        pipeline.enable_model_cpu_offload()
    elif cuda:
        pipeline.to("cuda")
    return pipeline


def sample(
    pipeline: Any,
    prompts: Sequence[str],
    seeds: Sequence[int],
    settings: SamplingSettings,
    *,
    with_lora: bool,
    progress: Callable[[int, int], None] | None = None,
) -> list[Image.Image]:
    """One RGB image of `settings.size` squared per prompt and seed.

    Raises:
        GenerationError: as many seeds as prompts are needed; the size is no multiple of 16.
    """
    import torch

    if len(prompts) != len(seeds):
        raise GenerationError(f"{len(prompts)} prompts and {len(seeds)} seeds: give one seed per prompt.")
    if settings.size % 16 or settings.size <= 0:
        raise GenerationError(f"Size {settings.size} px is no multiple of 16: use e.g. 64, 512 or 1024.")
    if pipeline.get_list_adapters():
        pipeline.enable_lora() if with_lora else pipeline.disable_lora()
        if with_lora:
            pipeline.set_adapters(["bioicons"], [settings.lora_scale])
    elif with_lora:
        raise GenerationError("No adapter is loaded: give the pipeline one or sample without it.")
    images = []
    for index, (prompt, seed) in enumerate(zip(prompts, seeds, strict=True)):
        with torch.inference_mode():
            result = pipeline(
                prompt,
                height=settings.size,
                width=settings.size,
                num_inference_steps=settings.steps,
                guidance_scale=settings.guidance,
                max_sequence_length=settings.max_sequence_length,
                generator=torch.Generator("cpu").manual_seed(seed),
            )
        images.append(result.images[0].convert("RGB"))
        if progress:
            progress(index + 1, len(prompts))
    return images
