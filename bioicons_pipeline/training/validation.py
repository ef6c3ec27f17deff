"""Validation images: the same prompts and seeds at every step of a schedule, to see what is being learnt.

Belongs here: when they are drawn, drawing them, and the sheet that shows them side by side. Does not belong
here: choosing the exported step (evaluate: a loss can be compared, pictures are for people). The text comes
from the cache, so no text encoder is loaded; the VAE is loaded for the time of decoding. The sampler is
diffusers' FluxPipeline as it stands (https://huggingface.co/docs/diffusers/api/pipelines/flux).
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFont

from bioicons_pipeline.training.base_models import BaseModel
from bioicons_pipeline.training.cache import EncodingCache, json_bytes
from bioicons_pipeline.training.config import TrainingConfig
from bioicons_pipeline.training.data import IconSet
from bioicons_pipeline.training.encoders import load_scheduler, load_vae, release
from bioicons_pipeline.training.evaluate import FixedNoise
from bioicons_pipeline.training.files import VALIDATION_FOLDER, VALIDATION_NAME, VALIDATION_PROMPTS
from bioicons_pipeline.whole import replace_whole

PROMPTS = 4
"""Captions taken where the config names no prompts."""
_CELL, _PAD, _LABEL = 160, 10, 240


def prompts_of(config: TrainingConfig, train_set: IconSet, heldout: IconSet) -> tuple[str, ...]:
    """What the images of this run show; empty where there are none."""
    if not config.validation_every:
        return ()
    if config.validation_prompts:
        return config.validation_prompts
    chosen = FixedNoise.choose(heldout if len(heldout) else train_set, PROMPTS, (), config.seed)
    return tuple(icon.captions[0] for icon in chosen.icons)


def schedule(config: TrainingConfig) -> list[int]:
    """Steps whose images are drawn, in order: 0, every `validation_every`, and the last."""
    if not config.validation_every:
        return []
    return sorted({0, *range(0, config.steps, config.validation_every), config.steps})


@dataclass(frozen=True, kw_only=True)
class Validation:
    """Draws the images of one run into `folder`; does nothing to weights, optimizer or random state."""

    config: TrainingConfig
    prompts: tuple[str, ...]
    folder: Path
    base: BaseModel
    transformer: Any
    cache: EncodingCache
    device: torch.device
    autocast: Callable[[], AbstractContextManager[Any]]

    def lacks(self, step: int) -> bool:
        """Whether images of `step` belong to the schedule, and are not all drawn yet."""
        if step not in schedule(self.config):
            return False
        return not all(self.path(step, number).is_file() for number in range(len(self.prompts)))

    def draw(self, step: int, *, keep: bool = True) -> list[Path]:
        """Draw and keep the images of `step`, one PNG a prompt; the adapter is used as it stands.

        keep: off in a process that only helps another one to draw, with its share of the base: it makes the
        same forward passes, decodes nothing, and gives back no image.
        """
        from diffusers import FluxPipeline

        config = self.config
        texts = [self.cache.load_text(prompt) for prompt in self.prompts]
        pipeline: Any = FluxPipeline(
            scheduler=load_scheduler(self.base),
            vae=load_vae(self.base).to(self.device, texts[0][0].dtype) if keep else None,  # type: ignore[arg-type]
            text_encoder=None,  # type: ignore[arg-type] (embeddings are given)
            tokenizer=None,  # type: ignore[arg-type]
            text_encoder_2=None,  # type: ignore[arg-type]
            tokenizer_2=None,  # type: ignore[arg-type]
            transformer=self.transformer,
        )
        pipeline.set_progress_bar_config(disable=True)
        paths = []
        for number, (t5, pooled) in enumerate(texts):
            # and no inference mode: what a sharded base gathers in it is of no use to training
            with torch.no_grad(), self.autocast():
                image = pipeline(
                    prompt_embeds=t5[None].to(self.device),
                    pooled_prompt_embeds=pooled[None].to(self.device),
                    height=config.resolution,
                    width=config.resolution,
                    num_inference_steps=config.validation_steps,
                    guidance_scale=config.validation_guidance,
                    # on the CPU: the same noise on every device
                    generator=torch.Generator().manual_seed(config.validation_seed + number),
                    output_type="pil" if keep else "latent",
                ).images[0]
            if not keep:
                continue
            path = self.path(step, number)
            replace_whole(path, png_bytes(image))
            paths.append(path)
        del pipeline
        release(self.device)
        return paths

    def path(self, step: int, number: int) -> Path:
        """File of one image."""
        return self.folder / f"step-{step:08d}" / f"{number:02d}.png"

    def files(self) -> dict[str, bytes]:
        """The run's images and their sheet by name, for the version; empty where none were drawn."""
        drawn = {
            step: [self.path(step, number).read_bytes() for number in range(len(self.prompts))]
            for step in schedule(self.config)
            if self.prompts and all(self.path(step, number).is_file() for number in range(len(self.prompts)))
        }
        if not drawn:
            return {}
        named = {
            f"{VALIDATION_FOLDER}/step-{step:08d}/{number:02d}.png": data
            for step, images in drawn.items()
            for number, data in enumerate(images)
        }
        about = {"prompts": list(self.prompts), "seed": self.config.validation_seed}
        return {
            **named,
            VALIDATION_PROMPTS: json_bytes(about),
            VALIDATION_NAME: sheet(self.prompts, drawn),
        }


def sheet(prompts: Sequence[str], drawn: dict[int, list[bytes]]) -> bytes:
    """PNG with a row per prompt and a column per step; `drawn[step]` has one PNG a prompt."""
    font = ImageFont.load_default(13)
    size = (_LABEL + len(drawn) * (_CELL + _PAD) + _PAD, 30 + len(prompts) * (_CELL + _PAD))
    picture = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(picture)
    for row, prompt in enumerate(prompts):
        lines = textwrap.wrap(prompt, 32)[:8]
        draw.multiline_text((_PAD, 34 + row * (_CELL + _PAD)), "\n".join(lines), fill="#1f2a44", font=font)
    for column, (step, images) in enumerate(drawn.items()):
        left = _LABEL + column * (_CELL + _PAD)
        draw.text((left, 8), f"step {step}", fill="#6b7785", font=font)
        for row, data in enumerate(images):
            with Image.open(io.BytesIO(data)) as image:
                picture.paste(image.convert("RGB").resize((_CELL, _CELL)), (left, 30 + row * (_CELL + _PAD)))
    return png_bytes(picture)


def png_bytes(image: Image.Image) -> bytes:
    """The picture as PNG."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
