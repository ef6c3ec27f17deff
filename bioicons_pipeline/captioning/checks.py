"""Checks of captions, as pure functions: captions in, findings out, nothing raised.

Belongs here: what can be told from the text alone. Does not belong here: whether the subject is the right
one (that needs eyes: see the labelled set in the tests), what is done about a finding (orchestration).
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from bioicons_pipeline.captioning.vocabulary import english, suggestion

CLIP_TOKENS = 77
"""Length of CLIP's text input, start and end tokens included (Radford et al. 2021, arXiv:2103.00020)."""

_FREQUENT = 60_000_000
"""Occurrences in the English list from which on a word is one token."""

_ARTEFACTS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("underscore", re.compile(r"_")),
    ("file extension", re.compile(r"\.(?:svg|png|drawio)\b", re.IGNORECASE)),
    ("counter", re.compile(r"(?:[a-z]{3}\s\(\d+\)|[a-z]{4,}\d{1,2}(?=,|\s|$)|\s0\d\b)")),
    ("doubled separator", re.compile(r"\s\s|,\s*,|--|\s,|^\s|\s$|,$")),
    ("separator inside brackets", re.compile(r"\(\s*\)")),
)


@dataclass(frozen=True)
class Finding:
    """One thing to look at: `kind` is one of empty, artefact, unknown-word, too-long, duplicate."""

    kind: str
    icon_id: str
    message: str


def check_empty(captions: Mapping[str, Iterable[str]]) -> list[Finding]:
    """Icons without captions, or with a blank one. `captions`: icon_id -> its variants."""
    found = []
    for icon, variants in captions.items():
        texts = list(variants)
        if not texts or any(not text.strip() for text in texts):
            found.append(Finding("empty", icon, "a caption is empty"))
    return found


def check_artefacts(captions: Mapping[str, Iterable[str]]) -> list[Finding]:
    """Remains of file names: underscores, counters, extensions, doubled separators."""
    return [
        Finding("artefact", icon, f"{what} in {text!r}")
        for icon, variants in captions.items()
        for text in variants
        for what, pattern in _ARTEFACTS
        if pattern.search(text)
    ]


def check_unknown(unknown: Mapping[str, Iterable[str]], listed: Iterable[str] = ()) -> list[Finding]:
    """Words of names that no table and no dictionary has. `unknown`: icon_id -> `Captions.unknown`.

    listed: words that a curator has accepted. The message proposes the nearest known word.
    """
    accepted = {word.casefold() for word in listed}
    found = []
    for icon, words in unknown.items():
        for word in words:
            if word.casefold() not in accepted:
                near = suggestion(word)
                hint = f"; did its author mean {near!r}?" if near else ""
                found.append(Finding("unknown-word", icon, f"{word!r} is in no table{hint}"))
    return found


def clip_tokens(text: str) -> int:
    """At most how many tokens CLIP's byte-pair encoding makes of `text`, start and end included.

    An upper bound without CLIP's vocabulary at hand: a frequent English word counts one, any other one
    for each three letters begun and one more, each digit, sign and byte of other scripts one. Measured
    against the published vocabulary on the sample's captions it was never below, and by half above.
    """
    count = 2
    for word in re.findall(r"[a-z]+|[^\sa-z]", text.lower()):
        if not word.isascii():
            count += len(word.encode())
        elif not word.isalpha() or english().get(word, 0) > _FREQUENT:
            count += 1
        else:
            count += (len(word) + 2) // 3 + 1
    return count


def check_length(
    captions: Mapping[str, Iterable[str]],
    limit: int = CLIP_TOKENS,
    count: Callable[[str], int] = clip_tokens,
) -> list[Finding]:
    """Captions whose end the encoder would not read. `count`: a tokenizer's own count, where there is one."""
    return [
        Finding("too-long", icon, f"{count(text)} tokens, the encoder reads {limit}: {text!r}")
        for icon, variants in captions.items()
        for text in variants
        if count(text) > limit
    ]


def check_duplicates(first: Mapping[str, str], families: Mapping[str, str]) -> list[Finding]:
    """First captions that icons of different families share. Both mappings are keyed by icon_id.

    An icon without a family is one of its own.
    """
    holders: dict[str, list[str]] = {}
    for icon, text in first.items():
        holders.setdefault(text, []).append(icon)
    found = []
    for text, icons in holders.items():
        if len({families.get(icon, icon) for icon in icons}) > 1:
            others = f"shared with {len(icons) - 1} more of other families: {text!r}"
            found += [Finding("duplicate", icon, others) for icon in icons]
    return found


def check_captions(
    captions: Mapping[str, Iterable[str]],
    families: Mapping[str, str],
    unknown: Mapping[str, Iterable[str]] | None = None,
    listed: Iterable[str] = (),
) -> list[Finding]:
    """Every check. `captions`: icon_id -> variants, the first being the caption."""
    texts = {icon: list(variants) for icon, variants in captions.items()}
    return [
        *check_empty(texts),
        *check_artefacts(texts),
        *check_length(texts),
        *check_unknown(unknown or {}, listed),
        *check_duplicates({icon: variants[0] for icon, variants in texts.items() if variants}, families),
    ]
