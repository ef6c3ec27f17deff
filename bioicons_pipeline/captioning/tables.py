"""The hand tables of the captions, as CSV files a biologist can edit (`captioning/data/`).

Belongs here: reading and validating them, once a process. Does not belong here: what is done with them
(`names`, `style`). Each entry names its source; `TABLES_VERSION` is a hash of all of them, so that an
edited table gives captions a new version.

    words.csv       written, meaning, kind, source   (kinds: see KINDS)
    latin.csv       written, latin, common, source   binomials and genera
    subjects.csv    name, category, subject, state, source   whole names; an empty category means any
    substyles.csv   author, category, look, phrase, source   `*` means any; the first row that fits wins
    categories.csv  category, context
    biology.txt     words that a general dictionary lacks; `#` starts a comment
    forms.txt       Greek and Latin word-forming parts: `cardio-` begins a word, `-cyte` ends one
    mass_nouns.txt, plurals.txt   nouns without an article
"""

import csv
import hashlib
import io
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from bioicons_pipeline.errors import BioiconsError

KINDS = ("typo", "glued", "abbreviation", "phrase", "drop", "state", "view", "adjective")
_FILES = (
    "words.csv",
    "latin.csv",
    "subjects.csv",
    "substyles.csv",
    "categories.csv",
    "biology.txt",
    "forms.txt",
    "mass_nouns.txt",
    "plurals.txt",
)


class CaptionTableError(BioiconsError):
    """A caption table cannot be used; the message names the file and the line."""


@dataclass(frozen=True)
class Word:
    """What a word, or words, of a file name mean: `meaning` in full, in the role `kind`."""

    meaning: str
    kind: str


@dataclass(frozen=True)
class Latin:
    """A scientific name and the common noun that a caption puts first."""

    latin: str
    common: str


@dataclass(frozen=True)
class SubStyle:
    """A row of substyles.csv."""

    author: str
    category: str
    look: str
    phrase: str


@dataclass(frozen=True)
class Tables:
    """All tables, keyed by words in lower case joined by single spaces."""

    words: dict[str, Word]
    latin: dict[str, Latin]
    subjects: dict[tuple[str, str], tuple[str, str]]
    substyles: tuple[SubStyle, ...]
    categories: dict[str, str]
    biology: frozenset[str]
    mass: frozenset[str]
    plurals: frozenset[str]
    prefixes: tuple[str, ...]
    suffixes: tuple[str, ...]
    version: str


def parse_rows(name: str, text: str, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """Rows of the CSV `text` with exactly `columns`.

    Raises:
        CaptionTableError: a wrong header, or a row with too many or too few cells.
    """
    reader = csv.DictReader(io.StringIO(text))
    if tuple(reader.fieldnames or ()) != columns:
        raise CaptionTableError(f"{name}: the first line must be {','.join(columns)}.")
    rows = []
    for row in reader:
        if None in row or None in row.values():
            raise CaptionTableError(f"{name}: line {reader.line_num} must have {len(columns)} cells.")
        rows.append({key: value.strip() for key, value in row.items()})
    return rows


def parse_words(text: str) -> dict[str, Word]:
    """The entries of words.csv.

    Raises:
        CaptionTableError: an unknown kind, the same words twice, or an entry without a source.
    """
    words: dict[str, Word] = {}
    for row in parse_rows("words.csv", text, ("written", "meaning", "kind", "source")):
        key = row["written"].casefold()
        if row["kind"] not in KINDS:
            raise CaptionTableError(f"words.csv: {key!r} has kind {row['kind']!r}; use {', '.join(KINDS)}.")
        if key in words:
            raise CaptionTableError(f"words.csv: {key!r} is there twice; keep one.")
        if not row["source"]:
            raise CaptionTableError(f"words.csv: {key!r} has no source; say where its meaning is from.")
        words[key] = Word(row["meaning"], row["kind"])
    return words


def _lines(text: str) -> list[str]:
    bare = (line.split("#", 1)[0] for line in text.splitlines())
    return [word for line in bare for word in line.split()]


def _read(name: str) -> str:
    return files("bioicons_pipeline.captioning").joinpath("data").joinpath(name).read_text("utf-8")


def version_now() -> str:
    """The version of the tables as the files are now: a process that runs for long notices an edit by it."""
    return _version({name: _read(name) for name in _FILES})


def _version(text: dict[str, str]) -> str:
    return hashlib.sha256("\0".join(text[name] for name in _FILES).encode()).hexdigest()[:12]


@lru_cache(maxsize=1)
def tables() -> Tables:
    """The packaged tables, read once a process."""
    text = {name: _read(name) for name in _FILES}
    latin = parse_rows("latin.csv", text["latin.csv"], ("written", "latin", "common", "source"))
    subjects = parse_rows(
        "subjects.csv", text["subjects.csv"], ("name", "category", "subject", "state", "source")
    )
    styles = parse_rows(
        "substyles.csv", text["substyles.csv"], ("author", "category", "look", "phrase", "source")
    )
    categories = parse_rows("categories.csv", text["categories.csv"], ("category", "context"))
    forms = _lines(text["forms.txt"])
    return Tables(
        words=parse_words(text["words.csv"]),
        latin={row["written"].casefold(): Latin(row["latin"], row["common"]) for row in latin},
        subjects={
            (row["name"].casefold(), row["category"].casefold()): (row["subject"], row["state"])
            for row in subjects
        },
        substyles=tuple(
            SubStyle(row["author"], row["category"], row["look"], row["phrase"]) for row in styles
        ),
        categories={row["category"]: row["context"] for row in categories},
        biology=frozenset(word.casefold() for word in _lines(text["biology.txt"])),
        mass=frozenset(_lines(text["mass_nouns.txt"])),
        plurals=frozenset(_lines(text["plurals.txt"])),
        prefixes=tuple(sorted((form[:-1] for form in forms if form.endswith("-")), key=len, reverse=True)),
        suffixes=tuple(sorted((form[1:] for form in forms if form.startswith("-")), key=len, reverse=True)),
        version=_version(text),
    )
