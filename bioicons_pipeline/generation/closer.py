"""A closer look at a few icons: each is laid over the picture as well as it goes, then they are compared.

Belongs here: laying one drawing over others and saying how alike they are then. Does not belong here: which
icons are looked at, and from which likeness on a picture is a copy (`copies`).

The descriptor of the search stretches a drawing to a square: under it a tilt of 5 degrees changes a thin icon
beyond recognition, and an oval plate, a cell and a petri dish become one disc. Here shapes keep their aspect.
The picture starts at each of the eight flips and rotations, at some tilts or cuts; the best starts are moved,
turned and scaled by Gauss-Newton steps on a normalised correlation, with the derivatives of the picture, so
that they are computed once for all icons (inverse compositional: Baker and Matthews, "Lucas-Kanade 20 years
on", 2004; correlation: Evangelidis and Psarakis, "Parametric image alignment using enhanced correlation
coefficient maximization", 2008). Beyond a border that the picture runs into nothing is known and nothing is
compared; elsewhere there is ground.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from bioicons_pipeline.generation.views import TILTS, resized
from bioicons_pipeline.library.shape import SYMMETRIES

SIZE, LONGEST = 52, 104
"""Drawings are compared at SIZE² px of their box, and at most LONGEST px of its longer side."""
WEIGHTS = np.sqrt(np.array([0.35, 0.65], np.float32))[:, None]
"""Of the silhouette and of the edges, roots."""
SCALES = (0.6, 1.35)
"""By which the picture may be scaled against the icon, when both are as long: of cut-off ones less than 1."""
STARTS = 2
"""From how many starts each icon is laid over the picture at first, of which the better one goes on."""
_ROUGH, _FINE = 3.0, 1.2
"""Blurs at which drawings are compared, standard deviations in px."""
_STEPS = 8
_DAMP = 1e-4
_BESIDE = {
    (False, False): ((0.0, 0.0),),
    (True, False): ((0.03, 0.0), (0.1, 0.0), (0.18, 0.0)),
    (False, True): ((0.0, 0.03), (0.0, 0.1), (0.0, 0.18)),
    (True, True): ((0.05, 0.05), (0.1, 0.02), (0.02, 0.1), (0.1, 0.1)),
}
"""What may be cut off on the two sides of an axis, shares of the whole, by which of them are cut."""


@dataclass
class _Query:
    """maps: (2, h, w) features; pad: px added at top, bottom, left, right; side: px of the longer side."""

    maps: np.ndarray
    pad: tuple[int, ...]
    side: int


@dataclass
class _Icons:
    """maps: (K, 2, H, W); sizes: (K, 2) width and height in px of each drawing; pad: px around each."""

    maps: np.ndarray
    sizes: np.ndarray
    pad: int


@dataclass
class _Laid:
    """From places of the picture to places of the icons: x' = matrix @ x + shift; (K, S, 2, 2), (K, S, 2)."""

    matrix: np.ndarray
    shift: np.ndarray

    def places(self, points: np.ndarray) -> np.ndarray:
        """(N, 2) -> (K, S, N, 2)"""
        return points @ np.swapaxes(self.matrix, -1, -2) + self.shift[:, :, None]

    def of(self, which: np.ndarray) -> "_Laid":
        """Only the starts `which`, (K, n)."""
        rows = np.arange(len(which))[:, None]
        return _Laid(self.matrix[rows, which], self.shift[rows, which])


def likeness(rgba: np.ndarray, sides: Sequence[bool], icons: Sequence[np.ndarray]) -> np.ndarray:
    """How alike a drawing is to each of some icons laid over it: (K,), 1.0 for the same drawing, 0 by chance.

    rgba: cropped to what is drawn; sides: whether it is cut off at top, bottom, left, right; icons: cropped.
    """
    height, width = rgba.shape[:2]
    side = int(min(LONGEST, SIZE * (max(height, width) / min(height, width)) ** 0.5))
    pad = tuple(0 if cut else side // 7 for cut in sides)
    query = _Query(_features(rgba, side, pad), pad, side)
    stock = _stock(icons, side)
    laid = _starts(query, sides, stock)
    laid, _ = _fitted(query, stock, laid, _ROUGH, 3, any(sides))
    return _fitted(query, stock, laid, _FINE, 2, any(sides))[1]


def _features(rgba: np.ndarray, side: int, pad: Sequence[int]) -> np.ndarray:
    """(2, h, w): how far from white, and the strength of edges, both compressed to 0..1."""
    alpha = rgba[..., 3:].astype(np.float32) / 255
    white = Image.fromarray((rgba[..., :3] * alpha + 255 * (1 - alpha)).round().astype(np.uint8))
    colour = np.asarray(resized(white, side, least=4)).astype(np.float32)
    colour = np.pad(colour, (pad[:2], pad[2:], (0, 0)), constant_values=255)
    colour = gaussian_filter(colour, (0.8, 0.8, 0), mode="nearest")
    depth = 255 - colour.min(axis=-1)
    framed = np.pad(colour, ((1, 1), (1, 1), (0, 0)), mode="edge")
    across = np.abs(framed[1:-1, 2:] - framed[1:-1, :-2]).max(axis=-1)
    down = np.abs(framed[2:, 1:-1] - framed[:-2, 1:-1]).max(axis=-1)
    strength = np.hypot(across, down)
    return np.stack([depth / (depth + 24), strength / (strength + 32)])


def _stock(icons: Sequence[np.ndarray], side: int) -> _Icons:
    """The icons' features on canvases of one size."""
    pad = side // 4
    maps = [_features(icon, side, (pad,) * 4) for icon in icons]
    height, width = (max(found.shape[axis] for found in maps) for axis in (1, 2))
    canvas = np.zeros((len(maps), 2, height, width), np.float32)
    for number, found in enumerate(maps):
        canvas[number, :, : found.shape[1], : found.shape[2]] = found
    sizes = np.array([(found.shape[2] - 2 * pad, found.shape[1] - 2 * pad) for found in maps], np.float32)
    return _Icons(canvas, sizes, pad)


def _starts(query: _Query, sides: Sequence[bool], stock: _Icons) -> _Laid:
    """Of all flips, rotations, tilts and cuts, the STARTS best for each icon."""
    top, bottom, left, right = sides
    cuts = [(*y, *x) for y in _BESIDE[top, bottom] for x in _BESIDE[left, right]]
    laid = [
        _start(query, cut, tilt, symmetry, stock)
        for cut in cuts
        for tilt in (TILTS if not any(sides) else (0.0,))
        for symmetry in range(SYMMETRIES)
    ]
    tried = _Laid(np.stack([m for m, _ in laid], axis=1), np.stack([s for _, s in laid], axis=1))
    points, template = _template(_blurred(query.maps, _ROUGH, any(sides)), 4)
    found = _unit(_sampled(_blurred(stock.maps, _ROUGH, False), tried.places(points)))
    value = np.einsum("kscn,cn->ks", found, _unit(template))
    return tried.of(np.argsort(-value, axis=1, kind="stable")[:, :STARTS])


def _start(
    query: _Query, cut: Sequence[float], tilt: float, symmetry: int, stock: _Icons
) -> tuple[np.ndarray, np.ndarray]:
    """Centre over centre, the longer side as long: matrices (K, 2, 2) and shifts (K, 2)."""
    top, bottom, left, right = cut
    above, below, before, behind = query.pad
    height, width = query.maps.shape[1] - above - below, query.maps.shape[2] - before - behind
    height, width = height / (1 - top - bottom), width / (1 - left - right)
    centre = np.array([before - left * width + width / 2, above - top * height + height / 2]) - 0.5
    cosine, sine = np.cos(np.deg2rad(tilt)), np.sin(np.deg2rad(tilt))
    # the box of a turned drawing is larger than the drawing's own: |cos| w + |sin| h
    inner = np.array([cosine * width - abs(sine) * height, cosine * height - abs(sine) * width])
    inner /= cosine**2 - sine**2
    box = np.array([width, height])
    box = np.where(inner < box / 2, box, inner)[:: -1 if symmetry % 2 else 1]
    ratio = stock.sizes / box
    longer = np.argmax(stock.sizes, axis=1)[:, None]
    scale = np.sqrt(ratio.prod(axis=1)) if any(cut) else np.take_along_axis(ratio, longer, 1)[:, 0]
    quarter = np.deg2rad(90 * (symmetry % 4))
    turn = np.array([[np.cos(quarter), np.sin(quarter)], [-np.sin(quarter), np.cos(quarter)]])
    turn = turn @ np.diag([-1.0 if symmetry >= 4 else 1.0, 1.0]) @ np.array([[cosine, sine], [-sine, cosine]])
    matrix = np.clip(scale, *SCALES)[:, None, None] * turn
    return matrix.astype(np.float32), (stock.pad + stock.sizes / 2 - 0.5 - matrix @ centre).astype(np.float32)


def _fitted(
    query: _Query, stock: _Icons, laid: _Laid, blur: float, step: int, cut: bool
) -> tuple[_Laid, np.ndarray]:
    """Moved, turned and scaled to lie better, compared at every `step` px: of each icon the best start, and
    its likeness over all px."""
    maps, icons = _blurred(query.maps, blur, cut), _blurred(stock.maps, blur, False)
    points, template = _template(maps, step)
    middle, wanted = points.mean(axis=0), _unit(template)
    slopes = _slopes(maps, template, points, middle, query.side)
    hessian = slopes @ slopes.T
    solve = slopes.T @ np.linalg.inv(hessian + np.diag(_DAMP * np.diag(hessian) + 1e-9))
    value = np.full(laid.matrix.shape[:2], -2.0)
    best = _Laid(laid.matrix.copy(), laid.shift.copy())
    for _ in range(_STEPS + 1):
        found = _unit(_sampled(icons, laid.places(points)))
        now = (found * wanted).sum(axis=(2, 3))
        better = now > value
        value[better] = now[better]
        best.matrix[better], best.shift[better] = laid.matrix[better], laid.shift[better]
        laid = _moved(laid, (found - wanted).reshape(*now.shape, -1) @ solve, middle, query.side, blur)
    best = best.of(value.argmax(axis=1)[:, None])
    points, template = _template(maps, 1)
    found = _unit(_sampled(icons, best.places(points)))
    return best, (found * _unit(template)).sum(axis=(1, 2, 3))


def _slopes(
    maps: np.ndarray, template: np.ndarray, points: np.ndarray, middle: np.ndarray, side: int
) -> np.ndarray:
    """How the picture changes when it is scaled, turned, moved across and down: (4, 2 N)."""
    down, across = np.gradient(maps, axis=(1, 2))
    rows, columns = points[:, 1].astype(int), points[:, 0].astype(int)
    factor = WEIGHTS / _length(template - template.mean(axis=-1, keepdims=True))
    across, down = across[:, rows, columns] * factor, down[:, rows, columns] * factor
    x, y = (points - middle).T / side
    slopes = np.stack([across * x + down * y, down * x - across * y, across, down])
    return (slopes - slopes.mean(axis=-1, keepdims=True)).reshape(4, -1)


def _moved(laid: _Laid, by: np.ndarray, middle: np.ndarray, side: int, blur: float) -> _Laid:
    """`laid` after the inverse of a move of the picture: (K, S, 4) scale, turn (times side), across, down."""
    most = np.array([0.08 * side, 0.08 * side, 2 * blur, 2 * blur])
    by = np.clip(by, -most, most)
    scale, turn, shift = 1 + by[..., 0] / side, by[..., 1] / side, by[..., 2:]
    forth = np.stack([np.stack([scale, -turn], axis=-1), np.stack([turn, scale], axis=-1)], axis=-2)
    back = np.linalg.inv(forth)
    offset = middle - np.einsum("ksij,ksj->ksi", back, middle + shift)
    moved = laid.shift + np.einsum("ksij,ksj->ksi", laid.matrix, offset)
    matrix = laid.matrix @ back
    scale = np.sqrt(np.abs(np.linalg.det(matrix)))
    matrix = matrix * (np.clip(scale, *SCALES) / scale)[..., None, None]
    return _Laid(matrix.astype(np.float32), moved.astype(np.float32))


def _template(maps: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Places (N, 2) at every `step` px, and the maps there (2, N)."""
    y, x = np.mgrid[0 : maps.shape[1] : step, 0 : maps.shape[2] : step]
    points = np.stack([x.ravel(), y.ravel()], axis=-1)
    return points.astype(np.float32), maps[:, points[:, 1], points[:, 0]]


def _sampled(maps: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(K, 2, H, W) at (K, S, N, 2), between pixels linearly: (K, S, 2, N)."""
    count, channels, height, width = maps.shape
    x = np.clip(places[..., 0], 0, width - 1.001)
    y = np.clip(places[..., 1], 0, height - 1.001)
    column, row = x.astype(np.int32), y.astype(np.int32)
    right, low = (x - column)[..., None], (y - row)[..., None]
    flat = np.ascontiguousarray(maps.transpose(0, 2, 3, 1)).reshape(-1, channels)
    first = np.arange(count, dtype=np.int32)[:, None, None] * (height * width) + row * width + column
    upper = flat[first] * (1 - right) + flat[first + 1] * right
    lower = flat[first + width] * (1 - right) + flat[first + width + 1] * right
    return np.moveaxis(upper * (1 - low) + lower * low, -1, 2)


def _blurred(maps: np.ndarray, blur: float, cut: bool) -> np.ndarray:
    """Beyond a border is ground, beyond one that cuts a drawing off what is at the border."""
    mode = "nearest" if cut else "constant"
    return gaussian_filter(maps, (*(0,) * (maps.ndim - 2), blur, blur), mode=mode)


def _unit(values: np.ndarray) -> np.ndarray:
    """(…, 2, N): mean removed, length 1 over N, times the channel's weight."""
    values = values - values.mean(axis=-1, keepdims=True)
    return values / _length(values) * WEIGHTS


def _length(values: np.ndarray) -> np.ndarray:
    """Length of deviations over the last axis, at least as if they were 1 % each: less is noise."""
    return np.maximum(np.linalg.norm(values, axis=-1, keepdims=True), 0.01 * values.shape[-1] ** 0.5)
