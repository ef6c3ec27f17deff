"""Builds `flux-tiny`: a real Flux pipeline of a few megabytes, from configs alone, offline.

Belongs here: shapes and initial weights of the tiny base. Does not belong here: its tokenizers
(`tiny_tokenizers`), anything that trains. Every class is the one FLUX.1-dev uses; weights are a function of
parameter name and shape only, so the same folder comes out on every machine and a test may compare
fingerprints.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bioicons_pipeline.training.tiny_tokenizers import make_tokenizers

FORMAT = 2
"""Raised when shapes, weights or tokenizers change, so that an old cached folder is not reused."""


@dataclass(frozen=True)
class TinySpec:
    """Size of a tiny Flux pipeline. `sum(axes) == head_dim`; VAE factor is 8 (four blocks)."""

    layers: int = 1
    single_layers: int = 3
    heads: int = 4
    head_dim: int = 32
    axes: tuple[int, int, int] = (8, 12, 12)
    text_dim: int = 96
    pooled_dim: int = 64
    text_layers: int = 2
    vae_channels: tuple[int, int, int, int] = (16, 16, 32, 32)
    guidance_embeds: bool = True


def build_tiny_base(cache_dir: Path, spec: TinySpec | None = None) -> Path:
    """Folder of the tiny base in diffusers layout under `cache_dir`; built once, complete or absent."""
    spec = spec or TinySpec()
    tag = hashlib.sha256(repr((FORMAT, spec)).encode()).hexdigest()[:12]
    target = Path(cache_dir) / f"flux-tiny-{tag}"
    if (target / "model_index.json").is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=".flux-tiny-", dir=target.parent))
    try:
        make_tiny_pipeline(spec).save_pretrained(str(building), safe_serialization=True)
        for path in building.rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        try:
            building.rename(target)
        except OSError:  # another process was faster; its folder has the same content
            if not (target / "model_index.json").is_file():
                raise
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return target


def make_tiny_pipeline(spec: TinySpec) -> Any:
    """The pipeline in memory: a `FluxPipeline` in fp32 on the CPU, in eval mode."""
    from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
    from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

    clip_tokenizer, t5_tokenizer = make_tokenizers()
    transformer = FluxTransformer2DModel(
        in_channels=64,
        num_layers=spec.layers,
        num_single_layers=spec.single_layers,
        attention_head_dim=spec.head_dim,
        num_attention_heads=spec.heads,
        joint_attention_dim=spec.text_dim,
        pooled_projection_dim=spec.pooled_dim,
        guidance_embeds=spec.guidance_embeds,
        axes_dims_rope=spec.axes,
    )
    shape: dict[str, Any] = {
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "block_out_channels": spec.vae_channels,
        "layers_per_block": 1,
        "latent_channels": 16,
        "norm_num_groups": 8,
        "scaling_factor": 1.0,
        "shift_factor": 0.0,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
    }
    vae = AutoencoderKL(**shape)
    clip = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(clip_tokenizer),
            hidden_size=spec.pooled_dim,
            intermediate_size=spec.pooled_dim * 2,
            projection_dim=spec.pooled_dim,
            num_hidden_layers=spec.text_layers,
            num_attention_heads=4,
            max_position_embeddings=77,
            bos_token_id=clip_tokenizer.bos_token_id,
            eos_token_id=clip_tokenizer.eos_token_id,
            pad_token_id=clip_tokenizer.pad_token_id,
        )
    )
    t5 = T5EncoderModel(
        T5Config(
            vocab_size=len(t5_tokenizer),
            d_model=spec.text_dim,
            d_kv=spec.text_dim // 4,
            d_ff=spec.text_dim * 2,
            num_layers=spec.text_layers,
            num_heads=4,
            feed_forward_proj="gated-gelu",
            dropout_rate=0.0,
        )
    )
    for name, module in {"transformer": transformer, "vae": vae, "clip": clip, "t5": t5}.items():
        initialise(module, name)
    _fit_vae(vae)
    _fit_transformer(transformer)
    pipeline = FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        vae=vae,
        text_encoder=clip,
        tokenizer=clip_tokenizer,
        text_encoder_2=t5,
        tokenizer_2=t5_tokenizer,
        transformer=transformer,
    )
    for module in (transformer, vae, clip, t5):
        module.eval().requires_grad_(False)
    return pipeline


@torch.no_grad()
def initialise(module: nn.Module, salt: str) -> None:
    """Fill each parameter from a generator seeded by its name: matrices N(0, 1/fan_in), biases 0, norms 1."""
    for name, parameter in module.named_parameters():
        seed = int.from_bytes(hashlib.sha256(f"{salt}/{name}".encode()).digest()[:7], "big")
        if parameter.ndim == 1:
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)
            continue
        values = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed))
        is_table = ("embed" in name and "embedder" not in name) or name.endswith("shared.weight")
        fan_in = 1 if is_table else parameter[0].numel()
        parameter.copy_(values / math.sqrt(fan_in))


@torch.no_grad()
def _fit_transformer(transformer: Any) -> None:
    """Make an untrained transformer that an adapter alone can teach something.

    Every block's gates are open (a closed gate passes no gradient to the adapter behind it), and the
    output projection is tied to the input embedding, so that the way from noise in to noise out exists.
    """
    width = transformer.inner_dim
    for block in transformer.transformer_blocks:
        for linear in (block.norm1.linear, block.norm1_context.linear):
            # AdaLayerNormZero's chunks: shift, scale, gate of attention; shift, scale, gate of feed-forward
            linear.weight.mul_(0.5)
            linear.bias.view(6, width)[[2, 5]] = 1.0
    for block in transformer.single_transformer_blocks:
        block.norm.linear.weight.mul_(0.5)
        block.norm.linear.bias.view(3, width)[2] = 1.0
    weight = transformer.x_embedder.weight  # (width, 64)
    if weight.shape[0] >= weight.shape[1]:
        weight.copy_(torch.linalg.qr(weight)[0] * math.sqrt(weight.shape[0] / weight.shape[1]))
    transformer.proj_out.weight.copy_(weight.T * (3 / math.sqrt(weight.shape[0])))


@torch.no_grad()
def _fit_vae(vae: Any) -> None:
    """Small posterior variance, as in FLUX.1's VAE, and a shift and scale that make latents standard."""
    vae.encoder.conv_out.weight[16:].mul_(0.1)
    vae.encoder.conv_out.bias[16:].fill_(-6.0)
    mean = vae.encode(_calibration_images()).latent_dist.mean
    vae.register_to_config(
        shift_factor=round(float(mean.mean()), 4), scaling_factor=round(1 / float(mean.std()), 4)
    )


def _calibration_images() -> torch.Tensor:
    """(8, 3, 64, 64) in [-1, 1]: coloured discs on white, the statistics of small icons."""
    axis = torch.arange(64, dtype=torch.float32)
    rows, columns = torch.meshgrid(axis, axis, indexing="ij")
    images = torch.ones(8, 3, 64, 64)
    for index in range(8):
        for disc in range(3):
            x, y, radius = 16 + 11 * disc + index, 20 + 7 * ((index + disc) % 4), 6 + 2 * ((index + disc) % 5)
            inside = (rows - y) ** 2 + (columns - x) ** 2 < radius**2
            for channel in range(3):
                images[index, channel][inside] = math.cos(1.7 * index + 2.1 * disc + channel)
    return images
