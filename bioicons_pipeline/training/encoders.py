"""Loads the base piece by piece: VAE, then text encoders, each freed before the next; then the transformer.

Belongs here: `from_pretrained` of single components, and filling the cache with them. Does not belong
here: what is cached under which key (cache). The peak of memory is the largest piece, not the sum, and a
run whose cache is complete loads neither encoder.
"""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from bioicons_pipeline.training.base_models import BaseModel, hub_token
from bioicons_pipeline.training.cache import EncodingCache
from bioicons_pipeline.training.config import Quantization
from bioicons_pipeline.training.data import IconSet
from bioicons_pipeline.training.errors import TrainingError
from bioicons_pipeline.training.extras import require

PhaseProgress = Callable[[str, int, int], None]


def fill_cache(
    cache: EncodingCache,
    base: BaseModel,
    sets: Sequence[IconSet],
    captions: Sequence[str],
    *,
    device: torch.device,
    dtype: torch.dtype,
    progress: PhaseProgress,
) -> int:
    """Encode whatever the cache lacks; `progress(phase, done, total)` is called per entry.

    Returns how many of the captions encoded now are longer than the cache's T5 length, and so were cut.
    """
    lacking = [(icon_set, cache.missing_images(icon_set.icons)) for icon_set in sets]
    if any(wanted for _, wanted in lacking):
        vae = load_vae(base).to(device)
        for icon_set, wanted in lacking:
            if wanted:
                cache.fill_images(icon_set, wanted, vae, lambda done, total: progress("images", done, total))
        del vae
        release(device)
    texts = cache.missing_captions(captions)
    if texts:
        encoder = TextEncoder(base, device, dtype)
        cache.fill_texts(texts, encoder, lambda done, total: progress("captions", done, total))
        cut = encoder.cut
        del encoder
        release(device)
        return cut
    return 0


def load_vae(base: BaseModel) -> Any:
    """The VAE alone, fp32 (bf16 shifts the latents), frozen."""
    from diffusers import AutoencoderKL

    with _readable(base, "VAE"):
        vae = AutoencoderKL.from_pretrained(
            base.path, subfolder="vae", torch_dtype=torch.float32, **_hub(base)
        )
    return vae.eval().requires_grad_(False)


def latent_scaling(base: BaseModel) -> tuple[float, float]:
    """(shift, scale) of the base's latents, read from the VAE's config without loading its weights."""
    from diffusers import AutoencoderKL

    with _readable(base, "VAE config"):
        config: Any = AutoencoderKL.load_config(base.path, subfolder="vae", **_hub(base))
    return float(config.get("shift_factor") or 0.0), float(config.get("scaling_factor") or 1.0)


def scheduler_config(base: BaseModel) -> dict[str, Any]:
    """Config of the base's scheduler, for the resolution shift."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    with _readable(base, "scheduler"):
        config: Any = FlowMatchEulerDiscreteScheduler.load_config(
            base.path, subfolder="scheduler", **_hub(base)
        )
    return dict(config)


def load_scheduler(base: BaseModel) -> Any:
    """The base's own scheduler."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    with _readable(base, "scheduler"):
        return FlowMatchEulerDiscreteScheduler.from_pretrained(base.path, subfolder="scheduler", **_hub(base))


def load_transformer(base: BaseModel, dtype: torch.dtype, quantize: Quantization = "none") -> Any:
    """The transformer alone, frozen, in eval mode (Flux has no layer that differs in training).

    quantize: the linear layers' weights are quantized while they are read, so that the whole is at no moment
    in memory in `dtype`; what is computed with them is computed in `dtype`. int8 gives the result in the
    type of its input, so what blocks hand on is fp32 there.
    """
    from diffusers import FluxTransformer2DModel

    options = {} if quantize == "none" else {"quantization_config": quantization(quantize, dtype)}
    with _readable(base, "transformer"):
        model = FluxTransformer2DModel.from_pretrained(
            base.path, subfolder="transformer", torch_dtype=dtype, **options, **_hub(base)
        )
    return model.eval().requires_grad_(False)


def quantization(kind: Quantization, dtype: torch.dtype) -> Any:
    """What diffusers is told, for `int8` or `fp8` (float8_e4m3; both weights alone, a scale per row) or `nf4`
    (QLoRA's 4-bit type with quantized scales, https://arxiv.org/abs/2305.14314).

    Raises:
        TrainingError: the library that does it is not installed.
    """
    from diffusers import BitsAndBytesConfig, TorchAoConfig

    if kind in ("int8", "fp8"):
        torchao = require("torchao.quantization", f"quantize {kind}", "set quantize to none")
        weights = torchao.Int8WeightOnlyConfig if kind == "int8" else torchao.Float8WeightOnlyConfig
        return TorchAoConfig(weights())
    require("bitsandbytes", "quantize nf4", "set quantize to int8")
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


class TextEncoder:
    """Both text encoders, through FluxPipeline's own `encode_prompt`: training text is sampling text."""

    def __init__(self, base: BaseModel, device: torch.device, dtype: torch.dtype) -> None:
        from diffusers import FluxPipeline

        with _readable(base, "text encoders"):
            pipeline = FluxPipeline.from_pretrained(
                base.path, transformer=None, vae=None, torch_dtype=dtype, **_hub(base)
            )
        for part in (pipeline.text_encoder, pipeline.text_encoder_2):
            part.eval().requires_grad_(False)
        self.pipeline: Any = pipeline.to(device)
        self.cut = 0
        """Captions seen that have more T5 tokens than were asked for."""

    def __call__(self, caption: str, t5_length: int) -> tuple[Tensor, Tensor]:
        """T5 states (t5_length, d) and pooled CLIP embedding (p,) of one caption."""
        tokens = self.pipeline.tokenizer_2(caption, padding=False, truncation=False).input_ids
        self.cut += len(tokens) > t5_length
        with torch.inference_mode():
            t5, pooled = self.pipeline.encode_prompt(caption, max_sequence_length=t5_length)[:2]
        return t5[0], pooled[0]


def release(device: torch.device) -> None:
    """Give freed memory back before the next piece is loaded."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _hub(base: BaseModel) -> dict[str, Any]:
    if base.revision is None:
        return {}
    return {"revision": base.revision, "token": hub_token()}


@contextmanager
def _readable(base: BaseModel, what: str) -> Iterator[None]:
    """A missing or damaged file of the base becomes one sentence."""
    try:
        with warnings.catch_warnings():
            # `torch_dtype` is `dtype` in the newest diffusers and unknown under that name in older ones
            warnings.simplefilter("ignore", FutureWarning)
            yield
    except (OSError, ValueError, KeyError) as error:
        first = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise TrainingError(
            f"The {what} of base model {base.name} cannot be loaded from {base.path} ({first}): download or "
            "build the base again."
        ) from error
