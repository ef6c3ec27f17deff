"""Other words for what a query asks: plurals, British spellings, names of the same thing, kinds of it.

Belongs here: the table `synonyms.csv`, which a biologist can edit, and what it says of a query's words.
Does not belong here: abbreviations, Latin names and misspellings, which captions know too (captioning/tables;
this table is not among theirs, since an edit of it changes no caption), and finding icons (`search`).

    written,also,way,source   way `both`: each is found by the other; `one`: `written` also finds `also`
                              (several apart by `;`), and not the other way round

What is written in the table is found by its plural in s as well; the index knows plurals in -ae by its stems.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from bioicons_pipeline.captioning.picture import COLOURS
from bioicons_pipeline.captioning.tables import parse_rows, tables
from bioicons_pipeline.errors import BioiconsError

Term = tuple[str, ...]
"""The words of one name, in lower case: `("t", "cell")`."""
_Graph = Mapping[Term, set[Term]]
_SMALL = "a an and at by for from in into of on or the to with"
_SHOWN = (
    "view views seen section above below left right drawn picture pictures photo pictogram symbol vector svg "
    "style grey violet"
)


class SynonymTableError(BioiconsError):
    """The table of synonyms cannot be used; the message names the row."""


@dataclass(frozen=True)
class Unit:
    """A word of a query, or several that are one name; `same`: other names, `kinds`: names of its kinds."""

    words: Term
    same: tuple[Term, ...] = ()
    kinds: tuple[Term, ...] = ()

    @property
    def is_manner(self) -> bool:
        """Whether it says how a thing is shown and not which ("side", "drawing", "red", "of")."""
        return len(self.words) == 1 and self.words[0] in manner_words()


@dataclass(frozen=True)
class Synonyms:
    """The table, by the singular forms of its names."""

    units: Mapping[Term, Unit]
    words: frozenset[str]
    longest: int

    def knows(self, word: str) -> bool:
        """Whether the table has a word, or its singular, so that it is no misspelling."""
        return word in self.words or _singular((word,)) in self.units

    def units_of(self, words: Sequence[str]) -> tuple[Unit, ...]:
        """The words of a query (lower case), those that are one name of the table together, longest first."""
        found, index = [], 0
        while index < len(words):
            for size in range(min(self.longest, len(words) - index), 0, -1):
                written = tuple(words[index : index + size])
                unit = self.units.get(_singular(written))
                if unit is not None or size == 1:
                    found.append(Unit(written, unit.same, unit.kinds) if unit else Unit(written))
                    index += size
                    break
        return tuple(found)


@cache
def synonyms() -> Synonyms:
    """The packaged table, read once a process."""
    text = files("bioicons_pipeline.generation").joinpath("synonyms.csv").read_text("utf-8")
    return parse_synonyms(text)


def parse_synonyms(text: str) -> Synonyms:
    """The table of a CSV text.

    Raises:
        CaptionTableError: a wrong header, or a row with too many or too few cells.
        SynonymTableError: an unknown way, a row without a name or source, or a pair that is there twice.
    """
    same: dict[Term, set[Term]] = {}
    kinds: dict[Term, set[Term]] = {}
    written: dict[Term, Term] = {}
    for row in parse_rows("synonyms.csv", text, ("written", "also", "way", "source")):
        names = [tuple(words_in(name)) for name in (row["written"], *row["also"].split(";"))]
        if row["way"] not in ("both", "one") or not all(names) or not row["source"]:
            raise SynonymTableError(
                f"synonyms.csv: {row['written']!r} needs names, a way (both or one) and a source."
            )
        first, *others = [_singular(name) for name in names]
        written.update(zip((first, *others), names, strict=True))
        for other in others:
            graph = same if row["way"] == "both" else kinds
            if first == other or other in graph.get(first, ()):
                raise SynonymTableError(
                    f"synonyms.csv: {row['written']!r} has {' '.join(other)!r} twice, or itself; keep one."
                )
            graph.setdefault(first, set()).add(other)
            if row["way"] == "both":
                same.setdefault(other, set()).add(first)
    units = {key: _unit(key, written, same, kinds) for key in written}
    words = frozenset(word for name in written.values() for word in name)
    return Synonyms(units, words, max(map(len, written), default=1))


def _unit(key: Term, written: Mapping[Term, Term], same: _Graph, kinds: _Graph) -> Unit:
    """What the whole table says of one name: through as many rows as it takes."""
    equal = _reached({key}, same)
    below = _reached(equal, same, kinds) - equal
    names = [tuple(sorted(written[other] for other in others)) for others in (equal - {key}, below)]
    return Unit(written[key], *names)


@cache
def manner_words() -> frozenset[str]:
    """Words that say how a thing is shown: the caption tables' views and empty words, colours, "of"."""
    entries = tables().words.items()
    told = {word for word, entry in entries if entry.kind in ("drop", "view") and len(word) > 1}
    return frozenset(told | set(COLOURS) | set(_SMALL.split()) | set(_SHOWN.split()))


def _reached(start: Iterable[Term], *graphs: _Graph) -> set[Term]:
    """All that is reached from `start`, itself included."""
    seen, ahead = set(start), list(start)
    while ahead:
        here = ahead.pop()
        for graph in graphs:
            new = graph.get(here, set()) - seen
            seen |= new
            ahead += new
    return seen


def words_in(text: str) -> list[str]:
    """The words of a name or a query, in lower case: letters and digits, no signs between them."""
    return re.findall(r"[^\W_]+", text.casefold())


def _singular(name: Term) -> Term:
    """A name without the plural's s of its last word, for looking it up: `mitosis` loses its s too."""
    return (*name[:-1], re.sub(r"(?<=sh)es$|(?<=ch)es$|(?<=\w{2}[^s])s$", "", name[-1]))
