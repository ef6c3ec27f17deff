"""Copies: which training icons a picture resembles most, and whether it is likely one of them.

Belongs here: the views that are compared, the copy score, its calibrated threshold. Does not belong here: the
descriptor and the search, which are the library's (`library.shape`).

A model that has memorised an icon returns it in another colour, softer, tilted, mirrored or cut off. The
descriptor does not see colour, the search tries all eight flips and rotations, and the rest is tried here:
the picture is turned by a few degrees each way; every training icon also stands in the index blurred; and
for a picture that runs into its border, which may be cut off, the parts of every training icon count too
that remain when a tenth or a fifth of it is cut off. The score is the best similarity of all of these. From
which score on a picture is likely a copy is calibrated on real icons (`benchmarks/copies.py`): the score
that 1 in 100 icons reaches against all icons of other families, for whole pictures and for cut-off ones.
"""

import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.library.shape import ShapeIndex, descriptor
from bioicons_pipeline.library.whole import write_whole

SIDE = 128
"""Pictures are compared at this size, px: that of the probes of the library."""
TILTS = (0.0, -6.0, -4.0, -2.0, 2.0, 4.0, 6.0)
"""Degrees by which the picture is turned before it is compared."""
BLURS = (0.008, 0.016)
"""Standard deviations by which training icons are blurred, shares of the side."""
CLOSER = 200
"""How many parts of icons are compared once more, at every tilt."""
NEAREST = 5
FORMAT = 1
_FAR = 16
"""Levels from the ground, of 255, from which on a pixel counts as drawn."""
_SIDES = ((0.0, 0.0), (0.1, 0.0), (0.0, 0.1), (0.05, 0.05))
_CORNERS = tuple((*y, *x) for y in _SIDES for x in _SIDES)[1:]
PARTS = (*_CORNERS, (0.2, 0, 0, 0), (0, 0.2, 0, 0), (0, 0, 0.2, 0), (0, 0, 0, 0.2))
"""What may have been cut off at top, bottom, left and right, shares of the drawn part."""


class CopyError(BioiconsError):
    """The copy score cannot be computed."""


@dataclass(frozen=True)
class Neighbour:
    """A training icon and how alike: `key` as given to the index, similarity 1.0 for the same shape,
    symmetry as in `library.shape`, tilt in degrees that matched, `part` whether only a part of it did."""

    key: str
    similarity: float
    symmetry: int
    tilt: float
    part: bool


@dataclass(frozen=True)
class CopyScore:
    """score: similarity of the nearest training icon, 0 to 1; threshold: from which on it is likely a copy;
    likely_copy: whether it is; nearest: the five nearest of different families, nearest first."""

    score: float
    threshold: float
    likely_copy: bool
    nearest: tuple[Neighbour, ...]


class CopyIndex:
    """All training icons, whole and in parts, ready to be searched.

    wholes, parts: descriptors; whole_of, part_of: the number of the icon that each belongs to.
    """

    def __init__(
        self,
        keys: Sequence[str],
        families: Sequence[str],
        wholes: tuple[np.ndarray, np.ndarray],
        parts: tuple[np.ndarray, np.ndarray],
    ) -> None:
        self.keys, self.families = list(keys), list(families)
        self.wholes, self.whole_of = ShapeIndex(wholes[0]), np.asarray(wholes[1], dtype=np.int64)
        self.parts, self.part_of = ShapeIndex(parts[0]), np.asarray(parts[1], dtype=np.int64)

    @classmethod
    def build(
        cls,
        pictures: Mapping[str, np.ndarray | Image.Image],
        families: Mapping[str, str] | None = None,
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> "CopyIndex":
        """From pictures by key: RGBA, or RGB on a plain light ground; a family for each key, else its own.

        Pictures with nothing drawn are left out.

        Raises:
            CopyError: there is no picture to search in.
        """
        keys = list(pictures)
        found: dict[str, list[tuple[np.ndarray, int]]] = {"wholes": [], "parts": []}
        for number, key in enumerate(keys):
            rgba, _ = _standing_out(pictures[key])
            views = {"wholes": [rgba, *_blurred(rgba)], "parts": _cut_off(rgba)}
            for kind, several in views.items():
                vectors = [descriptor(view) for view in several]
                found[kind] += [(vector, number) for vector in vectors if vector.any()]
            if progress:
                progress(number + 1, len(keys))
        if not found["wholes"]:
            raise CopyError("There are no training icons to compare with: build the dataset first.")
        named = [(families or {}).get(key, key) for key in keys]
        wholes, parts = (
            (np.stack([vector for vector, _ in found[kind]]), np.array([number for _, number in found[kind]]))
            for kind in ("wholes", "parts")
        )
        return cls(keys, named, wholes, parts)

    def nearest(
        self, picture: np.ndarray | Image.Image, k: int = NEAREST, *, without_family: str | None = None
    ) -> list[Neighbour]:
        """The `k` most alike icons of different families, nearest first; [] when nothing is drawn.

        picture: as it was generated, with its border, by which one sees whether it is cut off.
        without_family: icons of this family do not count (for calibration).
        """
        rgba, cut = _standing_out(picture, 2 * SIDE)
        queries = _tilted(rgba)
        if not queries[0].any():
            return []
        hits = [_best(self.wholes.vectors, self.whole_of, queries, part=False)]
        if cut:
            rough, _ = self.parts.similarities(queries[:1], symmetries=True)
            rows = np.argsort(-rough[0], kind="stable")[:CLOSER]
            hits.append(_best(self.parts.vectors[rows], self.part_of[rows], queries, part=True))
        found: list[Neighbour] = []
        seen = {without_family}
        for hit in sorted((hit for some in hits for hit in some), key=lambda hit: -hit[0]):
            similarity, number, turn, tilt, part = hit
            if self.families[number] not in seen:
                seen.add(self.families[number])
                found.append(Neighbour(self.keys[number], round(similarity, 4), turn, tilt, part))
                if len(found) == k:
                    break
        return found

    def score(self, picture: np.ndarray | Image.Image) -> CopyScore:
        """The copy score of a picture as it was generated, RGBA or RGB on a plain light ground."""
        nearest = tuple(self.nearest(picture))
        score, limit = (nearest[0].similarity if nearest else 0.0), threshold(cut=_standing_out(picture)[1])
        return CopyScore(score, limit, score >= limit, nearest)

    def save(self, path: Path) -> None:
        """Write the index as one .npz, whole or not at all; no pickles in it."""
        buffer = io.BytesIO()
        names = json.dumps({"format": FORMAT, "keys": self.keys, "families": self.families})
        np.savez(
            buffer,
            names=np.frombuffer(names.encode(), np.uint8),
            wholes=self.wholes.vectors.astype(np.float16),
            whole_of=self.whole_of,
            parts=self.parts.vectors.astype(np.float16),
            part_of=self.part_of,
        )
        write_whole(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path) -> "CopyIndex":
        """What `save` wrote.

        Raises:
            CopyError: the file is missing, damaged, or of another version of the program.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                names = json.loads(stored["names"].tobytes())
                if names["format"] != FORMAT:
                    raise ValueError("another format")
                wholes = stored["wholes"], stored["whole_of"]
                return cls(names["keys"], names["families"], wholes, (stored["parts"], stored["part_of"]))
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise CopyError(f"The index of training icons {path} cannot be read: build it again.") from error


@cache
def calibration() -> Mapping:
    """What the script measured: threshold, false alarms, recall for each kind of change, sample."""
    return json.loads(files("bioicons_pipeline.generation").joinpath("copies.json").read_text("utf-8"))


def threshold(*, cut: bool = False) -> float:
    """The score from which on a picture is likely a copy; `cut` of one that runs into its border."""
    return float(calibration()["threshold_of_cut" if cut else "threshold"])


def _best(
    vectors: np.ndarray, numbers: np.ndarray, queries: np.ndarray, *, part: bool
) -> list[tuple[float, int, int, float, bool]]:
    """(similarity, icon, symmetry, tilt, part) for every row, at its best tilt and symmetry."""
    similarity, symmetry = ShapeIndex(vectors).similarities(queries, symmetries=True)
    tilt = similarity.argmax(axis=0)
    return [
        (
            min(1.0, float(similarity[angle, row])),
            int(numbers[row]),
            int(symmetry[angle, row]),
            TILTS[angle],
            part,
        )
        for row, angle in enumerate(tilt.tolist())
    ]


def _standing_out(picture: np.ndarray | Image.Image, side: int = SIDE) -> tuple[np.ndarray, bool]:
    """What stands out from the light ground, cropped, the longer side `side` px: (h, w, 4) uint8, and whether
    it runs into the border of the picture.

    Transparent pictures are seen on white too: white paint then counts as ground in both that are compared.
    """
    if not isinstance(picture, np.ndarray | Image.Image):
        raise CopyError(f"A picture is needed to compare, not a {type(picture).__name__}.")
    try:
        image = (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).convert("RGBA")
    except (OSError, ValueError, TypeError, SyntaxError) as error:
        raise CopyError(f"The picture cannot be read ({error}): give a whole PNG.") from error
    image.thumbnail((2 * side, 2 * side), Image.Resampling.BOX)
    ground = Image.new("RGBA", image.size, "white")
    ground.alpha_composite(image)
    colour = np.asarray(ground)[..., :3].astype(np.int16)
    drawn = np.abs(colour - _paper(colour)).max(axis=-1) > _FAR
    if not drawn.any():
        return np.zeros((1, 1, 4), np.uint8), False
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    height, width = drawn.shape
    cut = bool(rows[0] == 0 or columns[0] == 0 or rows[-1] == height - 1 or columns[-1] == width - 1)
    window = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    rgba = np.dstack([colour, np.where(drawn, 255, 0)]).astype(np.uint8)[window]
    return np.asarray(_resized(Image.fromarray(rgba, "RGBA"), side)), cut


def _resized(image: Image.Image, side: int) -> Image.Image:
    """The longer side at `side` px."""
    factor = side / max(image.size)
    size = max(1, round(image.width * factor)), max(1, round(image.height * factor))
    return image.resize(size, Image.Resampling.BOX if factor < 1 else Image.Resampling.BILINEAR)


def _paper(colour: np.ndarray) -> np.ndarray:
    """The ground's colour: the middle of the border's light pixels, white where there are few."""
    border = np.concatenate([colour[0], colour[-1], colour[:, 0], colour[:, -1]])
    light = border[border.min(axis=1) >= 225]
    return np.median(light, axis=0) if len(light) * 10 >= len(border) else np.full(3, 255.0)


def _tilted(rgba: np.ndarray) -> np.ndarray:
    """Descriptors of the picture at every tilt, in the order of TILTS: (len(TILTS), SIZE)."""
    image = Image.fromarray(rgba, "RGBA")
    views = []
    for tilt in TILTS:
        turned = image.rotate(tilt, Image.Resampling.BICUBIC, expand=True) if tilt else image
        box = turned.getchannel("A").point(lambda alpha: 255 * (alpha > 127)).getbbox()
        views.append(descriptor(np.asarray(_resized(turned.crop(box), SIDE))))
    return np.stack(views)


def _blurred(rgba: np.ndarray) -> list[np.ndarray]:
    """A cropped picture, blurred on white as much as each of BLURS says, what stands out of it then."""
    pad = SIDE // 16
    image = Image.fromarray(rgba, "RGBA")
    ground = Image.new("RGBA", (image.width + 2 * pad, image.height + 2 * pad), "white")
    ground.alpha_composite(image, (pad, pad))
    blurs = [ImageFilter.GaussianBlur(share * SIDE) for share in BLURS]
    return [_standing_out(ground.convert("RGB").filter(blur))[0] for blur in blurs]


def _cut_off(rgba: np.ndarray) -> list[np.ndarray]:
    """What remains of a cropped picture when each of PARTS is cut off."""
    height, width = rgba.shape[:2]
    views = []
    for top, bottom, left, right in PARTS:
        rows = slice(round(top * height), round((1 - bottom) * height))
        view = rgba[rows, round(left * width) : round((1 - right) * width)]
        if view.size:
            views.append(view)
    return views
