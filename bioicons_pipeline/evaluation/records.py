"""What an evaluation is given and what it leaves: the records that `evaluate` fills and `report` shows.

Belongs here: the task, the evaluation, the rows of its grid, what it was computed on. Does not belong here:
computing any of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from bioicons_pipeline.evaluation.embedding import Embedder
from bioicons_pipeline.evaluation.heldout import SIGMAS, LossFigures
from bioicons_pipeline.evaluation.icons import RealIcon
from bioicons_pipeline.evaluation.measure import Measure
from bioicons_pipeline.evaluation.memorization import PromptCopies
from bioicons_pipeline.generation.carriers import png_bytes
from bioicons_pipeline.generation.copies import CopyIndex
from bioicons_pipeline.generation.sampler import SamplingSettings

if TYPE_CHECKING:
    from bioicons_pipeline.generation.adapters import Adapter
    from bioicons_pipeline.training.base_models import BaseModel
    from bioicons_pipeline.training.data import IconSet

ROWS = 16
"""Prompts that the grid of a report shows at most."""
SHOWN = 256
"""Side in px of its pictures at most."""


@dataclass(frozen=True)
class Task:
    """What is evaluated on what. adapters: each by itself, at its scale, named differently; heldout_set: the
    held-out rows as the trainer reads them; count: pictures drawn by each model; copies: the training icons'
    shapes; embedder: a CLIP or DINO model, None without."""

    base: BaseModel
    adapters: Sequence[Adapter]
    heldout: list[RealIcon]
    heldout_set: IconSet
    train: list[RealIcon]
    settings: SamplingSettings
    count: int
    seed: int
    encodings: Path
    copies: CopyIndex
    embedder: Embedder | None = None


@dataclass(frozen=True)
class Row:
    """One prompt of the grid: the real icon and what each model drew, PNG bytes."""

    prompt: str
    icon: RealIcon
    real: bytes
    drawn: Mapping[str, bytes]


@dataclass(frozen=True)
class Evaluation:
    """Everything a report shows. losses: figures by model over SIGMAS; features: see `figures.feature_table`;
    copies: by LoRA, prompt by prompt; rows: of the grid; facts: what it was computed on."""

    models: tuple[str, ...]
    measures: tuple[Measure, ...]
    losses: Mapping[str, LossFigures]
    features: Sequence[Mapping[str, float | str]]
    copies: Mapping[str, tuple[PromptCopies, ...]]
    rows: tuple[Row, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def measure(self, key: str) -> Measure:
        """The measure with this key."""
        return next(found for found in self.measures if found.key == key)


def grid_rows(
    heldout: Sequence[RealIcon], drawn: Mapping[str, Sequence[Image.Image]], size: int, most: int = ROWS
) -> tuple[Row, ...]:
    """The first prompts with the real icon and what each model drew for it."""
    count = min(most, len(heldout), min(len(pictures) for pictures in drawn.values()))
    return tuple(
        Row(
            heldout[number].caption,
            heldout[number],
            png_of(heldout[number].image(max(size, SHOWN))),
            {name: png_of(pictures[number]) for name, pictures in drawn.items()},
        )
        for number in range(count)
    )


def png_of(picture: Image.Image) -> bytes:
    """PNG bytes, scaled down to SHOWN px where it is larger."""
    if picture.width > SHOWN:
        picture = picture.resize((SHOWN, SHOWN), Image.Resampling.LANCZOS)
    return png_bytes(picture)


def facts_of(task: Task, heldout: Sequence[RealIcon], train: Sequence[RealIcon]) -> dict[str, Any]:
    """What was evaluated on what, JSON-able."""
    return {
        "base": task.base.name,
        "base_fingerprint": task.base.fingerprint,
        "adapters": [
            {
                "name": adapter.name,
                "sha256": adapter.sha256,
                "scale": adapter.scale,
                "version": adapter.version,
                "dataset_version": adapter.dataset_version,
                "upstream_commit": adapter.upstream_commit,
                "choosing_icons": min(adapter.choosing_icons, len(heldout)),
            }
            for adapter in task.adapters
        ],
        "heldout_icons": len(heldout),
        "heldout_families": len({icon.family_id for icon in heldout}),
        "heldout_ids": [icon.icon_id for icon in heldout],
        "training_icons": len(train),
        "training_families": len({icon.family_id for icon in train}),
        "pictures_of_each_model": task.count,
        "sigmas": list(SIGMAS),
        "seed": task.seed,
        "size": task.settings.size,
        "steps": task.settings.steps,
        "guidance": task.settings.guidance,
        "embedding_model": task.embedder.name if task.embedder else None,
    }
