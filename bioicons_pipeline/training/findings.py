"""What must hold of an adapter file, asked of its bytes.

Belongs here: finite, not idle, the right modules, a complete header. Does not belong here: writing the file
(`export`), what is done about a finding (orchestration). torch is imported inside.
"""

from __future__ import annotations

import json
import re

from bioicons_pipeline.training.errors import TrainingError
from bioicons_pipeline.training.header import safetensors_metadata

HEADER = ("base", "base_fingerprint", "dataset_version", "upstream_commit", "config", "provenance",
          "lora_adapter_metadata")  # fmt: skip
"""What the header must say, so that a file can be traced back without this project's store."""
_NAME = re.compile(r"transformer\.(?P<module>.+)\.lora_(?P<part>A\.weight|B\.weight|magnitude_vector)")
_PAIR, _MAGNITUDE = {"A.weight", "B.weight"}, "magnitude_vector"


def adapter_faults(data: bytes) -> list[str]:
    """What is wrong with an adapter in diffusers' layout; [] if nothing is."""
    import torch
    from safetensors.torch import load

    from bioicons_pipeline.training.adapter import TARGETS

    try:
        header = safetensors_metadata(data)
        tensors = load(data)
    except (TrainingError, ValueError, OSError) as error:
        return [f"the file cannot be read: {error}"]
    found = [f"the header does not say {key}" for key in HEADER if not header.get(key)]
    parts: dict[str, set[str]] = {}
    for name, tensor in tensors.items():
        match = _NAME.fullmatch(name)
        if match is None or not re.fullmatch(TARGETS["attention+ff"], match["module"]):
            found.append(f"{name}: no module that a Flux LoRA adapts")
            continue
        parts.setdefault(match["module"], set()).add(match["part"])
        if not torch.isfinite(tensor).all():
            found.append(f"{name}: it has values that are not finite")
    if not any(bool(tensor.any()) for name, tensor in tensors.items() if ".lora_B." in name):
        found.append("all its updates are zero: it changes nothing")
    return found + _missing_parts(header, parts) + _missing_modules(set(parts))


def _missing_parts(header: dict[str, str], parts: dict[str, set[str]]) -> list[str]:
    """Modules without half of their pair, or with a DoRA's magnitude where the header says LoRA, or without
    one where it says DoRA: who reads the file believes the header, and would draw other icons."""
    try:
        dora = bool(json.loads(header.get("lora_adapter_metadata") or "{}").get("transformer.use_dora"))
    except (ValueError, AttributeError):
        return ["the header's lora_adapter_metadata cannot be read"]
    found = []
    for module, there in parts.items():
        if not there >= _PAIR:
            found.append(f"{module}: half of its pair is missing")
        if dora and _MAGNITUDE not in there:
            found.append(f"{module}: it is a DoRA, and its magnitude is missing")
        if not dora and _MAGNITUDE in there:
            found.append(f"{module}: it has a magnitude, and the header does not say that it is a DoRA")
    return found


def _missing_modules(there: set[str]) -> list[str]:
    """Modules of one kind that are adapted in some blocks and not in others: a file that lost tensors."""
    blocks: dict[str, set[str]] = {}
    kinds: dict[str, set[str]] = {}
    for module in there:
        stack, number, kind = module.split(".", 2)
        blocks.setdefault(stack, set()).add(number)
        kinds.setdefault(f"{stack}.{kind}", set()).add(number)
    return [
        f"{name}: it is not adapted in all blocks"
        for name, numbers in sorted(kinds.items())
        if numbers != blocks[name.split(".", 1)[0]]
    ]
