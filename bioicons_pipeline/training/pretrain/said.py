"""All that the icons of the sets are called, made once and kept on disk.

Belongs here: which captions there are for a training, and when they are made anew. Does not belong here: what
a caption says (captions) and where other words come from (wording).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

from bioicons_pipeline.captioning.sentences import sentence_embeddings
from bioicons_pipeline.captioning.tables import tables
from bioicons_pipeline.training.cache import write_json
from bioicons_pipeline.training.config import digest
from bioicons_pipeline.training.data import Icon
from bioicons_pipeline.training.encoders import PhaseProgress
from bioicons_pipeline.training.pretrain.captions import CAPTIONS_VERSION, captioned, subject_of
from bioicons_pipeline.training.pretrain.icons import BaseIcons
from bioicons_pipeline.training.pretrain.wording import (
    NEAR_ENGLISH,
    NEAR_SCIENCE,
    english_words,
    near,
    science_words,
)


@dataclass(frozen=True)
class Said:
    """What the icons are called, in their order: in their `own` words, in `other` words, and in words that
    are to be `doubted`."""

    own: tuple[Icon, ...]
    other: tuple[Icon, ...]
    doubted: tuple[Icon, ...]

    @cached_property
    def reworded(self) -> list[Icon]:
        """Every icon with its captions in its own and in other words."""
        return _joined(self.own, self.other)

    @cached_property
    def all(self) -> list[Icon]:
        """Every icon with all its captions."""
        return _joined(self.own, self.other, self.doubted)

    def weighed(self, first: Collection[int], share: float) -> list[Icon]:
        """Every icon with its captions in its own words and the doubted ones; those at the positions `first`
        are drawn in `share` of the samples."""
        joined, chosen = _joined(self.own, self.doubted), set(first)
        rest = len(joined) - len(chosen)
        weight = (1 - share) * len(chosen) / (share * rest) if rest else 1.0
        return [
            icon if index in chosen else replace(icon, weight=weight) for index, icon in enumerate(joined)
        ]


def _joined(*kinds: Sequence[Icon]) -> list[Icon]:
    return [
        Icon(same[0].icon_id, "", tuple(dict.fromkeys(text for icon in same for text in icon.captions)))
        for same in zip(*kinds, strict=True)
    ]


def say(icons: BaseIcons, size: int, work: Path, progress: PhaseProgress) -> Said:
    """Captions of all icons of `size` px; read from `work` where they were made before.

    Raises:
        SentenceModelError: the package with the sentence embeddings is not installed.
    """
    keys = [icon.key for icon in icons.icons]
    named = digest([CAPTIONS_VERSION, tables().version, NEAR_SCIENCE, NEAR_ENGLISH, size, keys])
    file = work / f"captions-{named[:12]}.json"
    if not file.is_file():
        pairs = zip(*captioned(icons, _near(icons, progress), progress), strict=True)
        write_json(file, {kinds[0].icon_id: [kind.captions for kind in kinds] for kinds in pairs})
    read = json.loads(file.read_bytes())
    return Said(
        *(tuple(Icon(icon.key, "", tuple(read[icon.key][kind])) for icon in icons.icons) for kind in range(3))
    )


def _near(icons: BaseIcons, progress: PhaseProgress) -> list[dict[str, list[str]]]:
    """Words near in meaning to the subjects: of science, and of English."""
    subjects = sorted({subject_of(icon) for icon in icons.icons})
    embed = partial(sentence_embeddings, progress=progress)
    return [
        near(subjects, science_words(), NEAR_SCIENCE, embed),
        near(subjects, english_words(subjects), NEAR_ENGLISH, embed),
    ]
