"""Trained parts → a folder in diffusers layout that `--base` takes, with card, credits and loss curves.

Belongs here: what is written, in which precision. Does not belong here: training. Weights are stored in
bf16 (half the bytes; the trained numbers move by less than one in 250), configs and tokenizers as their
classes write them. The folder is complete or absent.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch

from bioicons_pipeline.training.pretrain.card import model_card
from bioicons_pipeline.training.pretrain.history import history
from bioicons_pipeline.training.pretrain.recipe import Recipe
from bioicons_pipeline.training.pretrain.stages import Trained

LARGEST = 40 * 2**20
"""Bytes of weights that a repository can carry without regret."""


def pipeline_of(trained: Trained) -> Any:
    """A `FluxPipeline` of the trained parts."""
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline

    return FluxPipeline(
        # the shift grows with the image as FLUX.1's does; the anchors are this model's own sizes
        scheduler=FlowMatchEulerDiscreteScheduler(
            use_dynamic_shifting=True,
            base_image_seq_len=16,
            max_image_seq_len=64,
            base_shift=0.5,
            max_shift=1.15,
        ),
        vae=trained.vae,
        text_encoder=trained.clip,
        tokenizer=trained.clip_tokenizer,
        text_encoder_2=trained.t5,
        tokenizer_2=trained.t5_tokenizer,
        transformer=trained.transformer,
    )


def assemble(trained: Trained, recipe: Recipe, out: Path) -> Path:
    """Write the folder `out`, replacing what is there; returns it.

    Raises:
        ValueError: the weights take more than `LARGEST` bytes.
    """
    pipeline = pipeline_of(trained)
    for part in (trained.transformer, trained.clip, trained.t5, trained.vae):
        part.to("cpu", torch.bfloat16).eval()
    out.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=".flux-nano-", dir=out.parent))
    try:
        building.chmod(0o755)
        pipeline.save_pretrained(str(building), safe_serialization=True)
        weights = sum(path.stat().st_size for path in building.rglob("*.safetensors"))
        if weights > LARGEST:
            raise ValueError(f"the weights take {weights / 2**20:.1f} MiB, more than {LARGEST / 2**20:.0f}")
        (building / "recipe.json").write_text(recipe.model_dump_json(indent=1) + "\n", encoding="utf-8")
        (building / "history.json").write_text(json.dumps(history(trained)) + "\n", encoding="utf-8")
        (building / "README.md").write_text(model_card(trained, recipe, weights), encoding="utf-8")
        if out.exists():
            shutil.rmtree(out)
        building.rename(out)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    return out
