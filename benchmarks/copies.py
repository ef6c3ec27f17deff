"""The copy score on real icons: its threshold, and how many changed icons it finds.

    python benchmarks/copies.py path/to/bioicons [--manifest FILE] [--queries N] [--calibrate]

All included icons are in the index. `strangers`: icons searched with their own family left out, so whatever
they resemble is chance; the threshold is the score that one in a hundred of them reaches (`--calibrate`
writes it to bioicons_pipeline/generation/copies.json), once for whole pictures and once for cut-off ones.
Recall is then of other icons (of odd families, the threshold is of even ones), each changed in one way and
found when an icon of its own family is among the five nearest with a similarity at the threshold or above.
`…_between` are 95 % intervals (Wilson).
"""

import argparse
import hashlib
import io
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageFilter
from real_icons import Icon, machine, read_manifest, render, sample, spread

from bioicons_pipeline.generation import copies
from bioicons_pipeline.rendering import RenderCache, probe_many

RESULTS = Path(__file__).parent / "results" / "copies.json"
FALSE_ALARMS = 0.01


def on_white(rgba: Image.Image) -> Image.Image:
    """As a model draws it."""
    ground = Image.new("RGBA", rgba.size, "white")
    ground.alpha_composite(rgba)
    return ground.convert("RGB")


def hue_shift(rgba: Image.Image, random: np.random.Generator) -> Image.Image:
    """Every colour turned by 60 to 300 degrees of hue."""
    hsv = np.asarray(on_white(rgba).convert("HSV")).copy()
    hsv[..., 0] += np.uint8(random.integers(43, 213))
    return Image.fromarray(hsv, "HSV").convert("RGB")


def blur(rgba: Image.Image, random: np.random.Generator) -> Image.Image:
    """Gaussian, standard deviation 0.8 to 1.6 % of the side."""
    return on_white(rgba).filter(ImageFilter.GaussianBlur(rgba.width * random.uniform(0.008, 0.016)))


def crop(rgba: Image.Image, random: np.random.Generator) -> Image.Image:
    """A window of 80 to 90 % of each side, anywhere."""
    width, height = (int(side * random.uniform(0.8, 0.9)) for side in rgba.size)
    left, top = random.integers(0, rgba.width - width + 1), random.integers(0, rgba.height - height + 1)
    return on_white(rgba).crop((left, top, left + width, top + height))


def tilt(rgba: Image.Image, random: np.random.Generator) -> Image.Image:
    """5 degrees, either way."""
    angle = 5 if random.random() < 0.5 else -5
    return on_white(rgba.rotate(angle, Image.Resampling.BICUBIC, expand=True))


def mirrored(rgba: Image.Image, random: np.random.Generator) -> Image.Image:
    """Left and right exchanged."""
    return on_white(rgba.transpose(Image.Transpose.FLIP_LEFT_RIGHT))


CHANGES = {function.__name__: function for function in (hue_shift, blur, crop, tilt, mirrored)}


def even(family: str) -> bool:
    """Half of all families, for the threshold."""
    return hashlib.sha256(family.encode()).digest()[0] % 2 == 0


def drawn(df: pd.DataFrame, count: int, options: argparse.Namespace, seed: int = 4) -> Iterator[Icon]:
    """Some icons of `df`, rendered at the size at which they are asked for."""
    return render(sample(df, count, seed), options.library, options.size, options.workers)


def strangers(
    index: copies.CopyIndex, icons: Iterable[Icon], random: np.random.Generator
) -> dict[str, list[float]]:
    """Best scores of icons against all other families, whole and cut off."""
    scores: dict[str, list[float]] = {"whole": [], "cut": []}
    for icon in icons:
        for kind, picture in (("whole", icon.rgb), ("cut", crop(icon.rgba, random))):
            nearest = index.nearest(picture, 1, without_family=icon.family_id)
            scores[kind].append(nearest[0].similarity if nearest else 0.0)
    return scores


def wilson(values: list[bool]) -> list[float]:
    """95 % interval of a share, after Wilson."""
    n, share, z = len(values), float(np.mean(values)), 1.96
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    return [round(max(0.0, middle - half), 4), round(min(1.0, middle + half), 4)]


def main() -> None:
    """Measure; with `--calibrate`, write the threshold."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("library", type=Path)
    parser.add_argument("--manifest", type=Path)
    parser.add_argument("--strangers", type=int, default=600)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--size", type=int, default=384, help="px of the pictures that are searched")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--cache", type=Path, help="folder for renderings")
    parser.add_argument("--calibrate", action="store_true")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    df = read_manifest(options.library, options.manifest)
    folder = options.library / "static" / "icons"
    svgs = [(row.icon_id, (folder / row.source_path).read_bytes()) for row in df.itertuples()]
    cache = RenderCache(options.cache) if options.cache else None
    pictures = {
        result.key: Image.open(io.BytesIO(result.png)).convert("RGBA")
        for result in probe_many(svgs, cache=cache, workers=1)
        if result.png
    }
    df = df[df["icon_id"].isin(pictures)]
    family = dict(zip(df["icon_id"], df["family_id"], strict=True))
    started = time.perf_counter()
    index = copies.CopyIndex.build(pictures, family)
    built = time.perf_counter() - started
    side = df["family_id"].map(even)
    random = np.random.default_rng(5)
    asked = time.perf_counter()
    chance = {
        half: strangers(index, drawn(df[side == half], options.strangers // 2, options), random)
        for half in (True, False)
    }
    if options.calibrate:
        limits = {kind: float(np.quantile(scores, 1 - FALSE_ALARMS)) for kind, scores in chance[True].items()}
    else:
        limits = {"whole": copies.threshold(), "cut": copies.threshold(cut=True)}
    found: dict[str, list[bool]] = {name: [] for name in CHANGES}
    scores: dict[str, list[float]] = {name: [] for name in CHANGES}
    for icon in drawn(df[~side], options.queries, options, seed=6):
        for name, change in CHANGES.items():
            nearest = index.nearest(change(icon.rgba, random))
            score = max((n.similarity for n in nearest if family[n.key] == icon.family_id), default=0.0)
            found[name].append(score >= limits["cut" if name == "crop" else "whole"])
            scores[name].append(score)
    asked = time.perf_counter() - asked
    queries = 2 * options.strangers + options.queries * len(CHANGES)
    alarms = {kind: [score >= limits[kind] for score in chance[False][kind]] for kind in limits}
    other = {kind: float(np.quantile(values, 1 - FALSE_ALARMS)) for kind, values in chance[False].items()}
    results = {
        "sample": {
            "icons": len(df),
            "families": int(df["family_id"].nunique()),
            "strangers": options.strangers,
            "queries_each": len(scores["tilt"]),
            "query_px": options.size,
        },
        "threshold": round(limits["whole"], 4),
        "threshold_of_cut": round(limits["cut"], 4),
        "false_alarms_aimed_at": FALSE_ALARMS,
        "false_alarms_of_the_other_half": {kind: round(float(np.mean(v)), 4) for kind, v in alarms.items()},
        "false_alarms_between": {kind: wilson(values) for kind, values in alarms.items()},
        "recall": {name: round(float(np.mean(values)), 4) for name, values in found.items()},
        "recall_between": {name: wilson(values) for name, values in found.items()},
        "recall_where_1_in_100_of_the_other_half_pass": {
            name: round(float(np.mean(np.array(values) >= other["cut" if name == "crop" else "whole"])), 4)
            for name, values in scores.items()
        },
        "chance_scores": {kind: spread(chance[True][kind] + chance[False][kind]) for kind in limits},
        "scores": {name: spread(values) for name, values in scores.items()},
        "recall_at": {
            str(limit): {name: round(float(np.mean(np.array(v) >= limit)), 3) for name, v in scores.items()}
            for limit in (0.9, 0.92, 0.94, 0.96, 0.97, 0.98)
        },
        "seconds": {
            "index": round(built, 1),
            "a_query_with_its_rendering": round(asked / queries, 3),
        },
        "machine": machine("numpy", "pillow", "resvg"),
    }
    if options.calibrate:
        keys = ("threshold", "threshold_of_cut", "sample", "false_alarms_of_the_other_half")
        keys += ("false_alarms_between", "recall", "recall_between")
        keys += ("recall_where_1_in_100_of_the_other_half_pass",)
        facts = {"made_by": "benchmarks/copies.py --calibrate"} | {key: results[key] for key in keys}
        target = Path(copies.__file__).with_name("copies.json")
        target.write_text(json.dumps(facts, indent=1) + "\n")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
