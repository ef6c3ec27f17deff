"""Search: icons that people have drawn already, before a model draws another.

Belongs here: which icons of the manifest can be shown, the index of their words, the order of what is found.
Does not belong here: reading the store and showing hits (cli_search, studio).

Words are found by SQLite's full-text index (https://www.sqlite.org/fts5.html): Porter stems, BM25, what an
icon is called before what is said of it. The query is read as file names are, so abbreviations, glued words
and known misspellings are understood; a word that the library has nowhere is replaced by the nearest one
that it has. Where the sentence model is installed, icons near in meaning are found too ("heart attack":
myocardial infarction), and both orders are joined by reciprocal rank (Cormack et al., 2009).
"""

import difflib
import re
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd

from bioicons_pipeline.captioning.grammar import category_context
from bioicons_pipeline.captioning.names import read_name
from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.library.credits import attribution_line
from bioicons_pipeline.library.records import ExclusionReason

LONGEST_QUERY = 300
NEAR_IN_MEANING = 0.45
"""Cosine of the sentence embeddings from which on an icon counts as near in meaning; on the sample library
unrelated names are below 0.4."""
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

Embed = Callable[[Sequence[str]], np.ndarray]


class SearchError(BioiconsError):
    """There is nothing to search for, or in."""


@dataclass(frozen=True)
class Hit:
    """One icon: `row` of the manifest; `why`: "name" where words match, "meaning" where only that does."""

    row: Mapping[str, Any]
    why: str

    @property
    def citation(self) -> str:
        """The credit line in upstream's form, of the icon as it is there; files made of it have changes."""
        return attribution_line(self.row, changes="none")


@dataclass(frozen=True)
class Found:
    """`hits`, best first; `query` as it was understood, where that is not what was typed, else ""."""

    hits: tuple[Hit, ...]
    query: str = ""


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
        self._words = sorted({word for text in self._texts for word in _words(text)})
        self._embed = embed
        self._vectors = embed(self._texts) if embed else None

    def find(self, query: str, most: int = 12, category: str | None = None) -> Found:
        """The `most` best icons for a query, of one category or of all.

        Raises:
            SearchError: the query is empty or too long.
        """
        words = _words(query)
        if not words:
            raise SearchError('There is nothing to search for: give some words, e.g. "mast cell".')
        if len(query) > LONGEST_QUERY:
            raise SearchError(f"The query has {len(query)} characters: give at most {LONGEST_QUERY}.")
        spelled = [self._spelled(word) for word in words]
        read = read_name(query)
        by_word = self._by_word(spelled, _words(read.subject))
        by_meaning = self._by_meaning(query)
        score: dict[int, float] = {}
        for order in (by_word, by_meaning):
            for rank, number in enumerate(order):
                score[number] = score.get(number, 0.0) + 1 / (_RANK_OFFSET + rank)
        matched = set(by_word)
        hits = [
            Hit(self.rows[number], "name" if number in matched else "meaning")
            for number in sorted(score, key=lambda number: (-score[number], number))
            if category is None or self.rows[number]["category"] == category
        ]
        return Found(tuple(hits[:most]), "" if spelled == words else " ".join(spelled))

    def _spelled(self, word: str) -> str:
        """The word itself where the library has it (or its stem), else the nearest one that it has."""
        if word in self._words or self._matches(_quoted(word)):
            return word
        near = difflib.get_close_matches(word, self._words, n=1, cutoff=0.8)
        return near[0] if near else word

    def _matches(self, expression: str) -> list[int]:
        rows = self._database.execute(
            f"SELECT rowid FROM icons WHERE icons MATCH ? ORDER BY bm25(icons, {_WEIGHTS})",
            (expression,),
        )
        return [number for (number,) in rows]

    def _by_word(self, words: Sequence[str], understood: Sequence[str]) -> list[int]:
        """Icons that have all words (the last may be unfinished) or all of what they were understood as;
        where there is none, those that have some of the words."""
        whole = [_quoted(word) for word in words]
        found = self._matches(" AND ".join(whole))
        found += self._matches(" AND ".join([*whole[:-1], f"{whole[-1]}*"]))
        if understood:
            found += self._matches(" AND ".join(_quoted(word) for word in understood))
        if not found:
            found = self._matches(" OR ".join([*whole, f"{whole[-1]}*"]))
        return list(dict.fromkeys(found))

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


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.casefold())


def _quoted(word: str) -> str:
    """A word as an FTS5 string: nothing in it is an operator."""
    return '"' + word.replace('"', '""') + '"'
