"""Areas of a mask: labels, boxes, distances, growing and shrinking.

Belongs here: the few operations of `scipy.ndimage` that this room needs, with the types that its stubs lack.
Does not belong here: what they are used for. Neighbours share a side unless said otherwise.
"""

from typing import Any, cast

import numpy as np
from scipy import ndimage as _ndimage

_nd = cast(Any, _ndimage)
_EIGHT = np.ones((3, 3), dtype=bool)
Box = tuple[slice, slice]


def label(mask: np.ndarray, *, corners: bool = False) -> tuple[np.ndarray, int]:
    """A number from 1 for each connected area of a bool mask, 0 elsewhere, and the highest number; with
    `corners`, pixels that share a corner are neighbours too."""
    return _nd.label(mask, _EIGHT if corners else None)


def boxes(labels: np.ndarray) -> list[Box | None]:
    """The window of each label, from 1 on; None for a number that does not occur."""
    return _nd.find_objects(labels)


def distance(mask: np.ndarray) -> np.ndarray:
    """Pixels from each pixel inside to the nearest outside, straight; 0 outside."""
    return _nd.distance_transform_edt(mask)


def steps(mask: np.ndarray) -> np.ndarray:
    """The same in steps to any of the eight neighbours."""
    return _nd.distance_transform_cdt(mask, "chessboard")


def nearest(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of the nearest pixel inside, for every pixel."""
    rows, columns = _nd.distance_transform_edt(~mask, return_distances=False, return_indices=True)
    return rows, columns


def dilated(mask: np.ndarray, times: int = 1) -> np.ndarray:
    """Grown by a pixel on each side, `times` times."""
    return _nd.binary_dilation(mask, iterations=times)


def eroded(mask: np.ndarray) -> np.ndarray:
    """Shrunk by a pixel on each side."""
    return _nd.binary_erosion(mask)


def largest(values: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """The largest value in each of the areas 1 to `count`."""
    return np.asarray(_nd.maximum(values, labels, np.arange(1, count + 1)))


def smallest(values: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """The smallest value in each of the areas 1 to `count`."""
    return np.asarray(_nd.minimum(values, labels, np.arange(1, count + 1)))


def smoothed(colour: np.ndarray) -> np.ndarray:
    """(H, W, channels) as the mean of each pixel and its eight neighbours."""
    return _nd.uniform_filter(colour, (3, 3, 0))


def enclosed(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Labels of what a mask encloses, 0 elsewhere, and the highest number."""
    pieces, count = label(~np.pad(mask, 1))
    return np.where(pieces == pieces[0, 0], 0, pieces)[1:-1, 1:-1], count
