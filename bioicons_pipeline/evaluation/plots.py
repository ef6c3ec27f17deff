"""The plots of a report, as PNG bytes.

Belongs here: how figures look. Does not belong here: figures themselves, the page around them (`report`).
The same figures give the same bytes: no dates, no program names.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from bioicons_pipeline.evaluation.heldout import SIGMAS, LossFigures
from bioicons_pipeline.evaluation.measure import BASE, CHANCE, GRAIN, NOISE, REAL, Measure

INK, FAINT, GRID = "#1f2a44", "#6b7785", "#dfe5ea"
_BOUNDS = {BASE: "#7b8794", REAL: "#2f9e44", CHANCE: "#b0b8c0", NOISE: "#b0b8c0", GRAIN: "#b0b8c0"}
_LORAS = ("#e8590c", "#1971c2", "#9c36b5", "#c2255c", "#0b7285", "#e67700")


def colours(names: Sequence[str]) -> dict[str, str]:
    """A colour for each line: bounds have their own, LoRAs take turns."""
    loras = [name for name in names if name not in _BOUNDS]
    own = {name: _LORAS[number % len(_LORAS)] for number, name in enumerate(loras)}
    return {name: _BOUNDS.get(name) or own[name] for name in names}


def loss_plot(losses: Mapping[str, LossFigures]) -> bytes:
    """Loss by noise level, and the change against the base, each with its interval."""
    figure = _figure(9, 3.6)
    left, right = figure.subplots(1, 2)
    colour = colours(list(losses))
    for number, (name, found) in enumerate(losses.items()):
        _band(left, found.by_sigma, colour[name], number, name)
        if found.change is not None:
            _band(right, found.change_by_sigma, colour[name], number, name)
    right.axhline(0, color=INK, linewidth=1)
    for axes, title in ((left, "error by noise level"), (right, "change against the base (below 0: better)")):
        _dress(axes, title)
        axes.set_xlabel("noise level σ (0: the picture, 1: pure noise)", color=INK, fontsize=9)
    left.set_ylim(bottom=0)
    left.legend(frameon=False, fontsize=9, labelcolor=INK)
    return _png(figure)


def _band(axes: Any, estimates: Sequence[Any], colour: str, number: int, name: str) -> None:
    values = [found.value for found in estimates]
    axes.plot(SIGMAS, values, color=colour, marker="o", markersize=3.5, linewidth=1.8, label=name, zorder=3)
    if all(found.low is not None for found in estimates):
        axes.fill_between(
            SIGMAS,
            [found.low for found in estimates],
            [found.high for found in estimates],
            color=colour,
            alpha=0.14,
            linewidth=0,
            zorder=2 - number / 100,
        )


def bounds_plot(measure: Measure) -> bytes:
    """Every line of a measure as a point with its interval, best on the side that the title says."""
    # noise is so far away that all else would be one dot: it is in the table of the data
    names = [name for name in measure.lines if name != NOISE]
    figure = _figure(9, 0.55 + 0.34 * len(names))
    axes = figure.subplots()
    colour = colours(names)
    for row, name in enumerate(reversed(names)):
        found = measure.lines[name]
        if found.low is not None and found.high is not None:
            axes.plot([found.low, found.high], [row, row], color=colour[name], linewidth=3, alpha=0.45)
        axes.plot([found.value], [row], "o", color=colour[name], markersize=7)
    axes.set_yticks(range(len(names)), list(reversed(names)))
    axes.set_ylim(-0.6, len(names) - 0.4)
    _dress(axes, "")
    axes.grid(axis="y", visible=False)
    return _png(figure)


def feature_plot(rows: Sequence[Mapping[str, float | str]], models: Sequence[str]) -> bytes:
    """For each style feature, how far each model's mean is from real icons, in deviations of real icons."""
    figure = _figure(9, 0.9 + 0.27 * len(rows))
    axes = figure.subplots()
    colour = colours(models)
    places = range(len(rows))
    for name in models:
        off = [float(row[f"{name} off"]) for row in rows]
        axes.plot(off, places, "o", color=colour[name], markersize=6, label=name, alpha=0.9)
    axes.axvline(0, color=_BOUNDS[REAL], linewidth=2, label=REAL)
    axes.set_yticks(places, [str(row["feature"]) for row in rows])
    axes.invert_yaxis()
    _dress(axes, "")
    axes.set_xlabel("distance from real icons, in their standard deviations", color=INK, fontsize=9)
    axes.legend(frameon=False, fontsize=9, labelcolor=INK, loc="best")
    return _png(figure)


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _dress(axes: Any, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=FAINT, labelcolor=INK, labelsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(GRID)


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
