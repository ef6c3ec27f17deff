"""What a training leaves for people: `training_report.json` and the picture of its losses.

Belongs here: content and looks of both. Does not belong here: measuring (evaluate, loop). Both are
functions of the run's numbers alone, without times or dates: the same training gives the same bytes, and
with them the same version id.
"""

from __future__ import annotations

import io
import platform
from importlib.metadata import version
from typing import Any

from bioicons_pipeline.training.checkpoint import RunState
from bioicons_pipeline.training.config import TrainingConfig

FORMAT = 1


def evaluation_at(state: RunState, step: int) -> dict[str, Any]:
    """The evaluation made at `step`; the exported step always has one."""
    return next(item for item in state.evaluations if item["step"] == step)


def loss_of(evaluation: dict[str, Any], split: str) -> float | None:
    """Fixed-noise loss of a split in one evaluation, None where the split is empty."""
    return evaluation[split]["loss"] if evaluation[split] else None


def make_report(
    state: RunState,
    config: TrainingConfig,
    *,
    exported_step: int,
    base: dict[str, Any],
    dataset: dict[str, Any],
    adapter: dict[str, Any],
    provenance: dict[str, Any],
    partition: str,
) -> dict[str, Any]:
    """The report as JSON-able facts. Losses are mean squared errors of the predicted velocity."""
    before, after = state.evaluations[0], evaluation_at(state, exported_step)
    return {
        "format": FORMAT,
        "partition": partition,
        "base": base,
        "dataset": dataset,
        "adapter": adapter,
        "provenance": provenance,
        "config": config.identity(),
        "steps": state.step,
        "exported_step": exported_step,
        "best_step": state.best_step,
        "train_loss_before": loss_of(before, "train"),
        "train_loss_after": loss_of(after, "train"),
        "heldout_loss_before": loss_of(before, "heldout"),
        "heldout_loss_after": loss_of(after, "heldout"),
        "evaluations": state.evaluations,
        "step_losses": state.losses,
        "gradient_norms": state.grad_norms,
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "diffusers", "transformers", "peft", "accelerate")},
        },
    }


def loss_curve(state: RunState, *, title: str, exported_step: int) -> bytes:
    """PNG of the losses over steps: every step faint, their running mean, fixed-noise losses as points."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    ink, muted, grid = "#1f2933", "#7b8794", "#e4e7eb"
    figure = Figure(figsize=(8, 4.5), dpi=120, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    steps = range(1, len(state.losses) + 1)
    axes.plot(
        steps, state.losses, color="#9fb3c8", linewidth=0.8, alpha=0.6, label="each step (random noise)"
    )
    axes.plot(steps, running_mean(state.losses), color="#486581", linewidth=1.6, label="running mean")
    styles = {"train": ("#0b7285", "o", "training icons"), "heldout": ("#e8590c", "s", "held-out icons")}
    for split, (colour, marker, label) in styles.items():
        points = [(item["step"], item[split]["loss"]) for item in state.evaluations if item[split]]
        if points:
            xs, ys = zip(*points, strict=True)
            axes.plot(
                xs, ys, color=colour, marker=marker, markersize=5, linewidth=2, label=f"{label}, fixed noise"
            )
            axes.annotate(
                f"{ys[0]:.3f} → {ys[-1]:.3f}",
                (xs[-1], ys[-1]),
                textcoords="offset points",
                xytext=(-4, 8 if split == "heldout" else -14),
                ha="right",
                fontsize=9,
                color=colour,
                fontweight="bold",
            )
    if exported_step != state.step:
        axes.axvline(exported_step, color=muted, linestyle=":", linewidth=1)
        axes.annotate(
            f" exported: step {exported_step}",
            (exported_step, 1),
            xycoords=("data", "axes fraction"),
            va="top",
            fontsize=8.5,
            color=muted,
        )
    axes.set_title(title, loc="left", fontsize=12, color=ink, pad=10)
    axes.set_xlabel("optimizer step", color=ink)
    axes.set_ylabel("flow-matching loss", color=ink)
    axes.set_xlim(0, max(1, state.step))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    axes.set_ylim(*_limits(state))
    axes.grid(color=grid, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=muted, labelcolor=ink)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(grid)
    axes.legend(frameon=False, fontsize=9, labelcolor=ink, loc="upper right")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _limits(state: RunState) -> tuple[float, float]:
    """From 0 to what shows the curves; a few steps with an extreme sigma may leave the picture."""
    shown = [
        item[split]["loss"] for item in state.evaluations for split in ("train", "heldout") if item[split]
    ]
    ordered = sorted(state.losses)
    shown.append(ordered[int(0.98 * (len(ordered) - 1))] if ordered else 1.0)
    return 0.0, 1.15 * max(shown)


def running_mean(values: list[float], share: float = 0.05) -> list[float]:
    """Exponential running mean with its start corrected for bias; `share` is the weight of a new value."""
    result, total, weight = [], 0.0, 0.0
    for value in values:
        total = (1 - share) * total + share * value
        weight = (1 - share) * weight + share
        result.append(total / weight)
    return result
