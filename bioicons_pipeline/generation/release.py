"""A LoRA made ready for others: model card, credits, gallery, and the gate before it leaves.

Belongs here: what the folder holds and says, and whether it may go. Does not belong here: the upload
(dataset/hub), what training wrote (training/publish), where the store keeps it (cli_dataset). The card's head
follows https://huggingface.co/docs/hub/model-cards and the licence names that the hub knows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from bioicons_pipeline.dataset.hub import PublishRefusedError
from bioicons_pipeline.library.licences import policy_for
from bioicons_pipeline.training.base_models import REGISTRY
from bioicons_pipeline.training.files import COMFYUI_NAME, CURVE_NAME, REPORT_NAME, WEIGHTS_NAME

_ADAPTER = (WEIGHTS_NAME, COMFYUI_NAME, REPORT_NAME, CURVE_NAME)
_CREDITS = ("ATTRIBUTION.md", "ATTRIBUTION.csv", "dataset.json")
REPLACES = (*_ADAPTER, *_CREDITS, "LICENSES/*", "grid.png", "samples/*")
"""What a release may hold besides its card, as patterns: of an older release in the same repository it goes
away where the new one lacks it. What the owner put there under other names stays."""
FLUX_DEV_LICENCE = "flux-1-dev-non-commercial-license"


@dataclass(frozen=True)
class Release:
    """What goes into it: `adapter`, the files of the adapter's version by name; `credits`, those of its
    dataset (ATTRIBUTION.md, ATTRIBUTION.csv, LICENSES/…, dataset.json); `grid`, those of the sample grid
    (grid.png, samples.json, samples/…), empty where none was drawn; `hub_id` of the base, None for one that
    is not there."""

    adapter: Mapping[str, bytes]
    credits: Mapping[str, bytes]
    grid: Mapping[str, bytes]
    hub_id: str | None = None


def release_files(release: Release, repo_id: str, preset: str) -> dict[str, bytes]:
    """The files of the repository by path, card included.

    Raises:
        PublishRefusedError: weights, report or credits are missing, or the dataset has a licence that
            `preset` does not allow.
    """
    lacking = [name for name in (WEIGHTS_NAME, REPORT_NAME) if name not in release.adapter]
    lacking += [name for name in ("ATTRIBUTION.md", "dataset.json") if name not in release.credits]
    if not any(name.startswith("LICENSES/") for name in release.credits):
        lacking.append("LICENSES/")
    if lacking:
        raise PublishRefusedError(
            f"The adapter lacks {', '.join(lacking)}: train it again before publishing."
        )
    report, dataset = json.loads(release.adapter[REPORT_NAME]), json.loads(release.credits["dataset.json"])
    policy = policy_for(preset)
    outside = sorted(spdx for spdx in dataset["licence_mix"] if not policy.allows(spdx))
    if outside:
        raise PublishRefusedError(
            f"It was trained on icons under {', '.join(outside)}, outside the licence preset {preset!r}: "
            "train it with this preset before publishing."
        )
    samples = json.loads(release.grid["samples.json"])["rows"] if "samples.json" in release.grid else []
    files = {name: release.adapter[name] for name in _ADAPTER if name in release.adapter}
    files |= {n: data for n, data in release.credits.items() if n in _CREDITS or n.startswith("LICENSES/")}
    files |= {n: data for n, data in release.grid.items() if n == "grid.png" or n.startswith("samples/")}
    shown = [(row, f"samples/{number:02d}-lora.png") for number, row in enumerate(samples)]
    gallery = [(row["prompt"], name) for row, name in shown if name in files]
    files["README.md"] = model_card(report, dataset, repo_id, gallery, release.hub_id).encode()
    return files


def adapter_licence(base_name: str, base_licence: str, preset: str) -> dict[str, str]:
    """The licence fields of a card: that of FLUX.1-dev where it is the base, for its derivatives fall under
    it; else share-alike where the icons are, and attribution otherwise."""
    if base_name == "flux1-dev" or "FLUX.1" in base_licence:
        return {
            "license": "other",
            "license_name": FLUX_DEV_LICENCE,
            "license_link": "https://huggingface.co/black-forest-labs/FLUX.1-dev/blob/main/LICENSE.md",
        }
    if base_licence.startswith("unknown"):
        return {"license": "other", "license_name": "that of the base model"}
    return {"license": "cc-by-sa-4.0" if preset == "share-alike" else "cc-by-4.0"}


def model_card(
    report: Mapping[str, Any],
    dataset: Mapping[str, Any],
    repo_id: str,
    gallery: Sequence[tuple[str, str]],
    hub_id: str | None,
) -> str:
    """README.md of the repository. report: training_report.json; dataset: dataset.json; gallery: (prompt,
    file in the repository); every figure in it comes from these files."""
    trigger, base = report["provenance"]["trigger"], report["base"]
    category = report["provenance"]["category"]
    what = "all categories" if category == "all" else category.replace("_", " ")
    lines = [
        f"# {repo_id.split('/')[-1]}: bioicons style, {what}",
        "",
        f"A LoRA for {base['name']} that draws scientific icons in the style of https://bioicons.com. Begin "
        f"a prompt with `{trigger}`, say what to draw, and end with `isolated on a white background`.",
        "",
        f"> {base['notice']}",
        "",
        *(["![Base and LoRA side by side, from the same seeds](grid.png)", ""] if gallery else []),
        *_use(report, repo_id, hub_id),
        *_trained_on(report, dataset),
        *_how(report),
        *_LIMITS,
    ]
    head = yaml.safe_dump(_head(report, gallery, hub_id), sort_keys=False, allow_unicode=True)
    return f"---\n{head}---\n\n" + "\n".join(lines)


def _head(
    report: Mapping[str, Any], gallery: Sequence[tuple[str, str]], hub_id: str | None
) -> dict[str, Any]:
    """What the hub reads of a card."""
    base, provenance = report["base"], report["provenance"]
    head: dict[str, Any] = {
        **adapter_licence(base["name"], base["licence"], provenance["licence_preset"]),
        "library_name": "diffusers",
        "pipeline_tag": "text-to-image",
        "instance_prompt": provenance["trigger"],
        "tags": list(_TAGS),
    }
    if hub_id:
        head["base_model"] = hub_id
    if gallery:
        head["widget"] = [{"text": prompt, "output": {"url": name}} for prompt, name in gallery]
    return head


def _use(report: Mapping[str, Any], repo_id: str, hub_id: str | None) -> list[str]:
    config, trigger = report["config"], report["provenance"]["trigger"]
    comfyui = f"`{COMFYUI_NAME}` is the same adapter for ComfyUI and sd-scripts."
    return [
        "## Use",
        "",
        "```python",
        "from diffusers import FluxPipeline",
        "",
        f'pipeline = FluxPipeline.from_pretrained("{hub_id or "folder of " + report["base"]["name"]}")',
        f'pipeline.load_lora_weights("{repo_id}")',
        f'pipeline("{trigger}, a tardigrade, side view, isolated on a white background", '
        f"height={config['resolution']}, width={config['resolution']}, "
        f"max_sequence_length={config['t5_length']}{_sampled(report['base']['name'])}).images[0]",
        "```",
        "",
        *([] if config.get("dora") else [comfyui, ""]),
    ]


def _trained_on(report: Mapping[str, Any], dataset: Mapping[str, Any]) -> list[str]:
    mix = sorted(dataset["licence_mix"].items(), key=lambda item: (-item[1], item[0]))
    authors = sorted(dataset["authors"].items(), key=lambda item: (-item[1], item[0]))
    named = ", ".join(f"{_plain(name)} ({count})" for name, count in authors[:12])
    named += f" and {len(authors) - 12} more" if len(authors) > 12 else ""
    return [
        "## What it was trained on",
        "",
        f"{dataset['icons']} icons ({dataset['splits']['train']} to train on, "
        f"{dataset['splits']['heldout']} held out, no family of look-alikes on both sides) of upstream state "
        f"`{dataset['commit']}`, licence preset `{report['provenance']['licence_preset']}`, dataset version "
        f"`{report['dataset']['version']}`. Authors: {named}. Every icon with author, licence and source is "
        "in `ATTRIBUTION.md`; keep it and `LICENSES/` with any copy.",
        "",
        "| licence | icons |",
        "|---|---:|",
        *(f"| {spdx} | {count} |" for spdx, count in mix),
        "",
    ]


def _how(report: Mapping[str, Any]) -> list[str]:
    base, config = report["base"], report["config"]
    return [
        "## How",
        "",
        "| | |",
        "|---|---|",
        f"| base | {base['name']}, {base['licence']}, `{base['fingerprint']}` |",
        f"| steps | {report['steps']} (exported: step {report['exported_step']}) |",
        f"| batch | {config['batch_size']} × {config['accumulation']} |",
        f"| rank, alpha | {config['rank']}, {config['alpha']:g} |",
        f"| learning rate | {config['learning_rate']:g} |",
        f"| size | {config['resolution']} px |",
        f"| fixed-noise loss, training icons | {_loss(report, 'train')} |",
        f"| fixed-noise loss, held-out icons | {_loss(report, 'heldout')} |",
        "",
        "All settings are in `training_report.json` and in the header of the weights.",
        "",
    ]


_TAGS = ("lora", "flux", "text-to-image", "diffusers", "bioicons", "scientific-illustration", "icons")
_LIMITS = (
    "## Limits",
    "",
    "- What it draws is generated, not observed: a person who knows the subject must look at every icon "
    "before it goes into a figure. Anatomy, counts and handedness can be wrong.",
    "- It may come close to an icon that it was trained on: compare (`bioicons generate` does, and names "
    "the icon to cite). Often the icon exists: look first.",
    "- Text, labels and arrows are not drawn legibly; people are drawn as the library draws them, "
    "which is not how people are distributed.",
    "- Publishers have rules of their own for generated figures: ask before you submit.",
    "",
)


def _sampled(base_name: str) -> str:
    """Further arguments of the pipeline for a base that is not sampled with its defaults."""
    chosen = REGISTRY[base_name].sampling if base_name in REGISTRY else {}
    called = {"steps": "num_inference_steps", "guidance": "guidance_scale"}
    return "".join(f", {called[name]}={value}" for name, value in chosen.items())


def _loss(report: Mapping[str, Any], split: str) -> str:
    before, after = report[f"{split}_loss_before"], report[f"{split}_loss_after"]
    if before is None or after is None:
        return "none held out"
    return f"{before:.4f} before, {after:.4f} after"


def _plain(name: str) -> str:
    """A stranger's name without Markdown of its own."""
    return "".join(f"\\{char}" if char in "\\`*_[]<>|#!" else char for char in " ".join(name.split()))
