"""Search: icons that people have drawn already, before a model draws another.

Belongs here: which icons of the manifest can be shown, the index of their words, the order of what is found.
Does not belong here: how a query is read (queries), reading the store and showing hits (cli_search, studio).

Words are found by SQLite's full-text index (https://www.sqlite.org/fts5.html): Porter stems, BM25, what an
icon is called before what is said of it. The query is read as file names are, so abbreviations, glued words
and known misspellings are understood; a word that the library has nowhere is replaced by the nearest one
that it has. After what has the words in its own name comes what has another name of the same thing in it
(`synonyms`); icons with only some of the words are taken where none has all. Where the sentence model is
installed, icons near in meaning are found too ("heart attack": myocardial infarction), and both orders are
joined by reciprocal rank (Cormack et al., 2009).
"""

import difflib
import re
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import numpy as np
import pandas as pd

from bioicons_pipeline.captioning.grammar import category_context
from bioicons_pipeline.captioning.names import read_name
from bioicons_pipeline.captioning.tables import tables
from bioicons_pipeline.captioning.vocabulary import english
from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.generation.queries import (
    all_of,
    may_be_unfinished,
    quoted,
    readings,
    says_something,
)
from bioicons_pipeline.generation.synonyms import Unit, manner_words, synonyms, words_in
from bioicons_pipeline.library.credits import attribution_line
from bioicons_pipeline.library.records import ExclusionReason

LONGEST_QUERY = 300
NEAR_IN_MEANING = 0.45
"""Cosine of the sentence embeddings from which on an icon counts as near in meaning; on the sample library
unrelated names are below 0.4."""
SHORTEST_CORRECTED = 5
"""Letters of a word from which on it may be a misspelling of another."""
SHORTEST_BEGUN = 4
"""Letters from which on a word may be the beginning of another: "ice" is no icebox. After other words, which
say enough ("centrifuge tub"), one less.
"""
_RANK_OFFSET = 60
_HIDDEN = frozenset(
    {
        ExclusionReason.UNLICENSED, ExclusionReason.AUTHOR_MISSING,
        ExclusionReason.WITHDRAWN_BY_CURATOR, ExclusionReason.DROPPED_BY_CURATOR,
        ExclusionReason.EMPTY_FILE, ExclusionReason.MALFORMED, ExclusionReason.BLANK,
        ExclusionReason.EXACT_DUPLICATE,
    }
)  # fmt: skip
"""Nobody could use these; an icon outside the licence preset can be used by a person, under its licence."""
_WEIGHTS = "10, 6, 2, 1.5, 1"
_FIELDS = ("subject", "name", "caption", "category", "author")
_CALLED = "{subject name}: "
"""Limits an FTS5 expression to what an icon is called."""
_NOTES = {"name": "", "meaning": "near in meaning", "part": "some of the words"}


@cache
def _latin_words() -> frozenset[str]:
    """Every word of a Latin name that the caption tables know."""
    entries = tables().latin.items()
    return frozenset(word for written, entry in entries for word in words_in(f"{written} {entry.latin}"))


def _is_right(word: str) -> bool:
    """Whether it is a word of biology or of English, and so no misspelling even where the library has no such
    icon: who asks for forceps wants to hear that there are none, and no force."""
    return word in tables().biology or word in _latin_words() or word in tables().words or word in english()


Embed = Callable[[Sequence[str]], np.ndarray]


class SearchError(BioiconsError):
    """There is nothing to search for, or in."""


@dataclass(frozen=True)
class Hit:
    """One icon: `row` of the manifest; `why`: "name" where all words match that say which thing is meant,
    "part" where only some do, "meaning" where only that does."""

    row: Mapping[str, Any]
    why: str

    @property
    def note(self) -> str:
        """`why` for a person; nothing where all words match."""
        return _NOTES[self.why]

    @property
    def citation(self) -> str:
        """The credit line in upstream's form, of the icon as it is there; files made of it have changes."""
        return attribution_line(self.row, changes="none")


@dataclass(frozen=True)
class Found:
    """`hits`, best first; `query` as it was understood, where that is not what was typed, else ""."""

    hits: tuple[Hit, ...]
    query: str = ""


@dataclass(frozen=True)
class _Order:
    """Icons by their words, best first; `also`: those that only another name of the thing found; `part`:
    whether they have only some of the words."""

    icons: tuple[int, ...]
    also: frozenset[int] = frozenset()
    part: bool = False


class IconSearch:
    """All icons that a person can use, ready to be searched; made once for a manifest."""

    def __init__(
        self, manifest: pd.DataFrame, captions: Mapping[str, str] | None = None, embed: Embed | None = None
    ) -> None:
        """captions: by icon_id, where there are any. embed: texts → unit rows; None: words only.

        Raises:
            SearchError: the manifest has no icon that could be shown.
        """
        # what is outside the preset may be blank as well, which only the list of all reasons says
        reasons = manifest["all_reasons"].fillna("").str.split(";")
        broken = reasons.map(_HIDDEN.intersection).astype(bool)
        hidden = manifest["exclusion_reason"].isin(sorted(_HIDDEN)) | broken
        usable = ~hidden & (manifest["spdx"].fillna("") != "")
        rows = manifest.loc[usable].sort_values("source_path").to_dict("records")
        self.rows = cast("list[dict[str, Any]]", rows)
        if not self.rows:
            raise SearchError("The library has no icon that can be used: look at `bioicons manifest`.")
        said = captions or {}
        self._texts = [_text(row) for row in self.rows]
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._database.execute(
            f"CREATE VIRTUAL TABLE icons USING fts5({', '.join(_FIELDS)}, "
            "tokenize='porter unicode61 remove_diacritics 2')"
        )
        self._database.executemany(
            "INSERT INTO icons(rowid, subject, name, caption, category, author) VALUES (?, ?, ?, ?, ?, ?)",
            [
                (
                    number,
                    text,
                    re.sub(r"[_\W]+", " ", str(row["name"])),
                    said.get(str(row["icon_id"]), ""),
                    category_context(str(row["category"])),
                    str(row["author"]).replace("-", " "),
                )
                for number, (row, text) in enumerate(zip(self.rows, self._texts, strict=True))
            ],
        )
        self._words = sorted({word for text in self._texts for word in words_in(text)})
        self._embed = embed
        self._vectors = embed(self._texts) if embed else None

    def find(self, query: str, most: int = 12, category: str | None = None) -> Found:
        """The `most` best icons for a query, of one category or of all.

        Raises:
            SearchError: the query is empty or too long.
        """
        words = words_in(query)
        if not words:
            raise SearchError('There is nothing to search for: give some words, e.g. "mast cell".')
        if len(query) > LONGEST_QUERY:
            raise SearchError(f"The query has {len(query)} characters: give at most {LONGEST_QUERY}.")
        spelled = [self._spelled(word) for word in words]
        read = read_name(query)
        by_word = self._by_word(spelled, words_in(read.subject))
        by_meaning = self._by_meaning(query)
        place = {number: rank for rank, number in enumerate(by_word.icons)}
        score = {number: 1 / (_RANK_OFFSET + rank) for number, rank in place.items()}
        for rank, number in enumerate(by_meaning):
            said, near = score.get(number, 0.0), 1 / (_RANK_OFFSET + rank)
            # a sum would lift an icon that only a synonym finds above those that are called as was asked
            score[number] = max(said, near) if number in by_word.also else said + near
        why = dict.fromkeys(by_word.icons, "part" if by_word.part else "name")
        if by_word.part:
            why |= dict.fromkeys(by_meaning, "meaning")
        hits = [
            Hit(self.rows[number], why.get(number, "meaning"))
            for number in sorted(score, key=lambda one: (-score[one], place.get(one, len(place)), one))
            if category is None or self.rows[number]["category"] == category
        ]
        return Found(tuple(hits[:most]), "" if spelled == words else " ".join(spelled))

    def _spelled(self, word: str) -> str:
        """The word itself where it is known or the library has it (or its stem), else the nearest there.

        A short word has too many neighbours (HIV is no hive), and who mistypes gets the first letter right
        (wheat is no heart).
        """
        if len(word) < SHORTEST_CORRECTED or word in self._words or word in manner_words():
            return word
        if synonyms().knows(word) or _is_right(word) or self._matches(quoted(word)):
            return word
        alike = [other for other in self._words if other[0] == word[0]]
        near = difflib.get_close_matches(word, alike, n=1, cutoff=0.8)
        return near[0] if near else word

    def _matches(self, expression: str) -> list[int]:
        rows = self._database.execute(
            f"SELECT rowid FROM icons WHERE icons MATCH ? ORDER BY bm25(icons, {_WEIGHTS})",
            (expression,),
        )
        return [number for (number,) in rows]

    def _by_word(self, words: Sequence[str], understood: Sequence[str]) -> _Order:
        """Icons that have all words, or all of what they were understood as, or all but those of manner;
        where there is none, those that have some of the words."""
        ways = readings(words, understood)

        def expressions(**how: Any) -> list[str]:
            return [all_of(reading, **how) for reading in ways]

        named = self._in_turn(expressions()[:1], _CALLED)
        if any(unit.is_manner for unit in ways[0]):
            # a caption may say the manner, as the color in "red rabbit": better than any rabbit
            named += self._in_turn([all_of(ways[0], together=True)])
        named += self._in_turn(expressions()[1:], _CALLED)
        also = self._in_turn(expressions(same=True), _CALLED)
        also += self._in_turn(expressions(same=True, kinds=True), _CALLED)
        asked = self._in_turn(expressions(begun=self._begun), _CALLED)
        asked += self._in_turn(expressions(together=True))
        asked += self._in_turn(expressions(together=True, begun=self._begun))
        icons = dict.fromkeys([*named, *also, *asked, *self._in_turn(expressions(same=True, together=True))])
        if not icons:
            return _Order(tuple(self._by_some(ways)), part=True)
        return _Order(tuple(icons), frozenset(icons) - {*named, *asked})

    def _by_some(self, ways: Sequence[Sequence[Unit]]) -> list[int]:
        """Icons that are called by some of the words: those that name a thing, so that neither "side view"
        nor the name of the category makes an icon a find. Whole terms first: of "memory B cell" a B cell."""
        units = [unit for reading in ways for unit in reading]
        terms = [
            name for unit in units if len(unit.words) > 1 for name in (unit.words, *unit.same, *unit.kinds)
        ]
        own = [(word,) for unit in ways[0] for word in unit.words if says_something(word)]
        if may_be_unfinished(ways[0][-1]):
            own += [(word,) for word in self._begun(ways[0][-1].words[-1])]
        also = [name for unit in units for name in (*unit.same, *unit.kinds)]
        orders = [
            " OR ".join(quoted(" ".join(name)) for name in names) for names in (terms, own, also) if names
        ]
        return list(dict.fromkeys(self._in_turn(orders, _CALLED)))

    def _begun(self, word: str, alone: bool = True) -> list[str]:
        """Words of the library that a word is the beginning of."""
        if len(word) < SHORTEST_BEGUN - (not alone):
            return []
        # not FTS5's own "word"*: it stems first, and of "ros" from "rose" every rod is the beginning
        return [longer for longer in self._words if longer.startswith(word) and longer != word]

    def _in_turn(self, expressions: Sequence[str], where: str = "") -> list[int]:
        """What each expression finds, of one after the other; `where` limits what counts, not the order."""
        found = []
        for expression in expressions:
            counts = set(self._matches(f"{where}({expression})")) if where else None
            icons = self._matches(expression)
            found += icons if counts is None else [number for number in icons if number in counts]
        return found

    def _by_meaning(self, query: str) -> list[int]:
        if self._embed is None or self._vectors is None:
            return []
        likeness = self._vectors @ self._embed([query])[0]
        order = np.argsort(-likeness, kind="stable")
        return [int(number) for number in order[:100] if likeness[number] >= NEAR_IN_MEANING]


def _text(row: Mapping[str, Any]) -> str:
    """What an icon is called, corrected, with its Latin name."""
    read = read_name(str(row["name"]), str(row["category"]))
    return " ".join(part for part in (read.subject, read.latin or "", read.state or "") if part)
