"""Rendering, measured side by side in one run: the usual way, ours cold and warm, the floor, the browser.

    python benchmarks/rendering.py path/to/bioicons [--icons N] [--no-chromium]

`path/to/bioicons` is a clone of the library (or of the sample bundle). The usual way is what most scripts
do: one `cairosvg.svg2png` at 1024 px after another, then Pillow on white, saved as PNG. The ways take turns
on blocks of icons, so that whatever else the machine does falls on all of them; read the ratios, not the
seconds. Writes `benchmarks/results/rendering.json`.
"""

import argparse
import io
import json
import multiprocessing
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image

from bioicons_pipeline.rendering import RenderCache, RenderSettings, probe_many, render_many

SIZE = 1024
BLOCKS = 4
Icons = list[tuple[str, bytes]]


def usual_way(data: bytes, size: int = SIZE) -> bytes:
    """cairosvg, Pillow on white, PNG. Raises whatever cairosvg raises."""
    import cairosvg

    drawn = Image.open(io.BytesIO(cairosvg.svg2png(bytestring=data, output_width=size, output_height=size)))
    paper = Image.new("RGBA", drawn.size, "white")
    paper.alpha_composite(drawn.convert("RGBA"))
    out = io.BytesIO()
    paper.convert("RGB").save(out, "PNG")
    return out.getvalue()


def floor_way(data: bytes) -> int:
    """The fastest binding alone: no sandbox, no framing, straight to the PNG of resvg."""
    from resvg import render, usvg

    options = usvg.Options.default()
    options.dpi = 96.0
    try:
        tree = usvg.Tree.from_str(data.decode("utf-8", "replace"), options)
        width, height = tree.int_size()
        scale = SIZE / max(width, height)
        shape = (max(1, round(width * scale)), max(1, round(height * scale)))
        return len(render(tree, (scale, 0.0, 0.0, 0.0, scale, 0.0), bg_size=shape))
    except KeyboardInterrupt:
        raise
    except BaseException:  # the binding's panics are no Exception, and would hang the pool
        return 0


def resvg_py_way(data: bytes) -> int:
    """The other binding, called as its README does, at the same size."""
    import resvg_py

    try:
        return len(resvg_py.svg_to_bytes(svg_string=data.decode("utf-8", "replace"), width=SIZE, height=SIZE))
    except Exception:
        return 0


def timed(work) -> tuple[float, object]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def fails(work, data: bytes) -> bool:
    try:
        work(data)
    except Exception:
        return True
    return False


def throughput(icons: Icons, cores: int) -> dict:
    """Seconds of each way over the same blocks of icons, and who failed on how many."""
    seconds = dict.fromkeys(("usual", "ours_cold", "ours_cold_cached", "ours_warm", "probe", "floor"), 0.0)
    failures: dict[str, list[str]] = {"usual": [], "ours": []}
    settings = RenderSettings(size=SIZE)
    with tempfile.TemporaryDirectory() as folder:
        cache = RenderCache(folder)
        for block in (icons[i::BLOCKS] for i in range(BLOCKS)):
            took, bad = timed(lambda block=block: [key for key, data in block if fails(usual_way, data)])
            seconds["usual"] += took
            failures["usual"] += bad
            took, bad = timed(
                lambda block=block: [
                    f"{r.key}: {r.refusal}" for r in render_many(block, settings, workers=cores) if r.refusal
                ]
            )
            seconds["ours_cold"] += took
            failures["ours"] += bad
            with multiprocessing.get_context("fork").Pool(cores) as pool:
                data = [data for _, data in block]
                took, _ = timed(lambda pool=pool, data=data: pool.map(floor_way, data, chunksize=4))
            seconds["floor"] += took
            for name in ("ours_cold_cached", "ours_warm"):
                took, _ = timed(
                    lambda block=block: [
                        r.key for r in render_many(block, settings, cache=cache, workers=cores)
                    ]
                )
                seconds[name] += took
            took, _ = timed(lambda block=block: [r.key for r in probe_many(block, workers=cores)])
            seconds["probe"] += took
            print(f"  {sum(seconds.values()):.0f} s measured", file=sys.stderr)
    return {
        "icons": len(icons),
        "workers": cores,
        "ms_per_icon": {name: round(value / len(icons) * 1000, 2) for name, value in seconds.items()},
        "cold_times_faster_than_usual": round(seconds["usual"] / seconds["ours_cold"], 2),
        "cold_with_cache_times_faster_than_usual": round(seconds["usual"] / seconds["ours_cold_cached"], 2),
        "warm_times_faster_than_usual": round(seconds["usual"] / seconds["ours_warm"], 1),
        "cold_as_share_of_floor_speed": round(seconds["floor"] / seconds["ours_cold"], 3),
        "failures": {"usual": len(failures["usual"]), "ours": failures["ours"]},
    }


def bindings(icons: Icons, count: int = 60) -> dict:
    """ms an icon, one core, of each binding at 1024 px, taking turns icon by icon."""
    seconds: dict[str, list[float]] = {"resvg": [], "resvg-py": [], "cairosvg + Pillow": []}
    for _, data in random.Random(1).sample(icons, min(count, len(icons))):
        seconds["resvg"].append(timed(lambda data=data: floor_way(data))[0])
        seconds["resvg-py"].append(timed(lambda data=data: resvg_py_way(data))[0])
        seconds["cairosvg + Pillow"].append(timed(lambda data=data: fails(usual_way, data))[0])
    return {name: round(statistics.mean(values) * 1000, 1) for name, values in seconds.items()}


MEMORY = """
import json, resource, sys
from pathlib import Path
from bioicons_pipeline.rendering import RenderSettings, render_many
def peak(pid):
    try:
        return int(Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0])
    except (OSError, IndexError):
        return 0
paths = sorted(Path(sys.argv[1]).rglob("*.svg"))[: int(sys.argv[3])]
icons = ((str(path), path.read_bytes()) for path in paths)
peaks, seen = [], {}
for i, result in enumerate(render_many(icons, RenderSettings(size=1024), workers=int(sys.argv[2]))):
    if i % 20 == 0 or i == len(paths) - 1:
        for task in Path("/proc/self/task").iterdir():
            for child in (task / "children").read_text().split():
                seen[child] = max(seen.get(child, 0), peak(child))
        alive = sorted(seen.values())[-int(sys.argv[2]):]
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        peaks.append((own + sum(alive)) // 1024)
print(json.dumps([peaks[len(peaks) * q // 4 - 1] for q in (1, 2, 3, 4)]))
"""


def memory(folder: Path, count: int, cores: int) -> dict:
    """MiB: the highest resident memory of the caller plus that of its workers, after each quarter."""
    command = [sys.executable, "-c", MEMORY, str(folder), str(cores), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    quarters = json.loads(done.stdout)
    return {"mib_after_each_quarter": quarters, "peak_mib": max(quarters)}


def against_chromium(icons: Icons, also_usual: set[str], cores: int) -> dict:
    """Mean absolute difference (0 to 255) at 512 px unframed; of the usual way for `also_usual` only."""
    from bioicons_pipeline.rendering.chromium import Chromium

    size = 512
    settings = RenderSettings(size=size, frame=False, alpha=False, keep_svg=False)
    ours: dict[str, float] = {}
    usual: dict[str, float] = {}
    broken = 0
    with Chromium() as browser:
        name = browser.version()
        start = time.perf_counter()
        shown = [
            None if picture is None else picture.copy()
            for picture in browser.render((data for _, data in icons), size)
        ]
        browser_seconds = time.perf_counter() - start
    results = render_many(icons, settings, workers=cores)
    for (key, data), theirs, result in zip(icons, shown, results, strict=True):
        if theirs is None:
            broken += 1
            continue
        if result.png is not None:
            ours[key] = difference(result.png, theirs, size)
        if key not in also_usual:
            continue
        try:
            usual[key] = difference(usual_way(data, size), theirs, size)
        except Exception:
            usual[key] = float("nan")
    compared = {key: value for key, value in usual.items() if value == value}
    return {
        "browser": name,
        "browser_ms_per_icon": round(browser_seconds / len(icons) * 1000, 1),
        "broken_in_browser": broken,
        "ours": summary(ours),
        "usual_where_it_does_not_fail": summary(compared),
        "usual_failed": len(usual) - len(compared),
    }


def difference(png: bytes, theirs: np.ndarray, size: int) -> float:
    picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    ours = np.full((size, size, 3), 255, np.int16)
    if picture.shape[0] < size or picture.shape[1] < size:
        ours[: picture.shape[0], : picture.shape[1]] = picture
    else:  # cairosvg centres in the square, the browser's picture sits at the top left
        ours = picture.astype(np.int16)
        ink = np.argwhere((ours < 250).any(axis=2))
        theirs_ink = np.argwhere((theirs < 250).any(axis=2))
        if len(ink) and len(theirs_ink):
            shift = theirs_ink.min(axis=0) - ink.min(axis=0)
            ours = np.roll(ours, tuple(shift), axis=(0, 1))
    return float(np.abs(ours - theirs).mean())


def summary(values: dict[str, float]) -> dict:
    worst = sorted(values.items(), key=lambda pair: -pair[1])[:10]
    return {
        "icons": len(values),
        "mean": round(statistics.mean(values.values()), 3),
        "over_8": sum(value > 8 for value in values.values()),
        "worst": {key: round(value, 2) for key, value in worst},
    }


def machine() -> dict:
    model = "unknown"
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    packages = ("resvg", "resvg-py", "cairosvg", "lxml", "pillow", "numpy")
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "load_before": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("library", type=Path, help="a clone of the library, or any folder of SVG files")
    parser.add_argument("--icons", type=int, help="time only this many, evenly chosen (Chromium sees all)")
    parser.add_argument("--memory-icons", type=int, help="measure memory over this many; default all")
    parser.add_argument("--workers", type=int, default=min(2, len(os.sched_getaffinity(0))))
    parser.add_argument("--no-chromium", action="store_true")
    default = Path(__file__).parent / "results" / "rendering.json"
    parser.add_argument("--output", type=Path, default=default)
    options = parser.parse_args()
    paths = sorted(options.library.rglob("*.svg"))
    library = [(str(path.relative_to(options.library)), path.read_bytes()) for path in paths]
    icons = library
    if options.icons:
        icons = library[:: max(1, len(library) // options.icons)][: options.icons]
    results: dict = {"machine": machine(), "size_px": SIZE}
    results["throughput"] = throughput(icons, options.workers)
    results["bindings_ms_per_icon_one_core"] = bindings(icons)
    results["memory"] = memory(options.library, options.memory_icons or len(library), options.workers)
    if not options.no_chromium:
        results["chromium_512px"] = against_chromium(library, {key for key, _ in icons}, options.workers)
    results["machine"]["load_after"] = round(os.getloadavg()[0], 2)
    results["benchmark_peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n")
    print(json.dumps(results, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
