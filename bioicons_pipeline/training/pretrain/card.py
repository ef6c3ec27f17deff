"""The model card of flux-nano: what it is for, what it learnt from, whose drawings those are.

Belongs here: the text. Figures on it come from the training's own histories; measured quality (binding,
speed) is in `benchmarks/results/flux_nano.json`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bioicons_pipeline.training.pretrain.history import history
from bioicons_pipeline.training.pretrain.recipe import RECIPES, Recipe
from bioicons_pipeline.training.pretrain.sets import SOURCES
from bioicons_pipeline.training.pretrain.stages import Trained

LICENCE_URLS = {
    "MIT": "https://spdx.org/licenses/MIT.html",
    "Apache-2.0": "https://www.apache.org/licenses/LICENSE-2.0",
    "CC-BY-3.0": "https://creativecommons.org/licenses/by/3.0/",
    "CC-BY-4.0": "https://creativecommons.org/licenses/by/4.0/",
}


def model_card(trained: Trained, recipe: Recipe, weight_bytes: int) -> str:
    """The card as Markdown with the hub's front matter."""
    rows = [
        f"| [{name}]({facts['url']}) {facts['version']} | {facts['author']} | "
        f"[{facts['spdx']}]({LICENCE_URLS[facts['spdx']]}) | {facts['icons']:,} |"
        for name, facts in trained.icons.licences.items()
    ]
    stages = [
        f"| {stage} | {found['steps']:,} | {found['seconds'] / 60:.0f} | {_result(found['evaluations'])} |"
        for stage, found in history(trained).items()
    ]
    parameters = {
        name: sum(value.numel() for value in part.parameters())
        for name, part in (
            ("transformer", trained.transformer),
            ("autoencoder", trained.vae),
            ("CLIP text model", trained.clip),
            ("T5 encoder", trained.t5),
        )
    }
    total = sum(facts["icons"] for facts in trained.icons.licences.values())
    reworded = "the stages `rewording` and `guidance`" if recipe.rewording else "the stage `guidance`"
    newline = "\n"
    later = ""
    if trained.earlier:
        ours = "` and `".join(trained.histories)
        later = f"\n`{ours}` went on (`--on`) from the folder, in bf16, that the others made.\n"
    return f"""---
license: other
license_name: mit-with-attribution
library_name: diffusers
pipeline_tag: text-to-image
tags: [flux, icons, small]
---
# flux-nano

A base of FLUX.1's own classes at {recipe.size} px, small enough for a laptop without a GPU. It exists
**to try and to test the pipeline**: every step, from captions to a LoRA to a grid, runs on it for real in
minutes. It is not for figures: its icons are {recipe.size} px and rough, and it knows the subjects of emoji,
not those of science. Colour, outline and manner follow a prompt; what is drawn does so for few trained words:
of the base that the package carries about one in six (`benchmarks/results/flux_nano.json`). For figures,
train on FLUX.1-dev.

Parameters: {", ".join(f"{name} {count / 1e6:.1f} M" for name, count in parameters.items())};
{weight_bytes / 1e6:.0f} MB in bf16. Made by `{_command(recipe)}`
(`recipe.json`, loss curves in `history.json`).

## What it learnt from

{total:,} icons of openly licensed sets from the npm registry, rendered at {recipe.size} px; flags, skin
tones, clock faces, letters and logos left out; one icon in forty held out. The first {len(SOURCES)} sets of
the table taught it to draw; the others, mostly of one colour, joined in the stage `widening`, painted in
colours by chance. No icon of bioicons: they are what a LoRA teaches.

| set | drawn by | licence | icons |
|---|---|---|---:|
{newline.join(rows)}

The text encoders started from sentence embeddings of
[all-MiniLM-L6-v2](https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2) (Apache-2.0). In {reworded}
about a third of the captions are in other words than the icon's: English ones and
ones of the project's caption tables that those embeddings find near in meaning, and made-up ones. In
`widening` a quarter of the captions name another icon or nothing, beside the colour and the manner, which
hold: so of a word that it does not know, as a LoRA brings them, it does not draw the nearest that it knows.

## Training

| stage | steps | minutes | held out |
|---|---:|---:|---|
{newline.join(stages)}
{later}
## Licence

The weights are MIT, as this project is. The sets above ask for attribution: keep this card with the
weights. Whether a model's output is bound by the licences of what it learnt from is not settled; flux-nano
can reproduce single icons of the sets, whose licences then hold.
"""


def _command(recipe: Recipe) -> str:
    """What trains by this recipe."""
    name = next((name for name, known in RECIPES.items() if known == recipe), None)
    chosen = f" --recipe {name}" if name else ""
    return f"python -m bioicons_pipeline.training.pretrain{chosen}"


def _result(evaluations: Sequence[Mapping[str, Any]]) -> str:
    last = evaluations[-1]["heldout"]
    if last is None:
        return "–"
    return f"PSNR {last['psnr']:.1f} dB" if "psnr" in last else f"loss {last['loss']:.4f}"
