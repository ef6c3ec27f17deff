"""All that the icons of the sets are called, made once and kept on disk.

Belongs here: which captions there are for a training, and when they are made anew. Does not belong here: what
a caption says (captions) and where other words come from (wording).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
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
    """What the icons are called, in their order: in their `own` words and in `other` words."""

    own: tuple[Icon, ...]
    other: tuple[Icon, ...]

    @cached_property
    def all(self) -> list[Icon]:
        """Every icon with all its captions."""
        return [
            Icon(icon.icon_id, "", tuple(dict.fromkeys(icon.captions + other.captions)))
            for icon, other in zip(self.own, self.other, strict=True)
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
        write_json(file, {own.icon_id: [own.captions, other.captions] for own, other in pairs})
    read = json.loads(file.read_bytes())
    own, other = (
        tuple(Icon(icon.key, "", tuple(read[icon.key][kind])) for icon in icons.icons) for kind in (0, 1)
    )
    return Said(own, other)


def _near(icons: BaseIcons, progress: PhaseProgress) -> list[dict[str, list[str]]]:
    """Words near in meaning to the subjects: of science, and of English."""
    subjects = sorted({subject_of(icon) for icon in icons.icons})
    embed = partial(sentence_embeddings, progress=progress)
    return [
        near(subjects, science_words(), NEAR_SCIENCE, embed),
        near(subjects, english_words(subjects), NEAR_ENGLISH, embed),
    ]
