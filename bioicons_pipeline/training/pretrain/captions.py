"""What the icons of the sets are called in training: their words, a measured colour, their set's style.

Belongs here: one icon → several captions, in the words and the order of the project's caption grammar (a
style first, article, colour, subject, context, sub-style, "isolated on a white background"), so that a prompt
reads like what was trained: a base that never saw a caption begin with a style draws worse for being told
more. The trigger "bioicons style" is never used: it is a LoRA's to learn. Contexts are drawn by chance from
the grammar's, so that they say nothing: what a category looks like is a LoRA's to learn too.
"""

from __future__ import annotations

import hashlib

import numpy as np

from bioicons_pipeline.captioning.articles import with_article
from bioicons_pipeline.captioning.grammar import BACKGROUND
from bioicons_pipeline.captioning.picture import COLOURS, measure_pixels
from bioicons_pipeline.captioning.style import colour_of
from bioicons_pipeline.captioning.tables import tables
from bioicons_pipeline.training.data import Icon
from bioicons_pipeline.training.encoders import PhaseProgress
from bioicons_pipeline.training.pretrain.icons import BaseIcon, BaseIcons
from bioicons_pipeline.training.pretrain.sets import SOURCES

CAPTIONS_VERSION = 3
"""Counted up with every change of what is said; captions are kept on disk."""
PREFIXES = (
    "emoji style", "icon style", "sticker style", "clip art style", "symbol style", "cartoon style",
    "drawing style", "picture style",
)  # fmt: skip
_COLOURS = frozenset(COLOURS) | {"grey"}


def captioned(icons: BaseIcons, progress: PhaseProgress) -> list[Icon]:
    """Every icon with its captions, in the order of `icons`."""
    found = []
    for done, (icon, pixels) in enumerate(zip(icons.icons, icons.pixels, strict=True), start=1):
        found.append(Icon(icon.key, "", captions_of(icon, pixels)))
        progress("captions", done, len(icons.icons))
    return found


def captions_of(icon: BaseIcon, pixels: np.ndarray) -> tuple[str, ...]:
    """Distinct captions of one icon, the fullest first, its bare words last. pixels: (S, S, 3) uint8 on
    white."""
    subject = " ".join(icon.words)
    colour = None
    if not _COLOURS & set(icon.words):
        colour = colour_of(measure_pixels(pixels, np.full(pixels.shape[:2], 255, dtype=np.uint8)))
    style = _STYLES.get(icon.source, "flat shapes")
    plain, noun = with_article(subject), with_article(subject, colour)
    chance = np.random.default_rng(list(hashlib.sha256(icon.key.encode()).digest()))
    first, second, third = chance.choice(PREFIXES, 3, replace=False)
    context, other, another = chance.choice(sorted(set(tables().categories.values())), 3, replace=False)
    variants = (
        f"{noun}, {style}, {BACKGROUND}",
        f"{noun}, {BACKGROUND}",
        f"{first}, {noun}, {context}, {style}, {BACKGROUND}",
        f"{second}, {noun}, {BACKGROUND}"
        if chance.random() < 0.5
        else f"{second}, {noun}, {other}, {BACKGROUND}",
        f"{third}, {plain}, {another}",
        f"{plain}, {style}",
        plain,
    )
    return tuple(dict.fromkeys(variants))


_STYLES = {source.name: source.style for source in SOURCES}
