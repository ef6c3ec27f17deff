"""Which words are words, biology's included, and where a glued word comes apart.

Three sources: the English list of symspellpy (82,765 words with Google Books frequencies; MIT), the
hand-written `biology.txt`, and word formation: `forms.txt` holds the Greek and Latin parts from which
biology makes its nouns, so that "cardiomyocytes" is one word although no general list has it (a general
splitter makes "car dio myo cyte s" of it).

A known word is never taken apart. An unknown one is, into the fewest and most frequent known words.
"""

import math
from functools import lru_cache
from importlib.resources import files

from bioicons_pipeline.captioning.tables import tables

_SHORTEST = 3
_WORD_COST = 8.0
"""What each further part costs, in nats: two likely words beat three very likely ones."""


@lru_cache(maxsize=1)
def english() -> dict[str, int]:
    """English words and how often each occurs."""
    text = files("symspellpy").joinpath("frequency_dictionary_en_82_765.txt").read_text("utf-8-sig")
    return {word: int(count) for word, count in (line.split() for line in text.splitlines() if line)}


@lru_cache(maxsize=8192)
def known(word: str) -> bool:
    """Whether `word` is a word: English, of biology, formed like one, or a number."""
    word = word.casefold()
    if not word.isalpha() or len(word) == 1:
        return not word.isalpha() or word in {"a", "i"}
    if word in tables().biology or word in english():
        return True
    if not word.isascii():
        return False
    return word.endswith("s") and known(word[:-1]) if len(word) > 3 and _is_plural(word) else _formed(word)


def _is_plural(word: str) -> bool:
    stem = word[:-1]
    return word.endswith("s") and (stem in tables().biology or stem in english() or _formed(stem))


def _formed(word: str) -> bool:
    """Whether `word` is one or more beginnings of `forms.txt` and one ending."""
    for suffix in tables().suffixes:
        if word.endswith(suffix) and len(word) > len(suffix) and _beginnings(word[: -len(suffix)]):
            return True
    return False


@lru_cache(maxsize=8192)  # "oligodendro" comes apart in two ways, and eleven of them in two thousand
def _beginnings(text: str) -> bool:
    if not text:
        return True
    return any(text.startswith(part) and _beginnings(text[len(part) :]) for part in tables().prefixes)


@lru_cache(maxsize=8192)
def split_glued(word: str) -> tuple[str, ...]:
    """`word` as known words, or as itself when it is one or does not come apart.

    Parts have at least three letters, and none is a mere ending ("plasmablast" is not "plasma blast").
    """
    low = word.casefold()
    if known(low) or not low.isascii() or not low.isalpha() or len(low) < 2 * _SHORTEST:
        return (word,)
    total = math.log(sum(english().values()))
    best: list[tuple[float, tuple[str, ...]] | None] = [None] * (len(low) + 1)
    best[0] = (0.0, ())
    for end in range(_SHORTEST, len(low) + 1):
        for start in range(end - _SHORTEST + 1):
            before, part = best[start], low[start:end]
            if before is None or not _may_stand(part, start > 0):
                continue
            cost = before[0] + _WORD_COST + total - math.log(english().get(part, 20_000))
            known_best = best[end]
            if known_best is None or cost < known_best[0]:
                best[end] = (cost, (*before[1], part))
    found = best[len(low)]
    return found[1] if found and 1 < len(found[1]) <= 4 else (word,)


def _may_stand(part: str, follows: bool) -> bool:
    if follows and part in tables().suffixes:
        return False
    if part in tables().biology:
        return True
    # Rare short words of a large list (aba, gel's neighbours) would take any Latin name apart.
    return english().get(part, 0) > (20_000_000 if len(part) < 4 else 1_000_000)


def suggestion(word: str) -> str | None:
    """The known word most like the unknown `word`, for whoever edits the table; None without one."""
    import difflib

    low = word.casefold()
    pairs = {low[i : i + 2] for i in range(len(low) - 1)}
    near = [
        other
        for other in (*tables().biology, *english())
        if other[:1] == low[:1]
        and abs(len(other) - len(low)) <= 2
        and 2 * sum(pair in other for pair in pairs) >= len(pairs)
    ]
    match = difflib.get_close_matches(low, near, n=1, cutoff=0.8)
    return match[0] if match else None
