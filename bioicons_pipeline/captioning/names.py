"""Reads a file name: what is shown, in which state or view, and which of its words nobody knows.

Belongs here: from the bytes of a name to words in their roles. Does not belong here: the sentence
(`grammar`), colours (they are measured in the picture, and colour words of names are dropped here), the
tables (`tables`). Unicode is repaired with ftfy (https://ftfy.readthedocs.io).
"""

import re
import unicodedata
from dataclasses import dataclass, replace
from functools import lru_cache

from bioicons_pipeline.captioning.tables import Latin, tables
from bioicons_pipeline.captioning.vocabulary import english, known, split_glued

_SUFFIXES = (".svg", ".drawio")
_CAMEL = re.compile(r"(?<=[a-z]{2})(?=[A-Z][a-z])")
_COUNTER = re.compile(r"[\s_-]*\(\s*\d+\s*\)")
_SEPARATORS = re.compile(r"(?:[_\-–—;:()\[\]{}+/&'’\"\s]|(?<!\d)[.,]|[.,](?!\d))+")
"""No point between digits is one: 1.5 mL are not 5."""
_DECIMAL = r"\d+(?:[.,]\d+)?"
_NUMBER = re.compile(_DECIMAL)
_COLOUR = (
    "red|pink|green|blue|yellow|orange|purple|violet|brown|black|white|grey|gray|cyan|magenta|turquoise|beige"
)
_SHADE = "light|dark|darker|lighter|lighted|bright|pale|medium"
_COLOURS = re.compile(rf"(?:{_SHADE})*(?:{_COLOUR})(?:{_COLOUR}|{_SHADE})*")
_COLOUR_TALK = frozenset(
    ["colored", "coloured", "color", "colour", "colors", "colours", "monochrome", "mono"]
)
_COUNTED = frozenset(
    ["cell", "cells", "well", "wells", "neck", "ml", "days", "day", "hours", "hour", "kb", "step", "way"]
)
_NUMBERING = frozenset(
    ["stage", "type", "phase", "class", "grade", "day", "no", "number", "part", "step", "chromosome", "pn"]
)
_ANATOMICAL = re.compile(
    r"(anterior|posterior|superior|inferior|lateral|medial|dorsal|ventral|sagittal|frontal|horizontal|"
    r"transverse) "
    r"(view|section|plane) (?:of|through) (?:the )?(?=\w)",
    re.IGNORECASE,
)
_VOLUME = re.compile(rf"({_DECIMAL})ml", re.IGNORECASE)
_NUMBERED_WORD = re.compile(r"([^\W\d_]{4,})(\d{1,2})")


@dataclass(frozen=True)
class Name:
    """What a file name says. `unknown` holds words that neither the tables nor the dictionary know."""

    subject: str
    latin: str | None = None
    state: str | None = None
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Item:
    text: str
    kind: str = "word"
    latin: Latin | None = None


def clean(name: str) -> str:
    """`name` with its Unicode repaired (mojibake, NFD), without extension and counters in brackets."""
    import ftfy

    text = unicodedata.normalize("NFC", ftfy.fix_text(name)).strip()
    cut = True
    while cut:
        cut = False
        for suffix in _SUFFIXES:
            if text.lower().endswith(suffix):
                text, cut = text[: -len(suffix)], True
    return _COUNTER.sub("", text)


def tokens_of(name: str) -> list[str]:
    """The words of a name as they are written: `"mouse_labCoat-2.svg"` -> `["mouse", "lab", "Coat", "2"]`."""
    return [token for token in _SEPARATORS.split(_CAMEL.sub(" ", clean(name))) if token]


def key_of(name: str) -> str:
    """A name as tables write it: lower case, single spaces, without a counter at the end."""
    tokens = [token.casefold() for token in tokens_of(name)]
    while len(tokens) > 1 and tokens[-1].isdecimal() and len(tokens[-1]) < 3:
        tokens.pop()
    return " ".join(tokens)


@lru_cache(maxsize=8192)
def read_name(name: str, category: str = "") -> Name:
    """What the file name `name` (with or without extension) says, in the folder `category`.

    The subject is never empty: a name of nothing but signs, digits or colours is kept as it is.
    """
    subjects = tables().subjects
    full = " ".join(token.casefold() for token in tokens_of(name))
    uncut = " ".join(token.casefold() for token in _SEPARATORS.split(clean(name)) if token)  # "PubChem"
    for key in dict.fromkeys((full, uncut, key_of(name))):
        for place in (category.casefold(), ""):
            if found := subjects.get((key, place)):
                return Name(subject=found[0], state=found[1] or None)
    written = _correct(tokens_of(name))
    view, written = _anatomical_view(written)
    items = _recognise(_without_colours(_without_counters(written)))
    read = _assemble(items)
    if read and view:
        read = replace(read, state=", ".join(part for part in (view, read.state) if part))
    return read or Name(subject=" ".join(_case(token) for token in written) or name.strip() or "icon")


def _anatomical_view(tokens: list[str]) -> tuple[str | None, list[str]]:
    """ "Anterior view of knee joint" -> ("anterior view", ["knee", "joint"]): the plane is no subject."""
    match = _ANATOMICAL.match(" ".join(tokens))
    if match is None:
        return None, tokens
    return f"{match[1]} {match[2]}".lower(), " ".join(tokens)[match.end() :].split()


def _correct(tokens: list[str]) -> list[str]:
    """Misspellings corrected, glued words apart, counters off their words: one pass, from the tables."""
    words, right = tables().words, []
    for token in tokens:
        entry = words.get(token.casefold())
        if entry is None and (match := _NUMBERED_WORD.fullmatch(token)) and not token.isupper():
            parts = _correct([match[1]])
            right += [*parts, match[2]]
        elif entry is not None and entry.kind in {"typo", "glued"}:
            right += entry.meaning.split()
        elif entry is None and token.islower():
            right += split_glued(token)
        else:
            right.append(token)
    return right


@lru_cache(maxsize=1)
def _phrases() -> dict[tuple[str, ...], _Item]:
    """Every table entry that is not a correction, by its words as they are after correction."""
    found: dict[tuple[str, ...], _Item] = {}
    for written, entry in tables().words.items():
        if entry.kind not in {"typo", "glued"}:
            key = tuple(word.casefold() for word in _correct(written.split()))
            found[key] = _Item(entry.meaning, entry.kind)
    for written, entry in tables().latin.items():
        found[tuple(written.split())] = _Item(entry.common, "latin", entry)
    return found


def _without_counters(tokens: list[str]) -> list[str]:
    """`tokens` without the numbers that only tell files apart; "96 well" becomes "96-well"."""
    kept: list[str] = []
    skip = -1
    protected = _covered(tokens)
    for index, token in enumerate(tokens):
        if index <= skip:
            continue
        after = tokens[index + 1].casefold() if index + 1 < len(tokens) else ""
        if _NUMBER.fullmatch(token) and index not in protected:
            if after in _COUNTED:
                kept.append(f"{token} mL" if after == "ml" else f"{token}-{after}")
                skip = index + 1
            elif (kept and kept[-1].casefold() in _NUMBERING) or (not kept and len(token) > 1 and after):
                kept.append(token)
        else:
            kept.append(_VOLUME.sub(r"\1 mL", token))
    return kept


def _covered(tokens: list[str]) -> set[int]:
    """Positions of `tokens` that a table phrase of several words covers: they are never dropped."""
    low, covered = [token.casefold() for token in tokens], set()
    for start in range(len(low)):
        for size in range(min(6, len(low) - start), 1, -1):
            item = _phrases().get(tuple(low[start : start + size]))
            if item is not None and item.kind in {"phrase", "adjective", "latin", "abbreviation"}:
                covered.update(range(start, start + size))
    return covered


def _without_colours(tokens: list[str]) -> list[str]:
    """`tokens` without colour words, unless a phrase holds them or nothing else is left."""
    protected = _covered(tokens)
    colour = [bool(_COLOURS.fullmatch(token.casefold())) for token in tokens]
    kept = []
    for index, token in enumerate(tokens):
        low = token.casefold()
        beside = any(colour[i] for i in (index - 1, index + 1) if 0 <= i < len(tokens))
        shade = low in _SHADE.split("|") and beside
        if index in protected or not (colour[index] or shade or low in _COLOUR_TALK):
            kept.append(token)
    return kept or tokens


def _recognise(tokens: list[str]) -> list[_Item]:
    """`tokens` in their roles, longest table entry first."""
    items, index = [], 0
    low = [token.casefold() for token in tokens]
    while index < len(tokens):
        for size in range(min(6, len(tokens) - index), 0, -1):
            item = _phrases().get(tuple(low[index : index + size]))
            # "drop" is for words beside others: the programming language R is all that its name has.
            if item is not None and not (item.kind == "drop" and len(tokens) == size):
                items.append(item)
                index += size
                break
        else:
            items.append(_Item(_case(tokens[index])))
            index += 1
    return [item for item in items if item.kind != "drop" and item.text]


def _case(token: str) -> str:
    """Lower case, unless capitals carry meaning: DNA, mRNA, B12, a single letter, a name nobody knows."""
    low = token.casefold()
    if token.isupper() and any(char.isdigit() for char in token):
        return token
    if any(letter.isupper() for letter in token[1:]):
        return low if token.isupper() and len(token) > 3 and low in english() else token
    if token.isupper() and len(token) == 1:
        return token
    return low if known(low) else token


def _assemble(items: list[_Item]) -> Name | None:
    """The roles put together: adjectives before their noun, state and view apart, the Latin name apart."""
    nouns = [index for index, item in enumerate(items) if item.kind not in {"adjective", "state", "view"}]
    if not nouns:
        # Nothing but adjectives and states: they are the subject.
        return Name(subject=" ".join(item.text for item in items)) if items else None
    first, last = nouns[0], nouns[-1]
    front = [item.text for item in items[last + 1 :] if item.kind == "adjective"]
    body: list[str] = []
    states: list[str] = []
    latin: str | None = None
    for index, item in enumerate(items):
        if item.kind in {"state", "view"} and not (item.kind == "state" and index < first):
            states.append(item.text)
        elif item.kind == "latin" and item.latin:
            latin = latin or item.latin.latin
            body += _common(item.text, [other.text for other in items if other is not item])
        elif item.kind != "adjective" or index < last:
            body.append(item.text)
    words = [*front, *body]
    unknown = [word for item in items if item.kind == "word" for word in item.text.split() if _strange(word)]
    subject = " ".join(_once(" ".join(words).split()))
    return Name(subject, latin, ", ".join(dict.fromkeys(states)) or None, tuple(dict.fromkeys(unknown)))


def _once(words: list[str]) -> list[str]:
    """Without what is said twice in a row: two table entries meet in "immunoglobulin" and "IgG", and in
    "fruit fly" and "fruit fly with red eyes"."""
    for length in range(len(words) // 2, 0, -1):
        for at in range(len(words) - 2 * length + 1):
            if words[at : at + length] == words[at + length : at + 2 * length]:
                return _once(words[:at] + words[at + length :])
    return words


def _strange(word: str) -> bool:
    """Whether nobody knows `word`; single capitals are names (T maze), mL a unit."""
    return not known(word) and word != "mL" and not (len(word) == 1 and word.isupper())


def _common(noun: str, others: list[str]) -> list[str]:
    """The common noun of a Latin name, unless the file name has said it already."""
    said = {word.rstrip("s") for text in others for word in text.casefold().split()}
    if noun == "bacterium" and "bacteria" in said:
        return []
    return [] if noun.split()[-1].rstrip("s") in said else [noun]
