"""What the icons of the sets are called in training: their words, a measured colour, their set's style.

Belongs here: one icon → several captions, in the words and the order of the project's caption grammar (a
style first, article, colour, subject, context, sub-style, "isolated on a white background"), so that a prompt
reads like what was trained: a base that never saw a caption begin with a style draws worse for being told
more. The trigger "bioicons style" is never used: it is a LoRA's to learn. Contexts are drawn by chance from
the grammar's, so that they say nothing: what a category looks like is a LoRA's to learn too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bioicons_pipeline.captioning.articles import with_article
from bioicons_pipeline.captioning.grammar import BACKGROUND
from bioicons_pipeline.captioning.picture import COLOURS, measure_pixels
from bioicons_pipeline.captioning.style import LOOKS, colour_of, look_of
from bioicons_pipeline.captioning.tables import tables
from bioicons_pipeline.training.data import Icon
from bioicons_pipeline.training.encoders import PhaseProgress
from bioicons_pipeline.training.pretrain.colouring import chance_of
from bioicons_pipeline.training.pretrain.icons import BaseIcon, BaseIcons
from bioicons_pipeline.training.pretrain.sets import style_of
from bioicons_pipeline.training.pretrain.wording import made_up

CAPTIONS_VERSION = 5
"""Counted up with every change of what is said; captions are kept on disk."""
PREFIXES = (
    "emoji style", "icon style", "sticker style", "clip art style", "symbol style", "cartoon style",
    "drawing style", "picture style",
)  # fmt: skip
_OF_BLACK = frozenset({"silhouette", "line art"})
"""The looks that measure the same on 64 px as on a dataset's pictures; the others' edges blur."""
_LOOKS = {"outlines": "outlined flat", "shading": "shaded", "gradients": "shaded", "": "flat"}
"""Word of a set's style → look."""
NOTHING = ("icon", "drawing", "object", "thing", "shape", "figure")
"""Words for a subject of which nothing is known."""
_COLOURS = frozenset(COLOURS) | {"grey"}


@dataclass(frozen=True)
class Parts:
    """What is said of an icon: `subject`, its words; `colour`, unless they say one; `style`, its set's;
    `look`, the same in a phrase of the project's grammar."""

    key: str
    subject: str
    colour: str | None
    style: str
    look: str

    def chance(self, purpose: str) -> np.random.Generator:
        """The same draws for the same icon and purpose, on every machine."""
        return chance_of(purpose, self.key)


def captioned(
    icons: BaseIcons, near: Sequence[Mapping[str, Sequence[str]]], progress: PhaseProgress
) -> tuple[list[Icon], list[Icon], list[Icon]]:
    """Every icon with its captions, with those in other words and with doubted ones, in the order of `icons`.

    near: words near in meaning by subject; of each mapping one may be drawn.
    """
    own, other, doubt = [], [], []
    subjects = _of_no_colour(sorted({subject_of(icon) for icon in icons.icons}))
    for done, (icon, pixels) in enumerate(zip(icons.icons, icons.pixels, strict=True), start=1):
        parts = parts_of(icon, pixels)
        words = [_of_no_colour(kind.get(parts.subject, ())) for kind in near]
        words = [listed for listed in words if listed]
        own.append(Icon(icon.key, "", captions_of(parts)))
        other.append(Icon(icon.key, "", reworded(parts, words)))
        doubt.append(Icon(icon.key, "", doubted(parts, words, subjects)))
        progress("captions", done, len(icons.icons))
    return own, other, doubt


def _of_no_colour(words: Sequence[str]) -> list[str]:
    """Without those that name a colour: it would be another than the picture's."""
    return [word for word in words if not _COLOURS & set(word.split())]


def subject_of(icon: BaseIcon) -> str:
    """Its words."""
    return " ".join(icon.words)


def parts_of(icon: BaseIcon, pixels: np.ndarray) -> Parts:
    """pixels: (S, S, 3) uint8 on white."""
    facts = measure_pixels(pixels, np.full(pixels.shape[:2], 255, dtype=np.uint8))
    named = _COLOURS & set(icon.words)
    colour = None if named else colour_of(facts)
    style = style_of(icon.key)
    look = look_of(facts) if facts else ""
    if look not in _OF_BLACK:
        look = next(found for word, found in _LOOKS.items() if word in style)
    return Parts(icon.key, subject_of(icon), colour, style, LOOKS[look])


def captions_of(parts: Parts) -> tuple[str, ...]:
    """Distinct captions in the icon's own words, the fullest first, its bare words last."""
    style = parts.style
    plain, noun = with_article(parts.subject), with_article(parts.subject, parts.colour)
    chance = parts.chance("")
    first, second, third = chance.choice(PREFIXES, 3, replace=False)
    context, other, another = chance.choice(_contexts(), 3, replace=False)
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


def reworded(parts: Parts, near: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Distinct captions of the fullest form in other words: an unknown style; one word of each of `near` for
    the subject; an unknown word beside it; an unknown word for it.

    Three in ten name a sub-style of the grammar by chance, which is not the icon's: like the contexts these
    phrases say nothing here, and a LoRA teaches what they mean.
    """
    chance = parts.chance("other words of ")
    subject, colour = parts.subject, parts.colour
    beside = f"{made_up(chance)} {subject}" if chance.random() < 0.5 else f"{subject} {made_up(chance)}"
    nouns = [subject, *(str(chance.choice(list(words))) for words in near), beside, _unknown(chance)]
    variants = []
    for number, noun in enumerate(nouns):
        unknown = number == 0 or chance.random() < 0.6
        start = f"{made_up(chance)} style" if unknown else chance.choice(PREFIXES)
        style = parts.style if chance.random() < 0.7 else chance.choice(_sub_styles())
        context = chance.choice(_contexts())
        variants.append(f"{start}, {with_article(noun, colour)}, {context}, {style}, {BACKGROUND}")
    return tuple(dict.fromkeys(variants))


def doubted(parts: Parts, near: Sequence[Sequence[str]], others: Sequence[str]) -> tuple[str, ...]:
    """Distinct captions of the fullest form that name the look, and whose subject is to be doubted.

    Half have the icon's own words, the others words near in meaning, those of `others`, words that are made
    up, or none. A base that trusts every name draws what it knows by one part of an unknown name, and is
    further from the icon than without a caption; of a name that may be wrong it takes what is likely, and
    goes by colour and manner, which hold.
    """
    chance = parts.chance("doubted words of ")
    wrong = [others[int(chance.integers(len(others)))] for _ in range(2)] if others else []
    nouns = [parts.subject] * 5 + [str(chance.choice(list(words))) for words in near]
    nouns += [*wrong, _unknown(chance), str(chance.choice(NOTHING))]
    variants = []
    for noun in nouns:
        start = f"{made_up(chance)} style" if chance.random() < 0.6 else chance.choice(PREFIXES)
        context, drawn = chance.choice(_contexts()), chance.random()
        style = parts.look if drawn < 0.6 else parts.style
        said = f"{start}, {with_article(noun, parts.colour)}, "
        said += f"{context}, " if chance.random() < 0.8 else ""
        variants.append(f"{said}{style}, {BACKGROUND}" if drawn < 0.9 else f"{said}{BACKGROUND}")
    return tuple(dict.fromkeys(variants))


def _unknown(chance: np.random.Generator) -> str:
    return " ".join(made_up(chance) for _ in range(chance.integers(1, 3)))


def _contexts() -> list[str]:
    return sorted(set(tables().categories.values()))


def _sub_styles() -> list[str]:
    return sorted({row.phrase for row in tables().substyles})
