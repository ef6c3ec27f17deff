"""Which pairs of icons were labelled by looking, and how detectors are scored on them.

The sampling rules are code, so that they can be read and repeated: `family_pairs` and `audit_pairs` draw
from the newest state of the sample bundle, in order of a hash of the two ids (`draw`), never by what the
detectors decide. Labels are in `data/*.csv`: ids, stratum and verdict, nothing of the icons themselves.

Verdicts. `family`: 1 where a person calls one drawing a variant of the other: recoloured, mirrored,
renumbered, another state, count or crop of the same drawing. `audit`: 1 where one drawing contains the
other's drawing or a part of it that could not have come out alike by chance.
"""

import csv
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bioicons_pipeline.library.audit import Drawing
from bioicons_pipeline.library.families import Member
from bioicons_pipeline.library.likeness import shared_outlines
from bioicons_pipeline.library.shape import ShapeIndex

DATA = Path(__file__).parent / "data"
Pair = tuple[int, int]


@dataclass(frozen=True)
class Labelled:
    """One labelled pair: two icon_ids, the stratum it was drawn from, the verdict."""

    first: str
    second: str
    stratum: str
    verdict: bool


def read_labels(name: str) -> list[Labelled]:
    """The labels of `data/<name>.csv`."""
    with (DATA / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return [
            Labelled(row["icon_a"], row["icon_b"], row["stratum"], row["verdict"] == "1")
            for row in csv.DictReader(file)
        ]


@dataclass(frozen=True)
class Score:
    """Counts of a detector on labelled pairs."""

    hits: int
    false_alarms: int
    misses: int
    rejections: int

    @property
    def precision(self) -> float:
        """Share of what it found that is right."""
        return self.hits / max(1, self.hits + self.false_alarms)

    @property
    def recall(self) -> float:
        """Share of what is there that it found."""
        return self.hits / max(1, self.hits + self.misses)


def score(labels: Iterable[Labelled], found: Callable[[str, str], bool]) -> Score:
    """Score a detector `found(icon_a, icon_b)`."""
    counts = {(True, True): 0, (True, False): 0, (False, True): 0, (False, False): 0}
    for label in labels:
        counts[(label.verdict, found(label.first, label.second))] += 1
    return Score(counts[True, True], counts[False, True], counts[True, False], counts[False, False])


def draw(pairs: Iterable[Pair], ids: Sequence[str], count: int, salt: str) -> list[Pair]:
    """`count` of `pairs`, those whose ids have the lowest hash: random, and the same every time."""

    def place(pair: Pair) -> str:
        names = "|".join(sorted((ids[pair[0]], ids[pair[1]])))
        return hashlib.sha256(f"{salt}|{names}".encode()).hexdigest()

    return sorted(pairs, key=place)[:count]


def _similarities(shapes: Sequence[np.ndarray | None]) -> np.ndarray:
    """(N, N) similarity with the best of eight symmetries; -1 without a picture and on the diagonal."""
    rows = [row for row, shape in enumerate(shapes) if shape is not None]
    index = ShapeIndex([shapes[row] for row in rows])
    table = np.full((len(shapes), len(shapes)), -1.0, dtype=np.float32)
    table[np.ix_(rows, rows)] = index.similarities(index.vectors, symmetries=True)[0]
    np.fill_diagonal(table, -1.0)
    return np.maximum(table, table.T)


def family_pairs(members: Sequence[Member], held_back: bool = False) -> dict[str, list[Pair]]:
    """Pairs to label for families; with `held_back`, the next ones by the same rule.

    The thresholds were chosen with the first list in view; the one held back was labelled afterwards.

    nearest: 100 icons, each with its nearest neighbour by shape. same_name: 60 pairs of one author and name
    stem. close: 60 pairs of different names with a similarity of 0.80 to 0.93, the hard negatives.
    """
    ids = [member.icon_id for member in members]
    table = _similarities([member.shape for member in members])
    nearest = {
        tuple(sorted((row, int(table[row].argmax())))) for row in range(len(ids)) if table[row].max() > 0
    }
    upper = [(int(i), int(j)) for i, j in np.argwhere(np.triu(table, 1) > 0.80)]
    by_key: dict[str, list[int]] = {}
    for row, member in enumerate(members):
        by_key.setdefault(member.key, []).append(row)
    named = [(a, b) for rows in by_key.values() for n, a in enumerate(rows) for b in rows[n + 1 :]]
    close = [(i, j) for i, j in upper if table[i, j] < 0.93 and members[i].key != members[j].key]
    counts = {"nearest": (nearest, 100, 30), "same_name": (named, 60, 12), "close": (close, 60, 30)}
    return _strata(counts, ids, "family", held_back)


def audit_pairs(drawings: Sequence[Drawing], held_back: bool = False) -> dict[str, list[Pair]]:
    """Pairs to label for the licence audit; with `held_back`, the next ones by the same rule.

    across: the 90 pairs of different strictness nearest by shape, and across_outlines: up to 30 that share
    outlines: what the audit really has to judge. outlines: 60 pairs of any licence that share at least two
    outlines. alike: 50 pairs of any licence with a similarity of 0.85 to 0.98.
    """
    ids = [drawing.icon_id for drawing in drawings]
    table = _similarities([drawing.shape for drawing in drawings])
    shared = shared_outlines([drawing.outlines for drawing in drawings])
    strict = [drawing.licence.strictness if drawing.licence else 9 for drawing in drawings]
    ranked = np.dstack(np.unravel_index(np.argsort(-np.triu(table, 1), axis=None)[:200_000], table.shape))[0]
    across = [(int(i), int(j)) for i, j in ranked if strict[i] != strict[j]][:90]
    across_outlines = [pair for pair in shared if strict[pair[0]] != strict[pair[1]]]
    outlines = [pair for pair, common in shared.items() if common.outlines >= 2]
    alike = [(int(i), int(j)) for i, j in np.argwhere(np.triu(table, 1) > 0.85) if table[i, j] < 0.98]
    return _strata(
        {
            "across": (across, 90, 0),
            "across_outlines": (across_outlines, 30, 12),
            "outlines": (outlines, 60, 36),
            "alike": (alike, 50, 24),
        },
        ids,
        "audit",
        held_back,
    )


def _strata(
    wanted: dict[str, tuple[Iterable[Pair], int, int]], ids: Sequence[str], salt: str, held_back: bool
) -> dict[str, list[Pair]]:
    """Draw each stratum in turn, (pairs, first count, held back); a pair drawn once is not drawn again."""
    taken: set[Pair] = set()
    strata, second = {}, {}
    for name, (pairs, count, more) in wanted.items():
        drawn = draw(set(pairs) - taken, ids, count + more, salt)
        strata[name], second[name] = drawn[:count], drawn[count:]
        taken.update(drawn[:count])
    if held_back:
        return {name: [pair for pair in pairs if pair not in taken] for name, pairs in second.items()}
    return strata
