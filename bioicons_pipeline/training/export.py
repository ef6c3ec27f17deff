"""The adapter as files that other programs read: diffusers/peft layout and kohya layout (ComfyUI, Forge).

Belongs here: key names, the fused matrices of the original Flux layout, provenance in the header. Does
not belong here: checkpoints. Key names follow diffusers' `FluxPipeline.save_lora_weights` and
kohya-ss/sd-scripts' `networks/lora_flux.py`; header keys `modelspec.*` follow
https://github.com/Stability-AI/ModelSpec.

The original Flux has q, k and v in one matrix (and, in single blocks, the feed-forward input too). Three
LoRAs of rank r become one of rank 3 r: the A stacked, the B on a block diagonal, alpha times 3, exactly
the same product. Where a part of the fused matrix has no LoRA its rows are zero.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor


def diffusers_file(
    tensors: Mapping[str, Tensor], lora_config: Mapping[str, Any], metadata: Mapping[str, str]
) -> bytes:
    """The file that `FluxPipeline.load_lora_weights` reads.

    tensors: see `adapter.file_name`; lora_config: peft's description, which carries alpha and rsLoRA (the
    tensors do not); metadata: further header entries, all strings.
    """
    described = {f"transformer.{key}": value for key, value in lora_config.items()}
    header = {**metadata, "format": "pt", "lora_adapter_metadata": json.dumps(described, sort_keys=True)}
    return safetensors_bytes({f"transformer.{name}": value for name, value in tensors.items()}, header)


def comfyui_file(
    tensors: Mapping[str, Tensor], *, alpha: float, width: int, metadata: Mapping[str, str]
) -> bytes:
    """The file that ComfyUI and sd-scripts read; `width` is the transformer's inner dimension."""
    return safetensors_bytes(to_kohya(tensors, alpha=alpha, width=width), {**metadata, "format": "pt"})


_PLAIN = {
    r"transformer_blocks\.(\d+)\.attn\.to_out\.0": "double_blocks_{}_img_attn_proj",
    r"transformer_blocks\.(\d+)\.attn\.to_add_out": "double_blocks_{}_txt_attn_proj",
    r"transformer_blocks\.(\d+)\.ff\.net\.0\.proj": "double_blocks_{}_img_mlp_0",
    r"transformer_blocks\.(\d+)\.ff\.net\.2": "double_blocks_{}_img_mlp_2",
    r"transformer_blocks\.(\d+)\.ff_context\.net\.0\.proj": "double_blocks_{}_txt_mlp_0",
    r"transformer_blocks\.(\d+)\.ff_context\.net\.2": "double_blocks_{}_txt_mlp_2",
    r"single_transformer_blocks\.(\d+)\.proj_out": "single_blocks_{}_linear2",
}
_FUSED = {
    # name pattern → (fused name, place in it, number of places)
    r"transformer_blocks\.(\d+)\.attn\.to_q": ("double_blocks_{}_img_attn_qkv", 0, 3),
    r"transformer_blocks\.(\d+)\.attn\.to_k": ("double_blocks_{}_img_attn_qkv", 1, 3),
    r"transformer_blocks\.(\d+)\.attn\.to_v": ("double_blocks_{}_img_attn_qkv", 2, 3),
    r"transformer_blocks\.(\d+)\.attn\.add_q_proj": ("double_blocks_{}_txt_attn_qkv", 0, 3),
    r"transformer_blocks\.(\d+)\.attn\.add_k_proj": ("double_blocks_{}_txt_attn_qkv", 1, 3),
    r"transformer_blocks\.(\d+)\.attn\.add_v_proj": ("double_blocks_{}_txt_attn_qkv", 2, 3),
    r"single_transformer_blocks\.(\d+)\.attn\.to_q": ("single_blocks_{}_linear1", 0, 4),
    r"single_transformer_blocks\.(\d+)\.attn\.to_k": ("single_blocks_{}_linear1", 1, 4),
    r"single_transformer_blocks\.(\d+)\.attn\.to_v": ("single_blocks_{}_linear1", 2, 4),
    r"single_transformer_blocks\.(\d+)\.proj_mlp": ("single_blocks_{}_linear1", 3, 4),
}
_MLP_RATIO = 4
"""Width of Flux's feed-forward layers over the inner dimension (mlp_ratio of FluxSingleTransformerBlock)."""


def to_kohya(tensors: Mapping[str, Tensor], *, alpha: float, width: int) -> dict[str, Tensor]:
    """diffusers names → `lora_unet_<module>.lora_down.weight`, `.lora_up.weight`, `.alpha`.

    Raises:
        KeyError: a module that the original Flux layout has no place for.
    """
    modules = sorted({name.rsplit(".lora_", 1)[0] for name in tensors})
    result: dict[str, Tensor] = {}
    fused: dict[str, dict[int, tuple[Tensor, Tensor]]] = {}
    for module in modules:
        down, up = tensors[f"{module}.lora_A.weight"], tensors[f"{module}.lora_B.weight"]
        name, place, _ = _kohya_name(module)
        if place is None:
            _put(result, name, down, up, alpha)
        else:
            fused.setdefault(name, {})[place] = (down, up)
    for name, parts in fused.items():
        sizes = [width] * 3 + ([_MLP_RATIO * width] if name.endswith("linear1") else [])
        places = sorted(parts)
        down = torch.cat([parts[place][0] for place in places])
        up = torch.zeros(sum(sizes), down.shape[0], dtype=down.dtype)
        column = 0
        for place in places:
            block = parts[place][1]
            row = sum(sizes[:place])
            up[row : row + sizes[place], column : column + block.shape[1]] = block
            column += block.shape[1]
        _put(result, name, down, up, alpha * len(places))
    return result


def _kohya_name(module: str) -> tuple[str, int | None, int]:
    for pattern, target in _PLAIN.items():
        if match := re.fullmatch(pattern, module):
            return f"lora_unet_{target.format(match[1])}", None, 1
    for pattern, (target, place, count) in _FUSED.items():
        if match := re.fullmatch(pattern, module):
            return f"lora_unet_{target.format(match[1])}", place, count
    raise KeyError(f"{module} has no place in the original Flux layout")


def _put(result: dict[str, Tensor], name: str, down: Tensor, up: Tensor, alpha: float) -> None:
    result[f"{name}.lora_down.weight"] = down.contiguous()
    result[f"{name}.lora_up.weight"] = up.contiguous()
    result[f"{name}.alpha"] = torch.tensor(float(alpha))


def header(
    *,
    base: Mapping[str, Any],
    dataset_version: str,
    config: Mapping[str, Any],
    step: int,
    provenance: Mapping[str, Any],
    partition: str,
    alpha: float | None = None,
    kind: str = "LoRA",
) -> dict[str, str]:
    """Provenance for the safetensors header; every value is a string, structures are JSON.

    base: `name`, `fingerprint`, `licence`, `licence_url`, `notice`, of one on the hub `revision`; alpha: what
    programs that divide by rank are told, the config's own where None; kind: see `adapter.kind`, said where
    it is no plain LoRA.
    """
    licence_mix = provenance.get("licence_mix", {})
    trigger = str(provenance.get("trigger") or "")
    return {
        "base": str(base["name"]),
        "base_fingerprint": str(base["fingerprint"]),
        "base_licence": str(base["licence"]),
        "base_notice": str(base["notice"]),
        "dataset_version": dataset_version,
        "upstream_commit": str(provenance.get("commit") or provenance.get("upstream_commit") or ""),
        "licence_mix": json.dumps(licence_mix, sort_keys=True, ensure_ascii=False),
        "trigger": trigger,
        "category": str(provenance.get("category") or partition),
        "config": json.dumps(config, sort_keys=True),
        "steps": str(step),
        "provenance": json.dumps(provenance, sort_keys=True, ensure_ascii=False),
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": "flux-1-dev/lora",
        "modelspec.implementation": "https://github.com/huggingface/diffusers",
        "modelspec.title": f"bioicons style: {partition}",
        "modelspec.trigger_phrase": trigger,
        "modelspec.license": str(base["licence"]),
        "modelspec.resolution": f"{config['resolution']}x{config['resolution']}",
        "modelspec.prediction_type": "flow",
        "ss_network_module": "networks.lora_flux",
        "ss_network_dim": str(config["rank"]),
        "ss_network_alpha": str(config["alpha"] if alpha is None else alpha),
        "ss_base_model_version": "flux1",
        **({"base_revision": str(base["revision"])} if base.get("revision") else {}),
        **({} if kind == "LoRA" else {"adapter": kind}),
    }


def safetensors_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """A safetensors file whose bytes are a function of its content.

    The library writes header entries in a random order, and equal adapters would then have unequal
    hashes; here the header is rewritten with sorted entries
    (https://github.com/huggingface/safetensors#format).
    """
    data = save({name: value.detach().cpu().contiguous() for name, value in tensors.items()})
    length = int.from_bytes(data[:8], "little")
    fields = {**json.loads(data[8 : 8 + length]), "__metadata__": dict(metadata)}
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + length :]
