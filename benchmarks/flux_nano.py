"""How good flux-nano is: autoencoder, binding of prompts, speed. Writes benchmarks/results/flux_nano.json.

    python benchmarks/flux_nano.py --work data/pretrain --sample <clone of the sample bundle>

`--work` is the folder that `python -m bioicons_pipeline.training.pretrain` worked in: the icons that the
base learnt from are there. Prompts are bound by icons of the first sets, whose colours are their own; copies
are looked for among all. A sheet of the generated icons goes to `--sheet`. Of a base that one run of that
command made in an empty `--work`, `--timed` adds how long all of it took:

    python -m bioicons_pipeline.training.pretrain --work W --out W/flux-nano
    python benchmarks/flux_nano.py --work W --base W/flux-nano --timed --sample … \
        --out benchmarks/results/flux_nano_cpu.json --sheet benchmarks/results/flux_nano_cpu.png
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from PIL import Image

from bioicons_pipeline.evaluation.binding import binding, bound_of_real_icons, prompt_words
from bioicons_pipeline.evaluation.descriptor import shape_and_colour
from bioicons_pipeline.generation.sampler import SamplingSettings, load_pipeline, sample
from bioicons_pipeline.rendering import RenderSettings, render_many
from bioicons_pipeline.training.base_models import resolve_base
from bioicons_pipeline.training.encoders import load_vae
from bioicons_pipeline.training.pretrain.autoencoder import as_tensor, psnr
from bioicons_pipeline.training.pretrain.icons import BaseIcons, load_icons
from bioicons_pipeline.training.pretrain.recipe import RECIPES
from bioicons_pipeline.training.pretrain.sets import SOURCES, WIDER, keywords

PROMPTS, SEED = 64, 7
TIMES = 4
"""Every prompt is drawn this often: of 64 pictures three more or fewer are bound by chance."""


def reconstruction(vae, pictures) -> dict:
    """Mean PSNR in dB over pictures (N, S, S, 3) uint8, and the share of icons under 20 dB."""
    ratios = []
    for start in range(0, len(pictures), 64):
        pixels = torch.stack([as_tensor(picture) for picture in pictures[start : start + 64]])
        with torch.inference_mode():
            ratios += psnr(vae.decode(vae.encode(pixels).latent_dist.mode()).sample, pixels).tolist()
    return {
        "icons": len(ratios),
        "psnr_db": round(float(np.mean(ratios)), 2),
        "under_20_db": round(float(np.mean(np.array(ratios) < 20)), 4),
    }


def bioicons(sample_clone: Path, size: int, most: int) -> list[np.ndarray]:
    """Every n-th renderable icon of the library at `size` px."""
    files = sorted((sample_clone / "static" / "icons").rglob("*.svg"))
    files = files[:: max(1, len(files) // most)]
    import io

    found = render_many(((path.name, path.read_bytes()) for path in files), RenderSettings(size=size))
    return [np.asarray(Image.open(io.BytesIO(result.png)).convert("RGB")) for result in found if result.png]


def described(icons: BaseIcons) -> tuple[list[frozenset[str]], np.ndarray]:
    """Keywords and descriptors (N, SIZE) of the training icons."""
    trained = icons.split(heldout=False)
    return (
        [keywords(icons.icons[row].words) for row in trained],
        np.stack([shape_and_colour(np.asarray(icons.pixels[row])) for row in trained]),
    )


def training_minutes(work: Path, base: Path) -> dict:
    """Minutes from the first package that was fetched to the card, which is written last; of each stage."""
    begun = min(path.stat().st_mtime for path in (work / "npm").glob("*.tgz"))
    stages = json.loads((base / "history.json").read_text())
    return {
        "minutes": round(((base / "README.md").stat().st_mtime - begun) / 60, 1),
        "stages": {
            name: {"steps": found["steps"], "minutes": round(found["seconds"] / 60, 1)}
            for name, found in stages.items()
        },
    }


def loading_seconds(base: str) -> dict:
    """Seconds to load the pipeline in a fresh process, imports told apart."""
    code = (
        "import time;a=time.perf_counter();import torch,diffusers;"
        "from diffusers import FluxPipeline;from transformers import CLIPTextModel,T5EncoderModel;"
        "from bioicons_pipeline.generation.sampler import load_pipeline;"
        "from bioicons_pipeline.training.base_models import resolve_base;b=time.perf_counter();"
        f"load_pipeline(resolve_base({base!r}, '.'));print(b-a, time.perf_counter()-b)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    imports, loading = map(float, out.split()[-2:])
    return {"imports_s": round(imports, 2), "load_s": round(loading, 2)}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", default="flux-nano", help="name or folder")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--sample", type=Path, required=True, help="clone of the sample bundle")
    parser.add_argument("--timed", action="store_true", help="--base is a folder that one run made in --work")
    parser.add_argument("--recipe", default="cpu")
    parser.add_argument("--steps", type=int, default=28)
    parser.add_argument("--guidance", type=float, default=5.0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/flux_nano.json"))
    parser.add_argument("--sheet", type=Path, default=Path("benchmarks/results/flux_nano.png"))
    options = parser.parse_args()
    size = RECIPES[options.recipe].size
    icons, wider = (
        load_icons(options.work, size, sources=sources, progress=lambda *_: None)
        for sources in (SOURCES, WIDER)
    )
    base = resolve_base(options.base, ".")
    vae = load_vae(base)
    result: dict = {
        "autoencoder": {
            "heldout_icons": reconstruction(vae, icons.pixels[icons.split(heldout=True)]),
            "bioicons": reconstruction(vae, bioicons(options.sample, size, 400)),
        }
    }
    print(json.dumps(result), flush=True)
    known, vectors = described(icons)
    words = prompt_words(known, PROMPTS)
    known_later, vectors_later = described(wider)
    pipeline = load_pipeline(base)
    settings = SamplingSettings(
        size, options.steps, options.guidance, RECIPES[options.recipe].flow.t5_lengths[0], batch=16
    )
    prompts = [f"a {word}" for word in words]  # the shortest form that captions had in training
    sample(pipeline, prompts[:16], range(16), settings)  # warm
    started = time.perf_counter()
    pictures = sample(pipeline, prompts[:16], range(SEED, SEED + 16), settings)
    speed = {"sixteen_icons_s": round(time.perf_counter() - started, 2), "steps": options.steps}
    pictures += sample(pipeline, prompts[16:], range(SEED + 16, SEED + len(prompts)), settings)
    generated = [shape_and_colour(np.asarray(picture)) for picture in pictures]
    found = binding(words, generated, known, vectors)
    by_seed = [found.bound]
    for turn in range(1, TIMES):
        seeds = range(SEED + turn * len(prompts), SEED + (turn + 1) * len(prompts))
        again = [
            shape_and_colour(np.asarray(picture)) for picture in sample(pipeline, prompts, seeds, settings)
        ]
        by_seed.append(binding(words, again, known, vectors).bound)
    every = binding(words, generated, known + known_later, np.concatenate([vectors, vectors_later]))
    # the same question about pictures that were drawn for another word: what chance gives in practice
    turned = words[len(words) // 2 :] + words[: len(words) // 2]
    shuffled = binding(turned, generated, known, vectors)
    result |= {
        "binding": {
            **asdict(found),
            "words": words,
            "bound_by_seed": by_seed,
            "mean_bound": round(float(np.mean(by_seed)), 1),
            "bound_with_words_exchanged": shuffled.bound,
            "bound_among_all_sets": every.bound,
            "chance_among_all_sets": every.chance,
            "copies": every.copies,
            "bound_of_real_icons": round(bound_of_real_icons(words, known, vectors), 1),
            "guidance": options.guidance,
            "prompt": "a <word>",
        },
        "speed": {**speed, **loading_seconds(options.base)},
        "machine": {
            "cpu": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }
    if options.timed:
        result["training"] = training_minutes(options.work, Path(options.base))
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    sheet(words, pictures, found.hits).save(options.sheet)
    print(json.dumps({key: value for key, value in result.items() if key != "binding"}))
    print(f"bound {by_seed} of {found.prompts}, chance {found.chance:.3f}, copies {found.copies}")


def sheet(words, pictures, hits, cell: int = 96, columns: int = 16) -> Image.Image:
    """The generated icons with their words; a hit is written dark, a miss light."""
    from PIL import ImageDraw

    rows = -(-len(words) // columns)
    found = Image.new("RGB", (columns * (cell + 8) + 8, rows * (cell + 24) + 8), "white")
    draw = ImageDraw.Draw(found)
    for index, (word, picture, hit) in enumerate(zip(words, pictures, hits, strict=True)):
        x, y = 8 + (index % columns) * (cell + 8), 8 + (index // columns) * (cell + 24)
        found.paste(picture.resize((cell, cell), Image.Resampling.LANCZOS), (x, y))
        draw.text((x, y + cell + 2), word, fill="#1f2a44" if hit else "#b0b8c0")
    return found


if __name__ == "__main__":
    main()
