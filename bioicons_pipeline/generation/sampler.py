"""Sampling: one pipeline, fixed prompts and seeds, with and without the adapter.

Every image has a generator of its own, made on the CPU from its seed, so an image does not depend on
which others are sampled beside it. The sampler is diffusers' FluxPipeline as it stands
(https://huggingface.co/docs/diffusers/api/pipelines/flux).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.generation.placement import Placement, installed_quantizers, placement

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from bioicons_pipeline.training.base_models import BaseModel
    from bioicons_pipeline.training.config import Quantization


_SAMPLING = threading.Lock()
"""A pipeline's scheduler remembers its step: two draws at once would spoil each other's pictures unseen."""


class GenerationError(BioiconsError):
    """Sampling cannot start or cannot go on."""


@dataclass(frozen=True)
class SamplingSettings:
    """How images are sampled.

    size: side in px, a multiple of 16 (VAE factor 8, patches of 2); steps: denoising steps;
    guidance: the distilled guidance given to the model; max_sequence_length: T5 tokens, the same as in
    training; batch: images that are sampled together, which changes them by rounding at most.
    """

    size: int = 1024
    steps: int = 28
    guidance: float = 3.5
    max_sequence_length: int = 512
    batch: int = 1


def suitable_batch(size: int) -> int:
    """How many images of `size` px to sample together: small ones leave most of a machine idle (16 icons of
    64 px on two CPU cores: 3.2 s together, 12.7 s one by one); one of 1024 px fills a GPU."""
    return max(1, min(16, (256 // max(size, 1)) ** 2))


def load_pipeline(base: BaseModel, adapters: Sequence[Path] = ()) -> Any:
    """A `FluxPipeline` of `base` on the best device there is, with the adapter files.

    On a GPU in bf16, or with the transformer quantized, by what memory is free: see `placement`.

    Raises:
        GenerationError: an adapter file is damaged or belongs to another base.
        TrainingError: a part of the base is missing.
    """
    # OpenMP threads that spin while they wait cost a busy CPU ten times the time (measured on two cores
    # beside other work: 13.3 s against 1.4 s for two images of flux-tiny). Read when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch

    from bioicons_pipeline.quiet import quieten_libraries
    from bioicons_pipeline.training.memory import pieces_of

    quieten_libraries()
    device, dtype = device_and_dtype()
    where = Placement()
    if device.type == "cuda":
        where = placement(pieces_of(base), torch.cuda.mem_get_info()[0], installed_quantizers())
    pipeline = assemble(base, dtype, where.quantize)
    for number, path in enumerate(adapters):
        try:
            pipeline.load_lora_weights(
                str(path.parent), weight_name=path.name, adapter_name=_adapter_name(number)
            )
        except Exception as error:  # diffusers, peft and safetensors raise types of their own here
            raise GenerationError(
                f"The adapter {path} does not load into {base.name} ({type(error).__name__}: "
                f"{str(error).splitlines()[0][:200]}): use an adapter that was trained on this base."
            ) from error
    if device.type == "cuda":
        _place(pipeline, where.offload)
    return pipeline


def assemble(base: BaseModel, dtype: torch.dtype, quantize: Quantization = "none") -> Any:
    """The `FluxPipeline` of `base` in main memory, its transformer as `quantize` says."""
    from diffusers import FluxPipeline

    from bioicons_pipeline.training.encoders import load_transformer

    held = {} if quantize == "none" else {"transformer": load_transformer(base, dtype, quantize)}
    pipeline = FluxPipeline.from_pretrained(
        base.path, revision=base.revision, torch_dtype=dtype, use_safetensors=True, **held
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def precision_of(pipeline: Any) -> str:
    """How the pipeline's transformer is held: `fp32`, `bf16`, or `bf16, weights int8`, for an icon's card."""
    transformer = pipeline.transformer
    plain = "bf16" if "bfloat16" in str(transformer.dtype) else "fp32"
    if getattr(transformer, "is_loaded_in_4bit", False):
        return "bf16, weights nf4"
    quantizer = getattr(transformer, "hf_quantizer", None)
    if quantizer is None:
        return plain
    float8 = type(quantizer.quantization_config.quant_type).__name__.startswith("Float8")
    return f"{plain}, weights {'fp8' if float8 else 'int8'}"


def device_and_dtype() -> tuple[torch.device, torch.dtype]:
    """Where models are sampled and in which precision: bf16 on a GPU, fp32 on a CPU."""
    import torch

    cuda = torch.cuda.is_available()
    return torch.device("cuda" if cuda else "cpu"), torch.bfloat16 if cuda else torch.float32


def _place(pipeline: Any, offload: str) -> None:
    if offload == "none":
        pipeline.to("cuda")
    elif offload == "parts":
        pipeline.enable_model_cpu_offload()
    else:
        pipeline.enable_sequential_cpu_offload()


def _adapter_name(number: int) -> str:
    return f"bioicons{number}"


def sample(
    pipeline: Any,
    prompts: Sequence[str],
    seeds: Sequence[int],
    settings: SamplingSettings,
    *,
    scales: Sequence[float] = (),
    progress: Callable[[int, int], None] | None = None,
) -> list[Image.Image]:
    """One RGB image of `settings.size` squared per prompt and seed.

    scales: strength of each adapter that the pipeline was loaded with, in that order; empty: the base alone.
    progress: called with denoising steps done and to do; what it raises ends the sampling.
    Whoever calls while another thread samples waits for it.
    Raises:
        GenerationError: as many seeds as prompts, and scales as adapters are needed; a setting out of range.
    """
    check_settings(settings)
    if len(prompts) != len(seeds):
        raise GenerationError(f"{len(prompts)} prompts and {len(seeds)} seeds: give one seed per prompt.")
    with _SAMPLING:
        use_adapters(pipeline, scales)
        return _sampled(pipeline, prompts, seeds, settings, progress)


def _sampled(
    pipeline: Any,
    prompts: Sequence[str],
    seeds: Sequence[int],
    settings: SamplingSettings,
    progress: Callable[[int, int], None] | None,
) -> list[Image.Image]:
    import torch

    images: list[Image.Image] = []
    total = settings.steps * len(prompts)

    def after_step(_pipeline: Any, step: int, _timestep: Any, kwargs: dict) -> dict:
        if progress:
            together = min(settings.batch, len(prompts) - len(images))
            progress(len(images) * settings.steps + (step + 1) * together, total)
        return kwargs

    for start in range(0, len(prompts), settings.batch):
        together = slice(start, start + settings.batch)
        with torch.inference_mode():
            result = pipeline(
                list(prompts[together]),
                height=settings.size,
                width=settings.size,
                num_inference_steps=settings.steps,
                guidance_scale=settings.guidance,
                max_sequence_length=settings.max_sequence_length,
                generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds[together]],
                callback_on_step_end=after_step,
            )
        images += [image.convert("RGB") for image in result.images]
    return images


def unread(pipeline: Any, prompt: str, settings: SamplingSettings) -> str:
    """The end of a prompt, beyond the T5 tokens that the model is given; "" where all of it is read."""
    tokens = pipeline.tokenizer_2(prompt).input_ids
    most = settings.max_sequence_length  # one of them ends the text
    return pipeline.tokenizer_2.decode(tokens[most - 1 : -1]) if len(tokens) > most else ""


def use_adapters(pipeline: Any, scales: Sequence[float]) -> None:
    """Give each loaded adapter its strength, in the order in which they were loaded; empty: the base alone.

    Raises:
        GenerationError: as many scales as adapters are needed.
    """
    loaded = {name for names in pipeline.get_list_adapters().values() for name in names}
    if scales and len(loaded) != len(scales):
        raise GenerationError(f"{len(scales)} scales for {len(loaded)} loaded adapters: give one for each.")
    if scales:
        pipeline.enable_lora()
        pipeline.set_adapters([_adapter_name(number) for number in range(len(scales))], list(scales))
    elif loaded:
        pipeline.disable_lora()


def check_settings(settings: SamplingSettings) -> None:
    """Refuse what no model can sample.

    Raises:
        GenerationError: naming the setting and its range.
    """
    if settings.size % 16 or not 16 <= settings.size <= 4096:
        raise GenerationError(
            f"Size {settings.size} px is no multiple of 16 up to 4096: use e.g. 64, 512 or 1024."
        )
    for name, lowest, highest in (("steps", 1, 500), ("guidance", 0, 30), ("batch", 1, 64)):
        value = getattr(settings, name)
        if not lowest <= value <= highest:
            raise GenerationError(
                f"{name} {value} is outside {lowest} to {highest}: give a value in between."
            )
