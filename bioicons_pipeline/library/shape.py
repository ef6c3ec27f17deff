"""The shape descriptor of a drawing and nearest-neighbour search over it: the project's only ones.

Belongs here: what makes two drawings look alike whatever their colours, and finding the nearest of many.
Families, the licence audit, evaluation and the copy score of generated icons all call this. Does not belong
here: thresholds (each caller states and tests its own).

The descriptor sees the foreground, not the canvas: the drawn part is stretched to a square grid, so that
thin icons do not all collide in one empty picture, and its aspect ratio is kept as an angle of its own. Two
grids of the foreground are kept, blurred to forgive small shifts: the silhouette, and the strength of edges
between colours (Di Zenzo, "A note on the gradient of a multi-image", 1986, taken as the strongest channel),
which is nearly the same for two colourings of one drawing. Grids have their mean removed and unit length:
the dot product of two descriptors is a weighted mean of correlations, 1.0 for equal drawings.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

GRID = 24
SIZE = 2 * GRID * GRID + 2
"""Length of a descriptor."""
WEIGHT_OUTLINE, WEIGHT_EDGES, WEIGHT_ASPECT = 0.3, 0.55, 0.15
SYMMETRIES = 8
"""The four rotations by 90 degrees, each plain and mirrored; number 0 is the identity."""
_OPAQUE = 32
_SUPER = 4
_ASPECT_TURN = 1.0
"""Radians per factor e of aspect ratio, up to a right angle."""


def foreground(rgba: np.ndarray) -> np.ndarray:
    """Which pixels are drawn: (H, W) bool from (H, W, 3 or 4) uint8.

    By alpha; an opaque picture whose border has one colour is taken as standing on that colour.
    """
    if rgba.shape[-1] == 4:
        drawn = rgba[..., 3] > _OPAQUE
        if not drawn.all():
            return drawn
    colour = rgba[..., :3].astype(np.int16)
    border = np.concatenate([colour[0], colour[-1], colour[:, 0], colour[:, -1]])
    middle = np.median(border, axis=0)
    if (np.abs(border - middle).max(axis=1) <= 12).mean() < 0.9:
        return np.ones(rgba.shape[:2], dtype=bool)
    return np.abs(colour - middle).max(axis=-1) > 16


def descriptor(rgba: np.ndarray) -> np.ndarray:
    """Shape descriptor of a picture: (H, W, 3 or 4) uint8, straight alpha -> (SIZE,) float32 of unit length.

    A picture with nothing drawn gives zeros, which are like nothing, themselves included.
    """
    drawn = foreground(rgba)
    if not drawn.any():
        return np.zeros(SIZE, dtype=np.float32)
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    window = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    crop, mask = rgba[window], drawn[window].astype(np.float32)
    edges = _edges(crop[..., :3].astype(np.float32) * mask[..., None] + 255 * (1 - mask[..., None]))
    aspect = np.log(mask.shape[1] / mask.shape[0])
    angle = float(np.clip(aspect * _ASPECT_TURN, -np.pi / 4, np.pi / 4))
    return np.concatenate(
        [
            np.sqrt(WEIGHT_OUTLINE) * _unit(_grid(mask)),
            np.sqrt(WEIGHT_EDGES) * _unit(_grid(edges)),
            np.sqrt(WEIGHT_ASPECT) * np.array([np.cos(angle), np.sin(angle)]),
        ]
    ).astype(np.float32)


def _edges(colour: np.ndarray) -> np.ndarray:
    """Strength of the strongest channel's gradient, compressed to 0..1: weak lines count nearly as strong."""
    padded = np.pad(colour, ((1, 1), (1, 1), (0, 0)), mode="edge")
    across = np.abs(padded[1:-1, 2:] - padded[1:-1, :-2]).max(axis=-1)
    down = np.abs(padded[2:, 1:-1] - padded[:-2, 1:-1]).max(axis=-1)
    strength = np.hypot(across, down)
    return strength / (strength + 32.0)


def _grid(values: np.ndarray) -> np.ndarray:
    """(h, w) -> (GRID, GRID), each cell the mean under a smooth window a little wider than the cell."""
    return _window(values.shape[0]) @ values @ _window(values.shape[1]).T


def _window(length: int) -> np.ndarray:
    """(GRID, length) weights of a triangular window of two cells, rows summing to 1."""
    centres = (np.arange(GRID) + 0.5) / GRID
    # finer than the pixels, so that drawings of a few pixels are still resolved
    places = (np.arange(length * _SUPER) + 0.5) / (length * _SUPER)
    weights = np.clip(1 - np.abs(places[None] - centres[:, None]) * GRID / 1.25, 0, None)
    weights = weights.reshape(GRID, length, _SUPER).sum(axis=2)
    return weights / weights.sum(axis=1, keepdims=True)


def _unit(grid: np.ndarray) -> np.ndarray:
    flat = (grid - grid.mean()).ravel()
    length = np.linalg.norm(flat)
    # A full rectangle has no outline to compare; one constant direction lets two of them agree.
    return flat / length if length > 1e-3 * flat.size**0.5 else np.full(flat.size, flat.size**-0.5)


def transformed(vectors: np.ndarray, symmetry: int) -> np.ndarray:
    """Descriptors (N, SIZE) of the same drawings, rotated by 90 degrees times `symmetry % 4`, and mirrored
    first where `symmetry >= 4`; without drawing them again."""
    cells = GRID * GRID
    grids = vectors[:, : 2 * cells].reshape(-1, 2, GRID, GRID)
    if symmetry >= 4:
        grids = grids[..., ::-1]
    grids = np.rot90(grids, symmetry % 4, axes=(2, 3))
    aspect = vectors[:, 2 * cells :].copy()
    if symmetry % 2:
        aspect[:, 1] *= -1  # the angle changes its sign when width and height swap
    return np.concatenate([grids.reshape(len(vectors), -1), aspect], axis=1)


@dataclass(frozen=True)
class Hit:
    """One neighbour: its row in the index, similarity (1.0 = same shape), and the symmetry that matched."""

    row: int
    similarity: float
    symmetry: int = 0


class ShapeIndex:
    """Exact nearest-neighbour search over descriptors (N, SIZE); similarity is their dot product."""

    def __init__(self, vectors: Sequence[np.ndarray] | np.ndarray) -> None:
        self.vectors = (
            np.asarray(vectors, dtype=np.float32).reshape(-1, SIZE)
            if len(vectors)
            else np.zeros((0, SIZE), np.float32)
        )

    def search(self, query: np.ndarray, k: int = 5, *, symmetries: bool = False) -> list[Hit]:
        """The `k` nearest of the index to one descriptor, nearest first; with `symmetries`, each row counts
        with the best of the eight flips and rotations of the query."""
        similarity, symmetry = self.similarities(query[None], symmetries=symmetries)
        order = np.argsort(-similarity[0], kind="stable")[:k]
        return [Hit(int(row), float(similarity[0, row]), int(symmetry[0, row])) for row in order]

    def similarities(self, queries: np.ndarray, *, symmetries: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Similarity of (M, SIZE) queries to every row, and the symmetry that gave it: (M, N) each.

        A flip or rotation wins over the plain orientation only where it is clearly better.
        """
        best = queries @ self.vectors.T
        which = np.zeros(best.shape, dtype=np.int8)
        for symmetry in range(1, SYMMETRIES if symmetries else 1):
            other = transformed(queries, symmetry) @ self.vectors.T
            better = other > best + 1e-3
            which[better] = symmetry
            best = np.where(better, other, best)
        return best, which

    def pairs(
        self,
        threshold: float,
        *,
        symmetries: bool = False,
        rows: Sequence[int] | None = None,
        block: int = 512,
    ) -> list[tuple[int, int, float, int]]:
        """Every pair `(i, j, similarity, symmetry)` with i < j at or above `threshold`, in order.

        With `rows`, only pairs of which one or both are among these: what they add to the others.
        """
        asked = np.arange(len(self.vectors)) if rows is None else np.asarray(sorted(set(rows)), dtype=int)
        found: dict[tuple[int, int], tuple[float, int]] = {}
        for start in range(0, len(asked), block):
            some = asked[start : start + block]
            similarity, symmetry = self.similarities(self.vectors[some], symmetries=symmetries)
            for row, column in np.argwhere(similarity >= threshold):
                i, j = int(some[row]), int(column)
                if i != j:
                    value = (float(similarity[row, column]), int(symmetry[row, column]))
                    found.setdefault((min(i, j), max(i, j)), value)
        return [(i, j, *value) for (i, j), value in sorted(found.items())]
