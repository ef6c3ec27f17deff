"""The four stages that train flux-nano's transformer: flow, the same in other words, with more sets and words
to be doubted, guidance.

Belongs here: what each of them is given. Does not belong here: the loops (flow), the stages before (stages).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

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
from bioicons_pipeline.training.pretrain.sets import SOURCES
from bioicons_pipeline.training.pretrain.text import Tokenized


@dataclass(frozen=True)
class FlowData:
    """What all four learn from."""

    said: Said
    icons: BaseIcons
    latents: Latents
    tokenized: Tokenized

    def batches(
        self, captions: Sequence[Icon], flow: FlowConfig, config: Any, *, shift: int, **how: Any
    ) -> FlowBatches:
        """Batches of the training icons of `captions`.

        config: the stage's own; shift: added to its seed, so that no two stages draw alike; how: what else
        differs from stage to stage.
        """
        where = self.latents.index
        common = {
            "t5_lengths": flow.t5_lengths,
            "logit_mean": flow.logit_mean,
            "caption_dropout": flow.caption_dropout,
            "batch_size": config.batch_size,
            "seed": config.seed + shift,
        }
        train = [icon for icon in captions if not self.icons.icons[where[icon.icon_id]].heldout]
        return FlowBatches(train, self.latents, self.tokenized, **{**common, **how})

    def of_first(self, captions: Sequence[Icon]) -> list[Icon]:
        """Those of `captions`, which are of all icons, that belong to the first sets."""
        return [captions[index] for index in self.first]

    @property
    def first(self) -> list[int]:
        """Positions of the icons of the first sets, from which the flow stage learns."""
        names = {source.name for source in SOURCES}
        return [index for index, icon in enumerate(self.icons.icons) if icon.source in names]

    def fixed(self, flow: FlowConfig) -> dict[str, FlowFixed]:
        """What evaluations look at: both splits, with the icons' own captions."""
        first = self.first
        return {
            split: FlowFixed.choose(
                [self.said.own[index] for index in first if self.icons.icons[index].heldout is out],
                self.latents,
                self.tokenized,
                flow.t5_lengths[0],
            )
            for split, out in (("train", False), ("heldout", True))
        }


def compile_blocks(nano: Nano, config: FlowConfig, device: torch.device) -> None:
    """Compile what the transformer repeats, where the recipe says so and there is a compiler."""
    if config.compile and (device.type == "cuda" or has_compiler()):
        # one program a length; one for any length would be slower than none
        nano.transformer.compile_repeated_blocks(dynamic=False)


def train_flow(runner: Runner, nano: Nano, given: FlowData) -> None:
    """From nothing, with the icons' own captions."""
    config = runner.recipe.flow
    accelerator = runner.accelerator(config)
    nano.to(accelerator.device)
    runner.identity("flow", config, "autoencoder", "text")
    compile_blocks(nano, config, accelerator.device)
    source = given.batches(
        given.of_first(given.said.own), config, config, shift=0, long_share=config.long_share
    )
    runner.run("flow", FlowLoop(**_common(runner, "flow", nano, given, accelerator), source=source))


def train_rewording(runner: Runner, nano: Nano, given: FlowData) -> str:
    """The same goes on, with captions in other words among the icons' own, where the recipe has this stage;
    the stage whose identity tells what `nano` is by now."""
    flow, config = runner.recipe.flow, runner.recipe.rewording
    if config is None:
        return "flow"
    accelerator = runner.accelerator(config)
    identity = runner.identity("rewording", config, "flow")
    identity["captions"] = digest([icon.captions for icon in given.said.reworded])
    source = given.batches(
        given.of_first(given.said.reworded), flow, config, shift=2, long_share=config.long_share
    )
    runner.run("rewording", FlowLoop(**_common(runner, "rewording", nano, given, accelerator), source=source))
    return "rewording"


def train_widening(runner: Runner, nano: Nano, given: FlowData, after: str) -> None:
    """More sets join, in colours by chance, and half of the captions are to be doubted; `after`: the stage
    whose identity tells what `nano` is by now."""
    flow, config = runner.recipe.flow, runner.recipe.widening
    accelerator = runner.accelerator(config)
    identity = runner.identity("widening", config, after)
    said = given.said.weighed(given.first, config.first_share)
    identity["captions"] = digest([(icon.captions, icon.weight) for icon in said])
    source = given.batches(said, flow, config, shift=3, long_share=config.long_share)
    runner.run("widening", FlowLoop(**_common(runner, "widening", nano, given, accelerator), source=source))


def train_guidance(runner: Runner, nano: Nano, given: FlowData) -> None:
    """What embeds the guidance learns to be obeyed, with captions of both kinds; the rest stays as it is."""
    flow, config = runner.recipe.flow, runner.recipe.guidance
    accelerator = runner.accelerator(config)
    runner.identity("guidance", config, "widening")
    teacher = copy.deepcopy(nano.transformer).eval().requires_grad_(False)
    nano.requires_grad_(False)
    # trained whole, the model's loss at a guidance of 1 rose by 0.0075, and LoRAs on it were worse by as much
    nano.transformer.time_text_embed.guidance_embedder.requires_grad_(True)
    source = given.batches(
        given.of_first(given.said.reworded),
        flow,
        config,
        shift=1,
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
    # a program for each of its few steps' kinds would take longer to make than it saves
    with torch.compiler.set_stance("force_eager"):
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
