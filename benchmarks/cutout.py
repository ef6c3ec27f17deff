"""The cut-out against the true alpha of real icons, beside thresholding and flood fill, in one run.

    python benchmarks/cutout.py path/to/bioicons [--manifest FILE] [--icons N] [--size PX] [--fit]

Every icon is rendered on white and with its alpha. `iou`: of the opaque pixels (alpha over one half), over
all pixels; `iou_drawn`: of the pixels that are drawn at all (alpha over 8 of 255): a half-transparent paint
looks on white like an opaque lighter one, which no cut-out can tell; `..._decidable`: without the
paper-coloured areas that are enclosed by the subject, which a picture on white does not decide either (they
are counted under `undecided`); `soft_iou`: sum of the smaller over
sum of the larger alpha; `edge_error`: mean distance of the alpha (0 to 1) within two pixels of the true
outline; `fringe`: the same region laid on black, mean difference to the true icon on black, 0 to 255.
`as_diffusion` is the same after what a diffusion model does to a picture: softened, paper at 250 with a slow
drift, noise of up to 6 levels.

The guess about interiors is fitted (`--fit`, writes bioicons_pipeline/generation/interiors.json) on icons of
even families only, and every figure is of odd families.
"""

import argparse
import hashlib
import json
import time
from pathlib import Path

import numpy as np
from PIL import Image
from real_icons import Icon, machine, read_manifest, render, sample, spread
from scipy import ndimage

from bioicons_pipeline.generation import cutout, interiors

DRAWN = 8 / 255
"""Alpha above which a pixel counts as drawn, as in the library's own measures."""
RESULTS = Path(__file__).parent / "results" / "cutout.json"


def thresholded(rgb: np.ndarray) -> np.ndarray:
    """The usual short way: what is not nearly white is opaque. (H, W) 0 to 1."""
    return (rgb.min(axis=2) < 250).astype(float)


def flood_filled(rgb: np.ndarray) -> np.ndarray:
    """The usual better way: near-white that reaches the border is empty."""
    labels, _ = ndimage.label(rgb.min(axis=2) >= 250)
    border = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    return (~np.isin(labels, border[border > 0])).astype(float)


def as_diffusion(rgb: Image.Image, seed: int) -> Image.Image:
    """A clean rendering with the faults of a decoded latent."""
    random = np.random.default_rng(seed)
    pixels = ndimage.gaussian_filter(np.asarray(rgb, dtype=np.float32), (0.6, 0.6, 0)) * (250 / 255)
    height, width, _ = pixels.shape
    slow = ndimage.zoom(random.uniform(-2, 2, (4, 4)), (height / 4, width / 4), order=1)[:height, :width]
    noise = random.uniform(-6, 6, pixels.shape)
    return Image.fromarray((pixels + slow[..., None] + noise).clip(0, 255).round().astype(np.uint8))


def compare(alpha: np.ndarray, true: np.ndarray, aside: np.ndarray) -> dict[str, float]:
    """Figures of one icon; alpha and true (H, W) 0 to 1; `aside` (H, W) bool is not decidable."""

    def iou(mine: np.ndarray, other: np.ndarray) -> float:
        return float((mine & other).sum() / max(1, (mine | other).sum()))

    opaque, real = alpha > 0.5, true > 0.5
    near = ndimage.binary_dilation(true == 0, iterations=2) & ndimage.binary_dilation(true > 0, iterations=1)
    near &= ~aside
    return {
        "iou": iou(opaque, real),
        "iou_decidable": iou(opaque & ~aside, real & ~aside),
        "iou_drawn": iou(alpha > DRAWN, true > DRAWN),
        "iou_drawn_decidable": iou((alpha > DRAWN) & ~aside, (true > DRAWN) & ~aside),
        "soft_iou": float(np.minimum(alpha, true).sum() / np.maximum(alpha, true).sum()),
        "edge_error": float(np.abs(alpha - true)[near].mean()) if near.any() else float("nan"),
    }


def fringe(rgba: np.ndarray, true: np.ndarray, aside: np.ndarray) -> float:
    """Mean difference on black near the outline, 0 to 255: what is left of the white shows here."""
    near = ndimage.binary_dilation(true[..., 3] == 0, iterations=2) & (true[..., 3] > 0) & ~aside
    if not near.any():
        return float("nan")
    ours, theirs = (picture[..., :3].astype(float) * (picture[..., 3:] / 255.0) for picture in (rgba, true))
    return float(np.abs(ours - theirs)[near].mean())


def one(icon: Icon, seed: int) -> dict[str, dict[str, float]]:
    """All ways on one icon."""
    rgb, true = np.asarray(icon.rgb), np.asarray(icon.rgba)
    alpha = true[..., 3] / 255.0
    started = time.perf_counter()
    found = cutout.matte(icon.rgb)
    seconds = time.perf_counter() - started
    noisy = cutout.matte(as_diffusion(icon.rgb, seed))
    aside = found.undecided
    rows = {
        "ours": compare(found.rgba[..., 3] / 255.0, alpha, aside),
        "ours_as_diffusion": compare(noisy.rgba[..., 3] / 255.0, alpha, aside),
    }
    rows["ours"]["fringe"] = fringe(found.rgba, true, aside)
    rows["ours_as_diffusion"]["fringe"] = fringe(noisy.rgba, true, aside)
    rows["ours"]["ms"] = seconds * 1000
    for name, way in (("threshold", thresholded), ("flood_fill", flood_filled)):
        simple = way(rgb)
        rows[name] = compare(simple, alpha, aside)
        rows[name]["fringe"] = fringe(np.dstack([rgb, simple * 255]), true, aside)
    right = total = 0
    for area in _areas(icon, found):
        inside = area[1]
        total += 1
        right += bool(alpha[inside].mean() > 0.5) != interiors.is_hole(area[0])
    # neither white paint without an outline nor a half-transparent colour can be told on white
    rows["ours"]["undecided_share"] = float(aside.sum() / max(1, (alpha > 0).sum()))
    rows["ours"]["interiors"], rows["ours"]["interiors_right"] = total, right
    return rows


def _areas(icon: Icon, found: cutout.Matte):
    """(interior, where it is), measured as the cut-out does, before anything is decided."""
    outer = (found.rgba[..., 3] == 0) & ~found.undecided
    areas, labels = interiors.measure_interiors(
        np.asarray(icon.rgb, dtype=np.float32), found.undecided, outer
    )
    return [(area, labels == area.label) for area in areas]


def fit(icons: list[Icon]) -> dict:
    """Logistic regression on the interiors of `icons`, by Newton's method with a ridge of 10."""
    rows, holes = [], []
    for icon in icons:
        alpha = np.asarray(icon.rgba)[..., 3]
        for area, inside in _areas(icon, cutout.matte(icon.rgb)):
            rows.append(area.features)
            holes.append(float(alpha[inside].mean() < 127))
    values, target = np.array(rows), np.array(holes)
    mean, deviation = values.mean(axis=0), values.std(axis=0) + 1e-9
    scaled = np.column_stack([(values - mean) / deviation, np.ones(len(values))])
    ridge = 10.0 * np.eye(scaled.shape[1])
    ridge[-1, -1] = 0.0
    weights = np.zeros(scaled.shape[1])
    for _ in range(50):
        guess = 1 / (1 + np.exp(-scaled @ weights))
        slope = scaled.T @ (target - guess) - ridge @ weights
        curve = (scaled * (guess * (1 - guess))[:, None]).T @ scaled + ridge
        weights += np.linalg.solve(curve, slope)
    return {
        "made_by": "benchmarks/cutout.py --fit",
        "icons": len(icons),
        "interiors": len(rows),
        "holes": int(target.sum()),
        "features": list(interiors.FEATURES),
        "mean": mean.round(5).tolist(),
        "spread": deviation.round(5).tolist(),
        "coefficients": weights.round(5).tolist(),
    }


def even(family: str) -> bool:
    """Half of all families, for fitting."""
    return hashlib.sha256(family.encode()).digest()[0] % 2 == 0


def main() -> None:
    """Measure, and fit first where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("library", type=Path)
    parser.add_argument("--manifest", type=Path)
    parser.add_argument("--icons", type=int, default=300, help="icons measured, of odd families")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--fit", action="store_true", help="fit the guess about interiors anew")
    parser.add_argument("--fit-icons", type=int, default=600)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    df = read_manifest(options.library, options.manifest)
    side = df["family_id"].map(even)
    if options.fit:
        chosen = sample(df[side], options.fit_icons, 1)
        model = fit(list(render(chosen, options.library, 512, options.workers)))
        target = Path(interiors.__file__).with_name("interiors.json")
        target.write_text(json.dumps(model, indent=1) + "\n")
        interiors._model.cache_clear()
    rows: dict[str, dict[str, list[float]]] = {}
    paths: dict[str, float] = {}
    for number, icon in enumerate(
        render(sample(df[~side], options.icons, 2), options.library, options.size, options.workers)
    ):
        for name, figures in one(icon, number).items():
            for key, value in figures.items():
                rows.setdefault(name, {}).setdefault(key, []).append(value)
        paths[icon.path] = rows["ours"]["iou"][-1]
    interiors_seen = sum(rows["ours"].pop("interiors"))
    right = sum(rows["ours"].pop("interiors_right"))
    results = {
        "sample": {"icons": len(paths), "of_included": len(df), "size_px": options.size, "families": "odd"},
        "machine": machine("numpy", "scipy", "pillow"),
        "interiors": {"areas": interiors_seen, "guessed_right": round(right / max(1, interiors_seen), 4)},
        **{name: {key: spread(values) for key, values in figures.items()} for name, figures in rows.items()},
        "worst": dict(sorted(paths.items(), key=lambda item: item[1])[:10]),
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps(results, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
