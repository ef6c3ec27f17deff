"""Copies: which training icons a picture resembles most, and whether it is likely one of them.

Belongs here: the index, the copy score, its calibrated threshold. Does not belong here: views (`views`), the
closer look (`closer`), the descriptor and the search, which are the library's (`library.shape`).

A model that has memorised an icon returns it in another colour, softer, tilted, mirrored or cut off. The
descriptor does not see colour, the search tries all eight flips and rotations, and the rest is tried here:
the picture is turned by a few degrees each way; every training icon also stands in the index blurred; and
for a picture that runs into its border, which may be cut off, the parts of every training icon count too
that remain when a tenth or a fifth of it is cut off. The search finds candidates; what decides is a closer
look at the nearest of them (`closer`), each laid over the picture: the score is the best likeness then.
From which score on a picture is likely a copy is calibrated on real icons (`benchmarks/copies.py`): the
score that 1 in 100 icons reaches against all icons of other families, for whole pictures and for cut-off
ones.
"""

import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.generation.closer import likeness
from bioicons_pipeline.generation.views import PARTS, SIDE, TILTS, blurred, remaining, standing_out, tilted
from bioicons_pipeline.library.shape import ShapeIndex, descriptor
from bioicons_pipeline.whole import write_whole

CLOSER = 24
"""How many icons are looked at closely, of different families."""
NEAREST = 5
FORMAT = 1


class CopyError(BioiconsError):
    """The copy score cannot be computed."""


@dataclass(frozen=True)
class Neighbour:
    """A training icon and how alike: `key` as given to the index, similarity 0 to 1.0 for the same drawing,
    by the closer look. How the search found it: symmetry as in `library.shape`, tilt in degrees, `part`
    whether only a part of it matched."""

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


class _Hit(NamedTuple):
    similarity: float
    number: int
    symmetry: int
    tilt: float
    part: bool


class CopyIndex:
    """All training icons, whole and in parts, ready to be searched.

    wholes, parts: descriptors; whole_of, part_of: the number of the icon that each belongs to, for parts
    times len(PARTS) plus the number of the part; pictures: each icon as a small PNG, to look closely.
    """

    def __init__(
        self,
        keys: Sequence[str],
        families: Sequence[str],
        wholes: tuple[np.ndarray, np.ndarray],
        parts: tuple[np.ndarray, np.ndarray],
        pictures: Sequence[bytes],
    ) -> None:
        self.keys, self.families, self.pictures = list(keys), list(families), list(pictures)
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
        keys, small = list(pictures), []
        wholes: list[tuple[np.ndarray, int]] = []
        parts: list[tuple[np.ndarray, int]] = []
        for number, key in enumerate(keys):
            rgba, _ = standing_out(pictures[key])
            wholes += [(descriptor(view), number) for view in (rgba, *blurred(rgba))]
            views = (remaining(rgba, cut) for cut in PARTS)
            parts += [(descriptor(view), number * len(PARTS) + part) for part, view in enumerate(views)]
            small.append(_packed(rgba))
            if progress:
                progress(number + 1, len(keys))
        if not any(vector.any() for vector, _ in wholes):
            raise CopyError("There are no training icons to compare with: build the dataset first.")
        named = [(families or {}).get(key, key) for key in keys]
        return cls(keys, named, _stacked(wholes), _stacked(parts), small)

    def nearest(
        self, picture: np.ndarray | Image.Image, k: int = NEAREST, *, without_family: str | None = None
    ) -> list[Neighbour]:
        """The `k` most alike icons of different families, nearest first; [] when nothing is drawn.

        picture: as it was generated, with its border, by which one sees whether it is cut off.
        without_family: icons of this family do not count (for calibration).
        """
        rgba, sides = standing_out(picture, 2 * SIDE)
        queries = tilted(rgba)
        if not queries[0].any():
            return []
        hits = self._searched(queries, any(sides), max(k, CLOSER), without_family)
        icons = [_unpacked(self.pictures[hit.number]) for hit in hits]
        values = likeness(rgba, sides, icons) if hits else ()
        found = [
            Neighbour(self.keys[hit.number], round(min(1.0, max(0.0, float(value))), 4), *hit[2:])
            for hit, value in zip(hits, values, strict=True)
        ]
        return sorted(found, key=lambda neighbour: -neighbour.similarity)[:k]

    def _searched(self, queries: np.ndarray, cut: bool, count: int, without_family: str | None) -> list[_Hit]:
        """The icons that come nearest by their descriptors, one of a family."""
        similarity, symmetry = self.wholes.similarities(queries, symmetries=True)
        tilt = similarity.argmax(axis=0)
        hits = [
            _Hit(float(similarity[angle, row]), number, int(symmetry[angle, row]), TILTS[angle], False)
            for row, (angle, number) in enumerate(zip(tilt.tolist(), self.whole_of.tolist(), strict=True))
        ]
        if cut:
            similarity, symmetry = self.parts.similarities(queries[:1], symmetries=True)
            numbers = (self.part_of // len(PARTS)).tolist()
            rows = zip(similarity[0].tolist(), numbers, symmetry[0].tolist(), strict=True)
            hits += [_Hit(value, number, turn, 0.0, True) for value, number, turn in rows]
        found: list[_Hit] = []
        seen = {without_family}
        for hit in sorted(hits, key=lambda hit: -hit.similarity):
            if self.families[hit.number] not in seen:
                seen.add(self.families[hit.number])
                found.append(hit)
                if len(found) == count:
                    break
        return found

    def score(self, picture: np.ndarray | Image.Image) -> CopyScore:
        """The copy score of a picture as it was generated, RGBA or RGB on a plain light ground."""
        nearest = tuple(self.nearest(picture))
        score = nearest[0].similarity if nearest else 0.0
        limit = threshold(cut=any(standing_out(picture)[1]))
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
            pictures=np.frombuffer(b"".join(self.pictures), np.uint8),
            sizes=np.array([len(picture) for picture in self.pictures]),
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
                ends = np.cumsum(stored["sizes"]).tolist()
                data = stored["pictures"].tobytes()
                return cls(
                    names["keys"],
                    names["families"],
                    (stored["wholes"].astype(np.float32), stored["whole_of"]),
                    (stored["parts"].astype(np.float32), stored["part_of"]),
                    [data[start:end] for start, end in zip([0, *ends], ends, strict=False)],
                )
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise CopyError(f"The index of training icons {path} cannot be read: build it again.") from error


@cache
def calibration() -> Mapping:
    """What the script measured: threshold, false alarms, recall for each kind of change, sample."""
    return json.loads(files("bioicons_pipeline.generation").joinpath("copies.json").read_text("utf-8"))


def threshold(*, cut: bool = False) -> float:
    """The score from which on a picture is likely a copy; `cut` of one that runs into its border."""
    return float(calibration()["threshold_of_cut" if cut else "threshold"])


def _stacked(vectors: list[tuple[np.ndarray, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Descriptors with something in them and what they belong to, rounded as `save` does."""
    kept = [(vector, number) for vector, number in vectors if vector.any()]
    stacked = np.stack([vector for vector, _ in kept]).astype(np.float16)
    return stacked.astype(np.float32), np.array([number for _, number in kept])


def _packed(rgba: np.ndarray) -> bytes:
    png = io.BytesIO()
    Image.fromarray(rgba, "RGBA").save(png, "PNG")
    return png.getvalue()


def _unpacked(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGBA"))
