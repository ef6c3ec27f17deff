"""Vectorising real icons: rendered, vectorised, rendered again; beside plain vtracer at its defaults.

    python benchmarks/vectorize.py path/to/bioicons [--manifest FILE] [--icons N] [--size PX]

Both are given the same RGBA picture with the icon's true alpha. `shapes`: elements drawn; `shapes_ratio`:
over those of the original SVG; `shapes_off`: |log2| of that ratio, so that half as many is as far as twice
as many; `bytes`; `difference`: mean absolute difference to the picture, on white, 0 to 255, over the whole
picture; `on_grey`: the same on mid grey, where light fringes show. `better`: icons on which ours is.
"""

import argparse
import io
import json
import re
import time
from pathlib import Path

import numpy as np
from PIL import Image
from real_icons import Icon, machine, read_manifest, render, sample, spread

from bioicons_pipeline.generation.vectorize import vectorize
from bioicons_pipeline.rendering import RenderSettings, render_many

RESULTS = Path(__file__).parent / "results" / "vectorize.json"
DRAWN = re.compile(rb"<(?:path|circle|ellipse|rect|line|polygon|polyline|use|text|image)\b")
KEYS = ("shapes_off", "bytes", "difference")


def plain(icon: Icon) -> bytes:
    """vtracer as its README calls it."""
    import vtracer

    png = io.BytesIO()
    icon.rgba.save(png, "PNG")
    return vtracer.convert_raw_image_to_svg(png.getvalue(), img_format="png").encode()


def on(colour: int, rgba: Image.Image) -> np.ndarray:
    """The picture laid on a grey."""
    ground = Image.new("RGBA", rgba.size, (colour, colour, colour))
    ground.alpha_composite(rgba)
    return np.asarray(ground.convert("RGB"), dtype=np.int16)


def figures(icon: Icon, svg: bytes, drawn: Image.Image) -> dict[str, float]:
    """One vectorised icon against its original."""
    shapes, original = len(DRAWN.findall(svg)), max(1, len(DRAWN.findall(icon.svg)))
    return {
        "shapes": shapes,
        "shapes_ratio": shapes / original,
        "shapes_off": abs(np.log2(max(1, shapes) / original)),
        "bytes": len(svg),
        "difference": float(np.abs(on(255, icon.rgba) - on(255, drawn)).mean()),
        "on_grey": float(np.abs(on(128, icon.rgba) - on(128, drawn)).mean()),
    }


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("library", type=Path)
    parser.add_argument("--manifest", type=Path)
    parser.add_argument("--icons", type=int, default=100)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder for the SVGs")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    df = read_manifest(options.library, options.manifest)
    icons = list(render(sample(df, options.icons, 3), options.library, options.size, options.workers))
    made: dict[str, list[bytes]] = {"ours": [], "vtracer": []}
    steps, seconds = [], {"ours": 0.0, "vtracer": 0.0}
    for icon in icons:
        started = time.perf_counter()
        result = vectorize(icon.rgba, title=icon.path, compare=False)
        seconds["ours"] += time.perf_counter() - started
        made["ours"].append(result.svg.encode())
        steps.append(result.report.step)
        started = time.perf_counter()
        made["vtracer"].append(plain(icon))
        seconds["vtracer"] += time.perf_counter() - started
    settings = RenderSettings(size=options.size, frame=False, keep_svg=False)
    rows: dict[str, list[dict[str, float]]] = {}
    for name, svgs in made.items():
        results = render_many(list(zip([i.icon_id for i in icons], svgs, strict=True)), settings, workers=1)
        for icon, svg, result in zip(icons, svgs, results, strict=True):
            assert result.alpha_png, f"{name}: {icon.path} does not pass the sanitiser: {result.refusal}"
            picture = Image.open(io.BytesIO(result.alpha_png)).convert("RGBA")
            rows.setdefault(name, []).append(figures(icon, svg, picture))
            if options.keep:
                options.keep.mkdir(parents=True, exist_ok=True)
                (options.keep / f"{icon.icon_id}-{name}.svg").write_bytes(svg)
    pairs = list(zip(rows["ours"], rows["vtracer"], strict=True))
    results = {
        "sample": {"icons": len(icons), "of_included": len(df), "size_px": options.size},
        "machine": machine("vtracer", "numpy", "scipy", "pillow", "resvg"),
        **{name: {key: spread([r[key] for r in rows[name]]) for key in rows[name][0]} for name in rows},
        "better": {key: int(sum(ours[key] < theirs[key] for ours, theirs in pairs)) for key in KEYS},
        "steps": {step: steps.count(step) for step in sorted(set(steps))},
        "ms_per_icon": {name: round(value / len(icons) * 1000, 1) for name, value in seconds.items()},
        "worst": {
            icon.path: round(row["difference"], 2)
            for icon, row in sorted(
                zip(icons, rows["ours"], strict=True), key=lambda pair: -pair[1]["difference"]
            )[:8]
        },
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps(results, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
