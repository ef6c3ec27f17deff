"""Better file names: misspelt words corrected and glued words apart, in the name's own style; search tags.

Belongs here: what the caption tables know of a file name's spelling, as a name or as tags again. Does not
belong here: sentences (`grammar`), whether a file may be renamed (library/upstream).

A table entry is a correction only where it changes letters and not the meaning: `ananas` -> pineapple is a
translation, `haemorrhage` British, and of `glassslideflat` captions leave the end out.
"""

import difflib
import re
import unicodedata
from dataclasses import dataclass

from bioicons_pipeline.captioning.grammar import category_context
from bioicons_pipeline.captioning.names import read_name
from bioicons_pipeline.captioning.tables import tables

_PARTS = re.compile(r"([_\-\s.,;:()+&]+)")
_LIKENESS = 0.7
"""Likeness (2 · matches / letters) from which on two words are one word, spelt twice."""
_LOST = 2
"""Most letters that a misspelling can have too many."""
_RIGHT_AS_THEY_ARE = frozenset({"haemorrhage", "women", "hear", "swap", "mitochondrium", "bacterias"})
"""Words that captions say otherwise for a reason of their own: another English, one person in the picture."""


@dataclass(frozen=True)
class Respelling:
    """A better file name without `.svg`; `changes` are `written -> meant`, `kinds` why: misspelling,
    two words in one, second extension, Unicode form."""

    name: str
    kinds: tuple[str, ...]
    changes: tuple[str, ...]


def respell(stem: str) -> Respelling | None:
    """The better spelling of a file name (without `.svg`); None where it is as good as the tables know."""
    name, kinds, changes = stem, [], []
    if name.lower().endswith(".drawio"):
        name = name[: -len(".drawio")]
        kinds.append("second extension")
        changes.append(f"{stem[len(name) :]} -> nothing")
    if (composed := unicodedata.normalize("NFC", name)) != name:
        name = composed
        kinds.append("Unicode form")
        changes.append("decomposed letters -> composed ones")
    parts = _PARTS.split(name)
    joint = next((part for part in parts[1::2] if part in ("-", "_", " ")), "_")
    for index in range(0, len(parts), 2):
        if found := _correction(parts[index], joint):
            right, kind = found
            changes.append(f"{parts[index]} -> {right}")
            kinds.append(kind)
            parts[index] = right
    if not changes:
        return None
    return Respelling("".join(parts), tuple(dict.fromkeys(kinds)), tuple(changes))


def _correction(token: str, joint: str) -> tuple[str, str] | None:
    """(what one word should be, why), in the case that it is written in."""
    low = token.casefold()
    entry = tables().words.get(low)
    if entry is None or entry.kind not in ("typo", "glued") or low in _RIGHT_AS_THEY_ARE:
        return None
    meant = entry.meaning
    if not re.fullmatch(r"[^\W\d_]+(?:[ -][^\W\d_]+)*", meant):
        return None
    letters = re.sub(r"[ -]", "", meant).casefold()
    if entry.kind == "glued":
        if letters != low or letters == meant.casefold() or any(char.isupper() for char in token[1:]):
            return None
        kind = "two words in one"
    else:
        alike = difflib.SequenceMatcher(None, low, letters, autojunk=False).ratio()
        if letters == low or alike < _LIKENESS or len(low) - len(letters) > _LOST:
            return None
        kind = "misspelling"
    right = re.sub(r"[ -]", joint, meant.lower() if token.islower() else meant)
    return (right[0].upper() + right[1:] if token[:1].isupper() else right), kind


def tags_of(name: str, category: str) -> tuple[str, ...]:
    """Words to find an icon by: subject, scientific name, state or view, field; no tag twice."""
    read = read_name(name, category)
    found = (read.subject, read.latin, read.state, category_context(category))
    return tuple(dict.fromkeys(part.strip() for tag in found if tag for part in tag.split(",")))
