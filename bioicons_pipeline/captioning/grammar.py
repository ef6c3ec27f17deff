"""The deterministic caption grammar: name, category, author and measured picture -> caption variants.

    {trigger}, {article} {colour?} {subject} ({Latin name?}), {state or view?}, {category context},
    {sub-style}, isolated on a white background

("on a black background" where the drawing has that ground) is the first variant; the others say the same
in fewer or other words, since text diversity reduces copying (Somepalli et al. 2023, arXiv:2305.20086). The
colour is the measured palette's, never the name's.

`GRAMMAR_VERSION` changes with any change of wording, by hand or in a table: captions are part of the
dataset's content and so of its version. Belongs here: the sentence. Does not belong here: reading names
(`names`), words for the style (`style`), articles (`articles`).
"""

import re
from dataclasses import dataclass

from bioicons_pipeline.captioning.articles import with_article
from bioicons_pipeline.captioning.names import read_name
from bioicons_pipeline.captioning.picture import COLOURS, StyleFacts
from bioicons_pipeline.captioning.style import colour_of, sub_style
from bioicons_pipeline.captioning.tables import tables

GRAMMAR_VERSION = f"4-{tables().version}"
TRIGGER = "bioicons style"
BACKGROUND = "isolated on a white background"
BLACK_GROUND = "on a black background"


@dataclass(frozen=True)
class Captions:
    """Captions of one icon: `text` is `variants[0]`; variants are distinct and never empty.

    `subject` is the noun phrase that no captioner may replace; `unknown` holds words of the name that
    are in no table and no dictionary, for a curator to look at. `background` is the phrase that ends the
    variants which describe the whole picture.
    """

    text: str
    variants: tuple[str, ...]
    subject: str = ""
    latin: str | None = None
    colour: str | None = None
    sub_style: str | None = None
    unknown: tuple[str, ...] = ()
    background: str = BACKGROUND


def subject_of(name: str, category: str = "") -> str:
    """The words of what an icon's file name says it shows: `"mouse_lab-2.drawio.svg"` -> `"mouse lab"`.

    Never empty: a name that is nothing but digits or signs is kept as it is.
    """
    return read_name(name, category).subject


def category_context(category: str) -> str:
    """The category as words: `"Blood_Immunology"` -> `"hematology and immunology"`."""
    if found := tables().categories.get(category):
        return found
    return re.sub(r"\s+", " ", category.replace("_", " ").replace("-", " ")).strip().lower()


def caption_icon(
    name: str, category: str, *, author: str | None = None, picture: StyleFacts | None = None
) -> Captions:
    """Captions of the icon `name` (file name with or without extension) in `category`. Pure.

    author: as the manifest has it. picture: `measure_picture` of the probe or of the rendered picture;
    without it the caption names no colour, and a sub-style only where the author has one manner.
    """
    said = read_name(name, category)
    colour = _colour(said.subject, picture)
    style = sub_style(author, category, picture)
    context = category_context(category)
    background = BLACK_GROUND if picture and picture.black_ground else BACKGROUND
    latin = f" ({said.latin})" if said.latin else ""
    plain = with_article(said.subject)
    noun = with_article(said.subject, colour)
    variants = (
        _sentence(noun + latin, said.state, context, style, background),
        _sentence(noun, said.state, background),
        _sentence(f"scientific icon of {plain}{latin}", said.state, style),
        _sentence(plain, context, style),
        _sentence(f"{context} icon, {noun}" if context else noun, said.state),
    )
    distinct = tuple(dict.fromkeys(variants))
    return Captions(distinct[0], distinct, said.subject, said.latin, colour, style, said.unknown, background)


def _sentence(*parts: str | None) -> str:
    return ", ".join((TRIGGER, *(part for part in parts if part)))


def _colour(subject: str, picture: StyleFacts | None) -> str | None:
    """The picture's colour, unless the subject's own name holds a colour ("red blood cell")."""
    colour = colour_of(picture)
    if colour is None or set(subject.casefold().split()) & _COLOUR_WORDS:
        return None
    return colour


_COLOUR_WORDS = frozenset(COLOURS) | {"grey", "violet"}


def caption_prompt(prompt: str, category: str | None = None) -> str:
    """A user's prompt in the words that training used; a prompt that has the trigger is left alone."""
    prompt = re.sub(r"\s+", " ", prompt).strip()
    if prompt.lower().startswith(TRIGGER):
        return prompt
    return _sentence(prompt, category_context(category) if category else None, BACKGROUND)
