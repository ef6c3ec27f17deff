"""The three stages that train flux-nano's transformer: flow, the same in other words, guidance.

Belongs here: what each of them is given. Does not belong here: the loops (flow), the stages before (stages).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bioicons_pipeline.training.config import digest
from bioicons_pipeline.training.data import Icon
from bioicons_pipeline.training.device import autocast_of
from bioicons_pipeline.training.pretrain.flow import (
    FlowBatches,
    FlowFixed,
    FlowLoop,
    GuidanceLoop,
    Latents,
    Nano,
)
from bioicons_pipeline.training.pretrain.icons import BaseIcons
from bioicons_pipeline.training.pretrain.recipe import FlowConfig
from bioicons_pipeline.training.pretrain.runner import Runner, has_compiler
from bioicons_pipeline.training.pretrain.said import Said
from bioicons_pipeline.training.pretrain.text import Tokenized


@dataclass(frozen=True)
class FlowData:
    """What all three learn from."""

    said: Said
    icons: BaseIcons
    latents: Latents
    tokenized: Tokenized

    def batches(self, captions: Sequence[Icon], flow: FlowConfig, **how: Any) -> FlowBatches:
        """Batches of the training split with `captions`; how: what differs from stage to stage."""
        train = [captions[index] for index in self.icons.split(heldout=False)]
        common = {"t5_lengths": flow.t5_lengths, "logit_mean": flow.logit_mean}
        return FlowBatches(train, self.latents, self.tokenized, **common, **how)

    def fixed(self, flow: FlowConfig) -> dict[str, FlowFixed]:
        """What evaluations look at: both splits, with the icons' own captions."""
        return {
            split: FlowFixed.choose(
                [self.said.own[index] for index in self.icons.split(heldout=split == "heldout")],
                self.latents,
                self.tokenized,
                flow.t5_lengths[0],
            )
            for split in ("train", "heldout")
        }


def train_flow(runner: Runner, nano: Nano, given: FlowData) -> None:
    """From nothing, with the icons' own captions."""
    config = runner.recipe.flow
    accelerator = runner.accelerator(config)
    nano.to(accelerator.device)
    runner.identity("flow", config, "autoencoder", "text")
    if config.compile and (accelerator.device.type == "cuda" or has_compiler()):
        # one program a length; one for any length would be slower than none
        nano.transformer.compile_repeated_blocks(dynamic=False)
    source = given.batches(
        given.said.own,
        config,
        batch_size=config.batch_size,
        seed=config.seed,
        caption_dropout=config.caption_dropout,
        long_share=config.long_share,
    )
    runner.run("flow", FlowLoop(**_common(runner, "flow", nano, given, accelerator), source=source))


def train_rewording(runner: Runner, nano: Nano, given: FlowData) -> None:
    """The same goes on, with captions in other words among the icons' own."""
    flow, config = runner.recipe.flow, runner.recipe.rewording
    accelerator = runner.accelerator(config)
    identity = runner.identity("rewording", config, "flow")
    identity["captions"] = digest([icon.captions for icon in given.said.all])
    source = given.batches(
        given.said.all,
        flow,
        batch_size=config.batch_size,
        seed=config.seed + 2,
        caption_dropout=flow.caption_dropout,
        long_share=config.long_share,
    )
    runner.run("rewording", FlowLoop(**_common(runner, "rewording", nano, given, accelerator), source=source))


def train_guidance(runner: Runner, nano: Nano, given: FlowData) -> None:
    """What embeds the guidance learns to be obeyed, with captions of both kinds; the rest stays as it is."""
    flow, config = runner.recipe.flow, runner.recipe.guidance
    accelerator = runner.accelerator(config)
    runner.identity("guidance", config, "rewording")
    teacher = copy.deepcopy(nano.transformer).eval().requires_grad_(False)
    nano.requires_grad_(False)
    # trained whole, the model's loss at a guidance of 1 rose by 0.0075, and LoRAs on it were worse by as much
    nano.transformer.time_text_embed.guidance_embedder.requires_grad_(True)
    source = given.batches(
        given.said.all,
        flow,
        batch_size=config.batch_size,
        seed=config.seed + 1,
        caption_dropout=0.0,
        long_share=flow.long_share,
        scales=config.scales,
        plain_share=config.plain_share,
    )
    loop = GuidanceLoop(
        **_common(runner, "guidance", nano, given, accelerator),
        source=source,
        teacher=teacher,
        empty_clip=given.tokenized.clip([""]),
        empty_t5=given.tokenized.t5([""], max(flow.t5_lengths)),
    )
    runner.run("guidance", loop)


def _common(runner: Runner, stage: str, nano: Nano, given: FlowData, accelerator: Any) -> dict[str, Any]:
    """What every loop over the transformer is given, once the stage has its identity."""
    return {
        "config": getattr(runner.recipe, stage),
        "model": nano,
        "accelerator": accelerator,
        "autocast": autocast_of(accelerator),
        "checkpoint_dir": runner.folder(stage),
        "identity": runner.identities[stage],
        "fixed": given.fixed(runner.recipe.flow),
    }
