"""Shape and colour of an icon in one vector: what "looks like" means when figures are reported.

Belongs here: the one descriptor that evaluations search neighbours with. Shape is the library's descriptor
(`library.shape`), which is blind to colour by intent; to it comes the share of the foreground that each of
4 × 4 × 4 colours has, as square roots, so that the dot product is the Bhattacharyya coefficient. Fixed
before flux-nano was trained, and not tuned to it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bioicons_pipeline.library.shape import SIZE as SHAPE_SIZE
from bioicons_pipeline.library.shape import descriptor, foreground

LEVELS = 4
SIZE = SHAPE_SIZE + LEVELS**3
WEIGHT_SHAPE, WEIGHT_COLOUR = 0.7, 0.3


def shape_and_colour(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3 or 4) uint8, on white or with straight alpha → (SIZE,) fp32; the product of two is ≤ 1.

    A picture with nothing drawn gives zeros.
    """
    drawn = foreground(picture)
    if not drawn.any():
        return np.zeros(SIZE, dtype=np.float32)
    levels = (picture[..., :3][drawn].astype(np.int32) * LEVELS) // 256
    bins = (levels[:, 0] * LEVELS + levels[:, 1]) * LEVELS + levels[:, 2]
    share = np.bincount(bins, minlength=LEVELS**3) / len(bins)
    return np.concatenate(
        [np.sqrt(WEIGHT_SHAPE) * descriptor(picture), np.sqrt(WEIGHT_COLOUR * share)]
    ).astype(np.float32)


def nearest(queries: Sequence[np.ndarray], vectors: np.ndarray, k: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the `k` nearest of `vectors` (N, SIZE) to each query, nearest first, and their similarity."""
    similarity = np.stack(list(queries)) @ vectors.T
    rows = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    return rows, np.take_along_axis(similarity, rows, axis=1)
