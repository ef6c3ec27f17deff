"""What a query asks for: the ways to read its words, and full-text expressions for them.

Belongs here: units of words → expressions of SQLite's full-text index (https://www.sqlite.org/fts5.html).
Does not belong here: the index, and the order of what is found (search).
"""

from collections.abc import Callable, Sequence

from bioicons_pipeline.generation.synonyms import Unit, manner_words, synonyms


def readings(words: Sequence[str], understood: Sequence[str]) -> list[tuple[Unit, ...]]:
    """A query's words as they are and as a file name is understood, each also without words of manner."""
    found = [synonyms().units_of(words)]
    read = synonyms().units_of(understood)
    # read as a file name, a query loses its colours; what is one term ("white blood cell") must stay whole
    if all(unit in read for unit in found[0] if len(unit.words) > 1):
        found.append(read)
    both = [(reading, tuple(unit for unit in reading if not unit.is_manner)) for reading in found]
    return [reading for reading in dict.fromkeys(one for pair in both for one in pair) if reading]


def all_of(
    reading: Sequence[Unit],
    *,
    same: bool = False,
    kinds: bool = False,
    begun: Callable[[str, bool], Sequence[str]] | None = None,
    together: bool = False,
) -> str:
    """The FTS5 expression for all of the units. same, kinds: or other names of them. begun: the last word
    may be unfinished, and this says which words it begins. together: the words of a term ("B cell") only side
    by side."""
    parts = []
    for unit in reading:
        written = [unit.words]
        if begun and unit is reading[-1] and may_be_unfinished(unit):
            alone = len(reading) == len(unit.words) == 1
            written += [(*unit.words[:-1], longer) for longer in begun(unit.words[-1], alone)]
        if together:
            names = [quoted(" ".join(words)) for words in written]
        else:
            names = [" AND ".join(quoted(word) for word in words) for words in written]
        # another name counts only as it is written: "T lymphocyte", not any lymphocyte and a T
        others = (*(unit.same if same else ()), *(unit.kinds if kinds else ()))
        names += [quoted(" ".join(name)) for name in others]
        parts.append(" OR ".join(f"({name})" for name in names))
    return " AND ".join(f"({part})" for part in parts)


def may_be_unfinished(unit: Unit) -> bool:
    """Whether more letters may follow: none after a word that the table knows (ova, not oval)."""
    return not unit.same and not unit.kinds


def says_something(word: str) -> bool:
    """Whether a word can make an icon a find alone: no number, letter or word of manner."""
    return len(word) > 1 and not word.isdecimal() and word not in manner_words()


def quoted(word: str) -> str:
    """A word as an FTS5 string: nothing in it is an operator."""
    return '"' + word.replace('"', '""') + '"'
