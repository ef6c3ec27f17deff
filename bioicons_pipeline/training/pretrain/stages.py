"""The stages of flux-nano in their order, each resumable.

Belongs here: what each stage is given. Does not belong here: what a stage does (autoencoder, text, flow), the
stages that train the transformer (flow_stages), how one is run (runner) and the folder that comes out
(assemble). A stage's checkpoints carry the identity of all that went into it, so that a changed recipe starts
anew from the first stage it changes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save

from bioicons_pipeline.captioning.sentences import sentence_embeddings
from bioicons_pipeline.training.base_models import check_base, folder_fingerprint
from bioicons_pipeline.training.checkpoint import RunState
from bioicons_pipeline.training.config import digest
from bioicons_pipeline.training.data import Icon
from bioicons_pipeline.training.errors import TrainingError
from bioicons_pipeline.training.pretrain.autoencoder import (
    AutoencoderLoop,
    PixelBatches,
    as_tensor,
    make_autoencoder,
    standardise,
)
from bioicons_pipeline.training.pretrain.flow import Latents, Nano, make_transformer
from bioicons_pipeline.training.pretrain.flow_stages import (
    FlowData,
    compile_blocks,
    train_flow,
    train_guidance,
    train_rewording,
    train_widening,
)
from bioicons_pipeline.training.pretrain.icons import BaseIcons, load_icons
from bioicons_pipeline.training.pretrain.recipe import Recipe
from bioicons_pipeline.training.pretrain.runner import Runner
from bioicons_pipeline.training.pretrain.said import say
from bioicons_pipeline.training.pretrain.sets import SOURCES, WIDER
from bioicons_pipeline.training.pretrain.text import (
    STAGE_LENGTH,
    Student,
    TextBatches,
    TextLoop,
    Tokenized,
    make_text_encoders,
)
from bioicons_pipeline.training.pretrain.tokenizers import grammar_texts, train_tokenizers
from bioicons_pipeline.whole import replace_whole


@dataclass(frozen=True)
class Trained:
    """All parts of flux-nano in fp32, and how they were trained."""

    transformer: Any
    clip: Any
    t5: Any
    vae: Any
    clip_tokenizer: Any
    t5_tokenizer: Any
    icons: BaseIcons
    captions: tuple[Icon, ...]
    histories: dict[str, RunState]
    earlier: dict[str, Any] = field(default_factory=dict)
    """History of the stages that another run trained, as `assemble` wrote it."""


def train_all(recipe: Recipe, work: Path, *, quiet: bool = False, until: str | None = None) -> Trained | None:
    """Run every stage that is not done yet; a stage that was killed goes on from its last checkpoint.

    until: stop after `icons`, `text` or `autoencoder`, and return None; after `flow`, `rewording` or
    `widening`: without the stages that follow.
    Raises:
        SentenceModelError: the package with the sentence embeddings is not installed.
        TrainingError: the sets cannot be fetched, or a loss is not finite.
    """
    runner = Runner(recipe, work, quiet)
    first, icons = _icons(runner)
    if until == "icons":
        return None
    said = say(icons, recipe.size, work, runner.phase)
    captions = said.own[: len(first.icons)]
    # other words stay out: each comes seldom, and would take the place of pieces of frequent ones
    read = [text for icon in captions for text in icon.captions] + grammar_texts()
    tokenizers = train_tokenizers(read, recipe.text.vocabulary)
    tokenized = Tokenized([text for icon in said.all for text in icon.captions], *tokenizers)
    clip, t5 = _text(runner, captions, tokenizers, tokenized, digest(read))
    if until == "text":
        return None
    vae = _autoencoder(runner, first)
    if until == "autoencoder":
        return None
    latents = _latents(runner, icons, vae, runner.folder("autoencoder"))
    nano = Nano(make_transformer(recipe.flow, recipe.text.width), clip, t5)
    given = FlowData(said, icons, latents, tokenized)
    train_flow(runner, nano, given)
    after = "flow" if until == "flow" else train_rewording(runner, nano, given)
    if until not in ("flow", "rewording"):
        train_widening(runner, nano, given, after)
    if until not in ("flow", "rewording", "widening"):
        train_guidance(runner, nano, given)
    nano.eval().requires_grad_(False)
    return Trained(nano.transformer, clip, t5, vae, *tokenizers, icons, said.own, dict(runner.histories))


def train_on(recipe: Recipe, work: Path, base: Path, *, quiet: bool = False) -> Trained:
    """The last two stages only, on a folder that `assemble` wrote after those before.

    Its transformer may have been taught guidance already: what that changed is learnt anew.

    Raises:
        SentenceModelError, TrainingError: as `train_all`, and where `base` is no such folder.
    """
    from diffusers import FluxPipeline

    check_base(str(base))
    if not (base / "history.json").is_file():
        raise TrainingError(f"{base} has no history.json: give a folder that this command wrote.")
    runner = Runner(recipe, work, quiet)
    runner.identities["base"] = {"base": folder_fingerprint(base)}
    pipeline = FluxPipeline.from_pretrained(str(base), torch_dtype=torch.float32)
    _, icons = _icons(runner)
    said = say(icons, recipe.size, work, runner.phase)
    tokenizers = (pipeline.tokenizer, pipeline.tokenizer_2)
    tokenized = Tokenized([text for icon in said.all for text in icon.captions], *tokenizers)
    vae = pipeline.vae.eval().requires_grad_(False)
    latents = _latents(runner, icons, vae, runner.folder("base"))
    nano = Nano(pipeline.transformer, pipeline.text_encoder, pipeline.text_encoder_2)
    given = FlowData(said, icons, latents, tokenized)
    device = runner.accelerator(recipe.widening).device
    nano.to(device)
    compile_blocks(nano, recipe.flow, device)
    train_widening(runner, nano, given, after="base")
    train_guidance(runner, nano, given)
    nano.eval().requires_grad_(False)
    earlier = json.loads((base / "history.json").read_text(encoding="utf-8"))
    return Trained(
        nano.transformer, nano.clip, nano.t5, vae, *tokenizers, icons, said.own, dict(runner.histories),
        {stage: found for stage, found in earlier.items() if stage not in runner.histories},
    )  # fmt: skip


def _icons(runner: Runner) -> tuple[BaseIcons, BaseIcons]:
    """Of the first sets; and of all, these before the others."""
    work, size = runner.work, runner.recipe.size
    first, wider = (
        load_icons(work, size, sources=sources, progress=runner.phase) for sources in (SOURCES, WIDER)
    )
    return first, first.with_others(wider)


def _text(
    runner: Runner,
    captions: Sequence[Icon],
    tokenizers: tuple[Any, Any],
    tokenized: Tokenized,
    read: str,
) -> tuple[Any, Any]:
    """read: digest of what the tokenizers were trained on; their ids are nothing to another vocabulary."""
    config = runner.recipe.text
    # without the fixed phrases, which are alike in all: the subject is what an embedding can tell
    texts = sorted(
        {icon.captions[-1] for icon in captions}
        | {icon.captions[1] for icon in captions if len(icon.captions) > 1}
    )
    file = runner.work / f"teacher-{digest(texts)[:12]}.safetensors"
    if not file.is_file():
        replace_whole(file, save({"targets": torch.from_numpy(sentence_embeddings(texts, runner.phase))}))
    targets = load(file.read_bytes())["targets"].numpy()
    clip, t5 = make_text_encoders(config, *tokenizers)
    student = Student(clip, t5, config)
    identity = {**runner.identity("text", config), "texts": digest(texts), "tokenizers": read}
    runner.identities["text"] = identity
    heldout = np.arange(len(texts)) % 40 == 0
    trained = [text for text, out in zip(texts, heldout, strict=True) if not out]
    length = STAGE_LENGTH
    held = TextBatches(
        [texts[i] for i in np.flatnonzero(heldout)], targets[heldout], tokenized, config, length
    )
    loop = TextLoop(
        config=config,
        model=student,
        accelerator=runner.accelerator(config),
        source=TextBatches(trained, targets[~heldout], tokenized, config, length),
        checkpoint_dir=runner.folder("text"),
        identity=identity,
        pad=tokenizers[1].pad_token_id,
        heldout=held.chosen(np.arange(len(held.texts))),
    )
    student.to(loop.device)
    runner.run("text", loop)
    return clip, t5


def _autoencoder(runner: Runner, icons: BaseIcons) -> Any:
    config = runner.recipe.autoencoder
    vae = make_autoencoder(config)
    accelerator = runner.accelerator(config)
    identity = runner.identity("autoencoder", config)
    vae.to(accelerator.device)
    heldout = icons.split(heldout=True)
    loop = AutoencoderLoop(
        config=config,
        model=vae,
        accelerator=accelerator,
        source=PixelBatches(icons, config),
        checkpoint_dir=runner.folder("autoencoder"),
        identity=identity,
        heldout=torch.stack([as_tensor(icons.pixels[index]) for index in heldout[:128]]),
    )
    runner.run("autoencoder", loop)
    vae.eval().requires_grad_(False)
    chosen = icons.split(heldout=False)[::10]
    device = loop.device
    standardise(vae, torch.stack([as_tensor(icons.pixels[index]) for index in chosen]).to(device))
    return vae


@torch.inference_mode()
def _latents(runner: Runner, icons: BaseIcons, vae: Any, folder: Path) -> Latents:
    """Posterior of every icon; encoded once for each autoencoder."""
    file = folder / f"latents-{digest([icon.key for icon in icons.icons])[:12]}.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    if not file.is_file():
        means, stds = [], []
        device = next(vae.parameters()).device
        for start in range(0, len(icons.icons), 64):
            pixels = torch.stack([as_tensor(picture) for picture in icons.pixels[start : start + 64]])
            posterior = vae.encode(pixels.to(device)).latent_dist
            means.append(posterior.mean.cpu())
            stds.append(posterior.std.cpu())
            runner.phase("latents", min(start + 64, len(icons.icons)), len(icons.icons))
        replace_whole(file, save({"mean": torch.cat(means), "std": torch.cat(stds)}))
    read = load(file.read_bytes())
    index = {icon.key: row for row, icon in enumerate(icons.icons)}
    return Latents(read["mean"], read["std"], index, vae.config.shift_factor, vae.config.scaling_factor)
