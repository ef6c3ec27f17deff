"""The deterministic caption grammar: file name and category -> caption and its variants.

The first variant is the full sentence,

    {trigger}, {article} {subject}, {category context}, isolated on a white background

and the others say the same in fewer or other words, since text diversity reduces copying (Somepalli et
al. 2023, arXiv:2305.20086). `GRAMMAR_VERSION` changes with any change of wording: captions are part of
the dataset's content and so of its version.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

GRAMMAR_VERSION = "1"
TRIGGER = "bioicons style"
BACKGROUND = "isolated on a white background"

_SUFFIXES = (".svg", ".drawio")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z][a-z])")
_TRAILING_NUMBERS = re.compile(r"(?:\s+\d{1,3})+$|(?<=[a-z]{3})\d{1,2}$")


@dataclass(frozen=True)
class Captions:
    """Captions of one icon: `text` is `variants[0]`; variants are distinct and never empty."""

    text: str
    variants: tuple[str, ...]


def subject_of(name: str) -> str:
    """The words of an icon's file name: no separators, no extension, no trailing counter.

    `"mouse_lab-2.drawio.svg"` -> `"mouse lab"`. A name that is nothing but digits or signs is kept as it
    is, so that no caption is ever empty. Words in capitals (DNA, ELISA) keep them.
    """
    words = unicodedata.normalize("NFC", name).strip()
    stripped = True
    while stripped:
        stripped = False
        for suffix in _SUFFIXES:
            if words.lower().endswith(suffix):
                words, stripped = words[: -len(suffix)], True
    words = _CAMEL.sub(" ", re.sub(r"[_\-–.,;()\[\]+]+", " ", words))
    words = re.sub(r"\s+", " ", words).strip()
    shorter = _TRAILING_NUMBERS.sub("", words).strip()
    words = shorter or words or name.strip() or "icon"
    return " ".join(word if _is_acronym(word) else word.lower() for word in words.split(" "))


def _is_acronym(word: str) -> bool:
    """Whether capitals carry meaning in `word`: any capital after the first letter (DNA, mRNA, pH)."""
    return any(letter.isupper() for letter in word[1:])


def category_context(category: str) -> str:
    """The category as words: `"Chemo-_and_Bioinformatics"` -> `"chemo- and bioinformatics"`."""
    return re.sub(r"\s+", " ", category.replace("_", " ")).strip().lower()


@lru_cache(maxsize=1)
def _inflect():
    import inflect  # takes a quarter of a second to import

    return inflect.engine()


def with_article(subject: str) -> str:
    """`subject` with its indefinite article: "an eosinophil", "a mouse"."""
    return _inflect().a(subject) if subject[:1].isalpha() and subject.isascii() else subject


def caption_icon(name: str, category: str) -> Captions:
    """Captions of the icon `name` (file name with or without extension) in `category`."""
    subject = subject_of(name)
    noun, context = with_article(subject), category_context(category)
    variants = (
        f"{TRIGGER}, {noun}, {context}, {BACKGROUND}",
        f"{TRIGGER}, {noun}, {BACKGROUND}",
        f"{TRIGGER}, scientific icon of {noun}",
        f"{TRIGGER}, {subject}",
    )
    return Captions(text=variants[0], variants=tuple(dict.fromkeys(variants)))


def caption_prompt(prompt: str, category: str | None = None) -> str:
    """A user's prompt in the words that training used; a prompt that has the trigger is left alone."""
    prompt = re.sub(r"\s+", " ", prompt).strip()
    if prompt.lower().startswith(TRIGGER):
        return prompt
    context = f", {category_context(category)}" if category else ""
    return f"{TRIGGER}, {prompt}{context}, {BACKGROUND}"
