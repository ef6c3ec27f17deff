"""Do words help flux-nano on bioicons, before any LoRA? Its loss with an icon's caption, none, and another's.

    python benchmarks/nano_words.py --store data/store

Every icon of the datasets in the store (`bioicons run --until icon_dataset`), at the same noise and sigmas.
A base that knows the words does better with the right caption than with none; by how much it does worse with
another icon's caption tells how far it trusts words. Writes benchmarks/results/nano_words.json.
"""

import argparse
import io
import json
import os
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pyarrow.parquet as pq
import torch

from bioicons_pipeline.store import Store
from bioicons_pipeline.store.names import ALL
from bioicons_pipeline.training.base_models import BaseModel, resolve_base
from bioicons_pipeline.training.cache import Conditioning, decode_png
from bioicons_pipeline.training.encoders import TextEncoder, latent_scaling, load_transformer, load_vae
from bioicons_pipeline.training.objective import flow_matching_loss, scale_latents
from bioicons_pipeline.training.presets import preset

OUT = Path(__file__).parent / "results" / "nano_words.json"
SIGMAS = (0.1, 0.3, 0.5, 0.7, 0.9)
FEWEST = 30
"""Icons of a category from which on its mean says something."""
SEED, BATCH = 5, 64


class Judge:
    """The base, and what it makes of icons and captions."""

    def __init__(self, base: BaseModel) -> None:
        self.vae, self.scaling = load_vae(base), latent_scaling(base)
        self.transformer = load_transformer(base, torch.float32).eval()
        self.encode = TextEncoder(base, torch.device("cpu"), torch.float32)
        self.config = preset("cpu-nano")
        self.read: dict[str, tuple] = {}

    @torch.no_grad()
    def latents(self, icons: Sequence[dict]) -> torch.Tensor:
        """Scaled latents (N, C, h, w) of rows of a dataset."""
        pixels = [
            decode_png(icon["image"]["bytes"], self.config.resolution, icon["icon_id"]) for icon in icons
        ]
        means = [
            self.vae.encode(torch.stack(pixels[start : start + BATCH])).latent_dist.mean
            for start in range(0, len(pixels), BATCH)
        ]
        return scale_latents(torch.cat(means), *self.scaling)

    @torch.no_grad()
    def losses(self, latents: torch.Tensor, captions: Sequence[str]) -> list[float]:
        """Mean loss at each of SIGMAS; the same noise whatever the captions."""
        noise = torch.Generator().manual_seed(SEED)
        found = []
        for sigma in SIGMAS:
            at = torch.randn(latents.shape, generator=noise)
            parts = []
            for start in range(0, len(captions), BATCH):
                part = slice(start, start + BATCH)
                text = self._text(captions[part])
                sigmas = torch.full((len(captions[part]),), sigma)
                parts.append(
                    flow_matching_loss(
                        self.transformer, latents[part], at[part], sigmas, text, self.config.guidance
                    )
                )
            found.append(float(torch.cat(parts).mean()))
        return found

    def _text(self, captions: Sequence[str]) -> Conditioning:
        for caption in captions:
            if caption not in self.read:
                self.read[caption] = self.encode(caption, self.config.t5_length)
        pairs = [self.read[caption] for caption in captions]
        return Conditioning(
            torch.stack([pair[0] for pair in pairs]), torch.stack([pair[1] for pair in pairs])
        )


def datasets(store: Store) -> Iterator[tuple[str, list[dict]]]:
    """Category → its icons, held out or not."""
    for category, ref in sorted(store.list_refs("icon_dataset").items()):
        if category == ALL:
            continue
        version = store.version(ref.version_id)
        icons: list[dict] = []
        for entry in version.files:
            if entry.path.startswith("data/"):
                table = pq.read_table(io.BytesIO(store.read(version, entry.path)))
                icons += table.select(["icon_id", "image", "caption"]).to_pylist()
        if len(icons) >= FEWEST:
            yield category, icons


def figures(judge: Judge, icons: Sequence[dict]) -> dict:
    """Losses of one category's icons; `*_by_sigma`: by how much more than without a caption."""
    latents = judge.latents(icons)
    captions = [icon["caption"] for icon in icons]
    order = np.random.default_rng(SEED).permutation(len(captions))
    without = np.array(judge.losses(latents, [""] * len(captions)))
    own = np.array(judge.losses(latents, captions))
    others = np.array(judge.losses(latents, [captions[index] for index in order]))
    return {
        "icons": len(icons),
        "without_caption": without.mean(),
        "own_caption": own.mean(),
        "another_icons_caption": others.mean(),
        "own_by_sigma": (own - without).round(4).tolist(),
        "another_by_sigma": (others - without).round(4).tolist(),
    }


def main() -> None:
    """Measure every category, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--base", default="flux-nano")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    base = resolve_base(options.base, ".")
    judge = Judge(base)
    found = {}
    for category, icons in datasets(Store(options.store)):
        found[category] = figures(judge, icons)
        print(category, json.dumps(found[category]), flush=True)
    if not found:
        parser.error(f"no dataset of {FEWEST} icons in {options.store}: make them with `bioicons run` first")
    count = sum(one["icons"] for one in found.values())
    kinds = ("without_caption", "own_caption", "another_icons_caption")
    result = {
        "base": options.base,
        "base_fingerprint": base.fingerprint,
        "sigmas": SIGMAS,
        "icons": count,
        **{kind: sum(one[kind] * one["icons"] for one in found.values()) / count for kind in kinds},
        "better_with_caption": [
            name for name, one in found.items() if one["own_caption"] < one["without_caption"]
        ],
        "categories": found,
        "machine": {
            "cores": os.cpu_count(), "torch": torch.__version__, "python": platform.python_version()
        },
    }  # fmt: skip
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({kind: result[kind] for kind in kinds}))


if __name__ == "__main__":
    main()
