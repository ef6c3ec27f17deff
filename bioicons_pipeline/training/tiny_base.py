"""Builds `flux-tiny`: a real Flux pipeline of a few megabytes, from configs alone, offline.

Belongs here: shapes, initial weights and tokenizers of the tiny base. Does not belong here: anything that
trains. Every class is the one FLUX.1-dev uses; weights are a function of parameter name and shape only,
so the same folder comes out on every machine and a test may compare fingerprints.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import string
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

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


def make_tokenizers() -> tuple[Any, Any]:
    """CLIP byte-pair and T5 unigram tokenizers over ASCII and the words captions are made of."""
    from transformers import CLIPTokenizer, T5TokenizerFast  # type: ignore[attr-defined]

    letters = string.ascii_lowercase + string.digits + string.punctuation
    vocabulary: dict[str, int] = {}
    for symbol in [*_byte_symbols(), *(f"{symbol}</w>" for symbol in _byte_symbols())]:
        vocabulary.setdefault(symbol, len(vocabulary))
    merges: Any = []
    for word in WORDS:
        left = word[0]
        for position, letter in enumerate(word[1:], start=2):
            right = letter + ("</w>" if position == len(word) else "")
            if left + right not in vocabulary:
                vocabulary[left + right] = len(vocabulary)
                merges.append((left, right))
            left += right
    for special in ("<|startoftext|>", "<|endoftext|>"):
        vocabulary[special] = len(vocabulary)
    clip = CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77)
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -4.0)]
    pieces += [(letter, -8.0) for letter in letters + string.ascii_uppercase + "éüöäµαβγσ"]
    pieces += [(f"▁{word}", -5.0 - 0.001 * rank) for rank, word in enumerate(WORDS)]
    return clip, T5TokenizerFast(vocab=pieces, extra_ids=0, model_max_length=512)


def _byte_symbols() -> list[str]:
    """The 256 printable characters that byte-level BPE writes bytes as (GPT-2's table)."""
    from tokenizers import pre_tokenizers

    return sorted(pre_tokenizers.ByteLevel.alphabet())


WORDS = tuple(
    dict.fromkeys(
        [
            "a",
            "an",
            "the",
            "of",
            "in",
            "on",
            "with",
            "and",
            "from",
            "at",
            "by",
            "for",
            "no",
            "to",
            "two",
            "three",
            "four",
            "one",
            "single",
            "pair",
            "group",
            "icon",
            "bioicons",
            "style",
            "scientific",
            "illustration",
            "flat",
            "vector",
            "simple",
            "clean",
            "white",
            "background",
            "side",
            "view",
            "top",
            "front",
            "section",
            "cross",
            "detail",
            "outline",
            "filled",
            "black",
            "grey",
            "gray",
            "red",
            "orange",
            "yellow",
            "green",
            "blue",
            "purple",
            "pink",
            "brown",
            "beige",
            "dark",
            "light",
            "transparent",
            "colour",
            "color",
            "colours",
            "cell",
            "cells",
            "membrane",
            "nucleus",
            "mitochondria",
            "mitochondrion",
            "ribosome",
            "golgi",
            "vesicle",
            "chromosome",
            "chromatin",
            "dna",
            "rna",
            "mrna",
            "trna",
            "plasmid",
            "gene",
            "protein",
            "enzyme",
            "antibody",
            "receptor",
            "channel",
            "ligand",
            "kinase",
            "peptide",
            "lipid",
            "bilayer",
            "virus",
            "virion",
            "capsid",
            "phage",
            "bacteria",
            "bacterium",
            "bacterial",
            "yeast",
            "fungus",
            "fungi",
            "algae",
            "neuron",
            "axon",
            "dendrite",
            "synapse",
            "astrocyte",
            "microglia",
            "muscle",
            "bone",
            "blood",
            "vessel",
            "artery",
            "vein",
            "heart",
            "lung",
            "liver",
            "kidney",
            "brain",
            "eye",
            "ear",
            "skin",
            "hair",
            "tooth",
            "stomach",
            "intestine",
            "pancreas",
            "spleen",
            "spine",
            "hand",
            "foot",
            "leg",
            "arm",
            "head",
            "body",
            "human",
            "person",
            "man",
            "woman",
            "child",
            "patient",
            "doctor",
            "mouse",
            "rat",
            "rabbit",
            "dog",
            "cat",
            "pig",
            "cow",
            "sheep",
            "goat",
            "horse",
            "monkey",
            "frog",
            "fish",
            "zebrafish",
            "fly",
            "drosophila",
            "mosquito",
            "worm",
            "bee",
            "ant",
            "spider",
            "snail",
            "bird",
            "chicken",
            "tardigrade",
            "plant",
            "leaf",
            "root",
            "stem",
            "flower",
            "seed",
            "tree",
            "grass",
            "rice",
            "maize",
            "tomato",
            "wheat",
            "arabidopsis",
            "moss",
            "lab",
            "laboratory",
            "tube",
            "test",
            "beaker",
            "flask",
            "bottle",
            "vial",
            "pipette",
            "tip",
            "syringe",
            "needle",
            "petri",
            "dish",
            "plate",
            "well",
            "wells",
            "microscope",
            "objective",
            "lens",
            "centrifuge",
            "incubator",
            "freezer",
            "bench",
            "hood",
            "glove",
            "gloves",
            "goggles",
            "coat",
            "burner",
            "balance",
            "thermometer",
            "gel",
            "electrophoresis",
            "sequencer",
            "pcr",
            "machine",
            "computer",
            "screen",
            "chart",
            "graph",
            "plot",
            "data",
            "arrow",
            "circle",
            "square",
            "box",
            "molecule",
            "atom",
            "bond",
            "structure",
            "chemistry",
            "chemical",
            "reaction",
            "liquid",
            "water",
            "drop",
            "oil",
            "gas",
            "solid",
            "crystal",
            "powder",
            "culture",
            "medium",
            "sample",
            "tissue",
            "organ",
            "organoid",
            "embryo",
            "egg",
            "sperm",
            "stem",
            "immune",
            "macrophage",
            "lymphocyte",
            "platelet",
            "erythrocyte",
            "leukocyte",
            "antigen",
            "vaccine",
            "drug",
            "pill",
            "tablet",
            "capsule",
            "animals",
            "human",
            "physiology",
            "equipment",
            "microbiology",
            "genetics",
        ]
    )
)
"""Words that get a token of their own in both tokenizers; anything else is spelled in letters."""
