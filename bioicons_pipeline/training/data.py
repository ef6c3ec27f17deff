"""Reads a dataset version, and decides which icon, caption, noise and sigma every sample of a run has.

Belongs here: the rows (without their pictures), streaming over the pictures, the order. Does not belong
here: encoding (cache) and writing datasets (dataset). The order is a pure function of (seed, position),
so a resumed run continues at the right sample with nothing to restore, several processes agree on who
takes which, and workers that read ahead cannot change what is paired with what.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import pyarrow.parquet as pq

from bioicons_pipeline.training.buckets import Size
from bioicons_pipeline.training.errors import TrainingError

WEIGHTS_FILE = "sampling_weights.csv"


@dataclass(frozen=True)
class Icon:
    """One row: what identifies the picture, and every caption it may be trained with (first = main)."""

    icon_id: str
    content: str
    """SHA-256 of the PNG bytes, hex."""
    captions: tuple[str, ...]
    weight: float = 1.0
    size: Size | None = None
    """(height, width) in px of the bucket that it is trained in; None: the square."""
    family_id: str = ""
    """Family of look-alikes; empty: none is known."""


@dataclass(frozen=True)
class IconSet:
    """The icons of one split, in order of icon_id, and the Parquet files their pictures are in."""

    icons: tuple[Icon, ...]
    files: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.icons)

    def pictures(self, wanted: set[str]) -> Iterator[tuple[Icon, bytes]]:
        """(icon, PNG bytes) of the icon_ids in `wanted`, streamed: one small batch of rows in memory."""
        by_id = {icon.icon_id: icon for icon in self.icons}
        for record in _records(self.files, ["icon_id", "image"]):
            if record["icon_id"] in wanted:
                yield by_id[record["icon_id"]], record["image"]["bytes"]


def open_dataset(folder: Path) -> tuple[IconSet, IconSet]:
    """(train, heldout) of a dataset that was checked out into `folder`; heldout may be empty.

    Training icons are drawn as often as `sampling_weights.csv` says, all alike where it is missing: the
    weights stand beside the shards, so that a new icon does not rewrite the rows of all others.

    Raises:
        TrainingError: no training rows, a column missing, one icon_id twice, or a row without a caption.
    """
    weights = _read_weights(folder / WEIGHTS_FILE)
    train = _open_split(sorted((folder / "data").glob("train-*.parquet")), weights)
    heldout = _open_split(sorted((folder / "data").glob("heldout-*.parquet")), None)
    if not len(train):
        raise TrainingError(
            "The dataset has no training icons (no rows in data/train-*.parquet): check the licence preset "
            "and the exclusions of this category."
        )
    both = {icon.icon_id for icon in train.icons} & {icon.icon_id for icon in heldout.icons}
    if both:
        raise TrainingError(
            f"Icon {min(both)} is in the training and the held-out split: rebuild the dataset, its held-out "
            "loss would mean nothing."
        )
    return train, heldout


def _read_weights(file: Path) -> dict[str, float] | None:
    """icon_id → weight; None without the file."""
    if not file.is_file():
        return None
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            return {row["icon_id"]: float(row["weight"]) for row in csv.DictReader(lines)}
    except (KeyError, TypeError, ValueError) as error:
        raise TrainingError(f"{file.name} of the dataset cannot be read: rebuild the dataset.") from error


def _open_split(files: Sequence[Path], weights: dict[str, float] | None) -> IconSet:
    icons: dict[str, Icon] = {}
    for record in _records(files, ["icon_id", "image", "caption", "captions", "family_id"]):
        icon_id, caption = record["icon_id"], record.get("caption")
        variants = tuple(dict.fromkeys(text for text in (record.get("captions") or []) if text))
        captions: tuple[str, ...] = tuple(dict.fromkeys([*([caption] if caption else []), *variants]))
        if weights is not None and icon_id not in weights:
            raise TrainingError(f"Icon {icon_id} has no sampling weight: rebuild the dataset.")
        weight = 1.0 if weights is None else weights[icon_id]
        if not captions:
            raise TrainingError(f"Icon {icon_id} has no caption: rebuild the captions of its category.")
        if icon_id in icons:
            raise TrainingError(f"Icon {icon_id} is in the dataset twice: rebuild the dataset.")
        if not (np.isfinite(weight) and weight >= 0):
            raise TrainingError(f"Icon {icon_id} has the sampling weight {weight}: it must be 0 or more.")
        content = hashlib.sha256(record["image"]["bytes"]).hexdigest()
        family = record.get("family_id") or ""
        icons[icon_id] = Icon(icon_id, content, captions, weight, family_id=family)
    return IconSet(tuple(icons[key] for key in sorted(icons)), tuple(files))


def _records(files: Sequence[Path], columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    for path in files:
        with pq.ParquetFile(path) as file:
            present = [name for name in columns if name in file.schema_arrow.names]
            missing = {"icon_id", "image"} & set(columns) - set(present)
            if missing:
                raise TrainingError(
                    f"{path.name} lacks the column {', '.join(sorted(missing))}: rebuild the dataset."
                )
            for batch in file.iter_batches(batch_size=16, columns=present):
                yield from batch.to_pylist()


class OfFamily(Protocol):
    """What is told of an icon to choose it."""

    @property
    def icon_id(self) -> str: ...
    @property
    def family_id(self) -> str: ...


T = TypeVar("T", bound=OfFamily)


def families_in_turn(icons: Iterable[T], most: int) -> list[T]:
    """At most `most` icons, one of each family, then a second of each, by a hash: the same every time, not
    the first by name, and not seven of one drawing's colours."""
    turn: Counter[str] = Counter()
    ranked = []
    for icon in sorted(icons, key=lambda icon: _hash(icon.icon_id)):
        family = icon.family_id or icon.icon_id
        ranked.append((turn[family], _hash(family), icon))
        turn[family] += 1
    return [icon for _, _, icon in sorted(ranked, key=lambda found: found[:2])][:most]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Sample:
    """One sample of the run: `index` counts from 0 over the whole run; `caption` is "" when dropped."""

    index: int
    epoch: int
    icon: Icon
    caption: str
    noise_seed: int


class SamplePlan:
    """Which sample comes at which position: `plan[index]`, for every index ≥ 0.

    An epoch has as many samples as there are icons. With equal weights it is a permutation of them; else
    each icon comes weight/mean(weight) times, rounded up or down by systematic resampling, so that over
    many epochs the share is exact and within one epoch nothing is drawn twice by accident.
    """

    def __init__(
        self, icons: Sequence[Icon], *, seed: int, caption_dropout: float = 0.0, variants: bool = True
    ) -> None:
        if sum(icon.weight for icon in icons) <= 0:
            raise TrainingError("All sampling weights are 0: at least one icon must have a positive weight.")
        self.icons = tuple(icons)
        self.seed = seed
        self.caption_dropout = caption_dropout
        self.variants = variants
        self._cached: tuple[int, np.ndarray] = (-1, np.empty(0, dtype=np.int64))

    def order(self, epoch: int) -> np.ndarray:
        """Positions into `icons` in the order of `epoch`, (N,) int64."""
        if self._cached[0] != epoch:
            random = np.random.default_rng([self.seed, 0, epoch])
            weights = np.array([icon.weight for icon in self.icons])
            if np.ptp(weights) == 0:
                members = np.arange(len(weights))
            else:
                members = _resampled(weights, len(weights), random)
            self._cached = (epoch, random.permutation(members))
        return self._cached[1]

    def icon_at(self, index: int) -> Icon:
        """The icon of sample `index`."""
        epoch, position = divmod(index, len(self.icons))
        return self.icons[int(self.order(epoch)[position])]

    def __getitem__(self, index: int) -> Sample:
        icon = self.icon_at(index)
        random = np.random.default_rng([self.seed, 1, index])
        dropped = random.random() < self.caption_dropout
        variant = int(random.integers(len(icon.captions))) if self.variants else 0
        caption = "" if dropped else icon.captions[variant]
        return Sample(index, index // len(self.icons), icon, caption, int(random.integers(2**62)))

    def captions(self) -> list[str]:
        """Every distinct caption that any sample may have, sorted."""
        texts = {
            text for icon in self.icons for text in (icon.captions if self.variants else icon.captions[:1])
        }
        return sorted(texts | ({""} if self.caption_dropout else set()))


class BucketPlan(SamplePlan):
    """A plan of icons of several sizes: `group` samples in a row, counted from 0, are of one size.

    Sizes come as often as their icons weigh together, by systematic resampling over an epoch's groups or 20;
    the icons of one size come in an order of their own that goes on from group to group. So the share of each
    icon over many epochs is that of its weight, and a size of few icons fills a group with repetitions.
    Where all icons are of one size, the plan is that of `SamplePlan`.
    """

    def __init__(
        self,
        icons: Sequence[Icon],
        *,
        group: int,
        seed: int,
        caption_dropout: float = 0.0,
        variants: bool = True,
    ) -> None:
        super().__init__(icons, seed=seed, caption_dropout=caption_dropout, variants=variants)
        members: dict[Size, list[Icon]] = {}
        for icon in self.icons:
            members.setdefault(icon.size or (0, 0), []).append(icon)
        weights = {size: sum(icon.weight for icon in found) for size, found in members.items()}
        drawn = sorted(size for size, weight in weights.items() if weight > 0)
        self.group = group
        self.groups = max(20, round(len(self.icons) / group))  # few would be drawn by chance alone
        self._weights = np.array([weights[size] for size in drawn])
        self._plans = [SamplePlan(members[size], seed=seed) for size in drawn]
        self._before = [np.zeros(len(drawn), dtype=np.int64)]
        self._round: tuple[int, np.ndarray] = (-1, np.empty(0, dtype=np.int64))

    def sizes(self, number: int) -> np.ndarray:
        """Which of the sizes each group of round `number` is of, (groups,) int64."""
        if self._round[0] != number:
            random = np.random.default_rng([self.seed, 2, number])
            members = _resampled(self._weights, self.groups, random)
            self._round = (number, random.permutation(members))
        return self._round[1]

    def icon_at(self, index: int) -> Icon:
        """The icon of sample `index`."""
        position, slot = divmod(index, self.group)
        number, position = divmod(position, self.groups)
        while len(self._before) <= number:  # groups of each size before a round: only counted once
            counted = np.bincount(self.sizes(len(self._before) - 1), minlength=len(self._plans))
            self._before.append(self._before[-1] + counted)
        sizes = self.sizes(number)
        size = int(sizes[position])
        before = int(self._before[number][size] + np.count_nonzero(sizes[:position] == size))
        return self._plans[size].icon_at(before * self.group + slot)


def _resampled(weights: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """`count` positions into `weights`, ascending, each as often as its share, rounded up or down."""
    edges = np.cumsum(weights / weights.sum()) * count
    # the sum of shares may fall short of the count by a rounding; trailing zero weights stay undrawn
    edges[np.flatnonzero(weights)[-1] :] = count
    return np.searchsorted(edges, np.arange(count) + random.random(), side="right")


def micro_batch(step: int, micro: int, rank: int, *, batch: int, accumulation: int, processes: int) -> range:
    """Sample indices that process `rank` takes in forward pass `micro` of optimizer step `step` (from 0)."""
    start = ((step * accumulation + micro) * processes + rank) * batch
    return range(start, start + batch)
