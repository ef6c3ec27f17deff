"""Is the LoRA's flow loss on held-out icons lower than the base's: by how much, how sure, where.

Belongs here: comparing losses of the same icons, noise and sigmas. Does not belong here: computing them
(`losses`, which needs the model) and drawing them (`plots`).

Both models see the same noise, so what is compared is one difference an icon, and its interval is much
narrower than those of the two losses. A second figure asks whether words matter: the loss with another
held-out icon's caption minus the loss with its own. Where captions were shuffled in training it is near zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bioicons_pipeline.evaluation.intervals import Estimate, between, mean_estimate, resampled

SIGMAS = (0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95)
"""Noise levels of the comparison: 0 is the picture, 1 is noise."""


@dataclass(frozen=True)
class Losses:
    """Mean squared errors of one model: `own` and `strange`, each (S, N) for S sigmas and N icons, with the
    icon's own caption and with one of another family's; `strange` is None where there is no other family."""

    own: np.ndarray
    strange: np.ndarray | None


@dataclass(frozen=True)
class LossFigures:
    """Of one model. mean: over all icons and sigmas; change: the same minus the base's, None for the base;
    words: gain by the own caption over a stranger's; by_sigma: a figure for each of SIGMAS;
    change_by_category: where there are several."""

    mean: Estimate
    change: Estimate | None
    words: Estimate | None
    by_sigma: tuple[Estimate, ...]
    change_by_sigma: tuple[Estimate, ...]
    change_by_category: dict[str, Estimate]


def stranger(families: Sequence[str]) -> list[int] | None:
    """For each icon the place of one of another family, the same every time; None with a single family.

    Icons are sorted by family, and each takes the one half the list further on, or the next stranger.
    """
    number = len(families)
    if len(set(families)) < 2:
        return None
    order = sorted(range(number), key=lambda place: (families[place], place))
    found = [0] * number
    for rank, place in enumerate(order):
        for step in range(number):
            other = order[(rank + number // 2 + step) % number]
            if families[other] != families[place]:
                found[place] = other
                break
    return found


def figures(
    losses: Losses, base: Losses | None, families: Sequence[str], categories: Sequence[str]
) -> LossFigures:
    """The figures of one model; `base` None: it is the base itself."""
    own = losses.own.mean(axis=0)
    words = None
    if losses.strange is not None:
        words = mean_estimate(losses.strange.mean(axis=0) - own, families)
    change, by_sigma, by_category = None, [], {}
    if base is not None:
        lower = losses.own - base.own
        change = mean_estimate(lower.mean(axis=0), families)
        by_sigma = _each_sigma(lower, families)
        by_category = _each_category(lower.mean(axis=0), families, categories)
    return LossFigures(
        mean=mean_estimate(own, families),
        change=change,
        words=words,
        by_sigma=tuple(_each_sigma(losses.own, families)),
        change_by_sigma=tuple(by_sigma),
        change_by_category=by_category,
    )


def _each_sigma(values: np.ndarray, families: Sequence[str]) -> list[Estimate]:
    counts = resampled(families)
    weights = counts / counts.sum(axis=1, keepdims=True)
    return [between(row.mean(), weights @ row, len(set(families))) for row in values]


def _each_category(
    values: np.ndarray, families: Sequence[str], categories: Sequence[str]
) -> dict[str, Estimate]:
    named = sorted(set(categories))
    if len(named) < 2:
        return {}
    places = {name: [i for i, found in enumerate(categories) if found == name] for name in named}
    return {
        name: mean_estimate(values[where], [families[i] for i in where]) for name, where in places.items()
    }
