"""How far two sets of pictures are apart in a feature space, with an interval.

Belongs here: unbiased kernel distances between sets. Does not belong here: the features.

KID (Binkowski et al. 2018, arXiv:1801.01401): the unbiased squared maximum mean discrepancy with the kernel
(x·y/d + 1)³. It has no bias for small sets, which Fréchet's distance has; near zero it can be negative.
CMMD (Jayasumana et al. 2024, arXiv:2401.09603): the same with a Gaussian kernel of width 10 on unit CLIP
embeddings, times 1000. Pairs inside a set count only across groups: icons of one family, or pictures of one
prompt, are no two finds, and in a bootstrap the same icon drawn twice is no pair.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from bioicons_pipeline.evaluation.intervals import Estimate, between, resampled

Kernel = Callable[[np.ndarray, np.ndarray], np.ndarray]
CLIPPED = 5.0
"""Standard deviations beyond which a feature counts as this far: a cubic kernel sees nothing but outliers."""


@dataclass(frozen=True)
class Pictures:
    """Features (N, d) of a set, and for each its group: family of a real icon, prompt of a generated one."""

    features: np.ndarray
    groups: tuple[str, ...]


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation (d,) of real icons' features, by which all are measured."""

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray, least: Sequence[float]) -> Scale:
        """From (N, d); a deviation is never under the feature's `least`."""
        return cls(features.mean(axis=0), np.maximum(features.std(axis=0), np.asarray(least)))

    def apply(self, features: np.ndarray) -> np.ndarray:
        """Standard deviations from the mean, clipped."""
        return np.clip((features - self.mean) / self.deviation, -CLIPPED, CLIPPED)


def polynomial(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """KID's kernel between (N, d) and (M, d): (N, M)."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def gaussian(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """CMMD's kernel between unit vectors (N, d) and (M, d): (N, M), times 1000."""
    squared = (x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1)[None] - 2 * x @ y.T
    return 1000 * np.exp(-np.maximum(squared, 0) / (2 * 10.0**2))


def distance(one: Pictures, other: Pictures, kernel: Kernel = polynomial, seed: int = 0) -> Estimate:
    """Unbiased squared distance of two sets, with an interval over groups of both.

    Raises:
        ValueError: a set has fewer than two groups.
    """
    value, samples = _distances([one], other, kernel, seed)
    return between(value[0], samples[0], _units(one, other))


def closer(
    one: Pictures, than: Pictures, to: Pictures, kernel: Kernel = polynomial, seed: int = 0
) -> Estimate:
    """Distance of `one` to `to` minus that of `than`, both resampled together: below zero, `one` is closer.

    Raises:
        ValueError: a set has fewer than two groups.
    """
    value, samples = _distances([one, than], to, kernel, seed)
    return between(value[0] - value[1], samples[0] - samples[1], min(_units(one, to), _units(than, to)))


def _units(one: Pictures, other: Pictures) -> int:
    return min(len(set(one.groups)), len(set(other.groups)))


def _distances(
    sets: Sequence[Pictures], other: Pictures, kernel: Kernel, seed: int
) -> tuple[list[float], list[np.ndarray]]:
    """The distance of each of `sets` to `other`, and its bootstrap samples, of the same rounds for all."""
    if any(len(set(found.groups)) < 2 for found in (*sets, other)):
        raise ValueError("a distance needs at least two families or prompts on each side")
    labels = [label for found in (*sets, other) for label in found.groups]
    counts = resampled(labels, seed=seed)
    edges = np.cumsum([0, *(len(found.groups) for found in (*sets, other))])
    parts = [counts[:, start:end] for start, end in pairwise(edges)]
    inner, inner_samples = _inside(other, parts[-1], kernel)
    values, samples = [], []
    for found, drawn in zip(sets, parts, strict=False):
        own, own_samples = _inside(found, drawn, kernel)
        across = kernel(found.features, other.features)
        values.append(own + inner - 2 * float(across.mean()))
        crossed = ((drawn @ across) * parts[-1]).sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            crossed = crossed / (drawn.sum(axis=1) * parts[-1].sum(axis=1))
        samples.append(own_samples + inner_samples - 2 * crossed)
    return values, samples


def _inside(found: Pictures, counts: np.ndarray, kernel: Kernel) -> tuple[float, np.ndarray]:
    """Mean kernel over pairs of different groups: of all, and of each round."""
    groups = np.asarray(found.groups)
    pairs = (groups[:, None] != groups[None]).astype(np.float64)
    values = kernel(found.features, found.features) * pairs
    with np.errstate(invalid="ignore", divide="ignore"):  # a round of one group has no pair: it is left out
        samples = ((counts @ values) * counts).sum(axis=1) / ((counts @ pairs) * counts).sum(axis=1)
    return float(values.sum() / pairs.sum()), samples
