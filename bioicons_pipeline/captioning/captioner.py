"""Captioners other than the grammar: what they are told of an icon, and what their words may change.

Belongs here: the hint, and how a model's words join the grammar's without taking the subject's place. Does
not belong here: models (`vision`, which imports torch when asked), a curator's captions (the manifest's;
they win, and are how captions from elsewhere enter the pipeline: docs/how-to/captioner.md).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from bioicons_pipeline.captioning.articles import head_of
from bioicons_pipeline.captioning.grammar import TRIGGER, Captions


@dataclass(frozen=True)
class Hint:
    """What is known of an icon besides its picture."""

    name: str
    category: str
    author: str | None = None


_MAX_WORDS = 16
_LEAD = re.compile(
    r"^(?:(?:this|the)\s+(?:image|picture|illustration|icon|drawing)\s+(?:is|shows|depicts|features|contains)\s+)"
    r"|^(?:there\s+(?:is|are)\s+)|^(?:it\s+is\s+)",
    re.IGNORECASE,
)
_TAIL = re.compile(
    r"(?:,?\s*(?:isolated\s+)?(?:on|against|with)\s+(?:a|the)?\s*(?:plain\s+)?(?:white|black)\s+back\s*ground)|\s*\.\s*$",
    re.IGNORECASE,
)


def visible_attributes(described: str, subject: str) -> str | None:
    """What a model's free text adds to `subject`, as one clause; None when it adds nothing usable.

    The model may say how something looks, never what it is: when it names the subject, the words around
    it are kept; when it names something else, its text is kept only from "with" on ("a flower with red
    dots" of a virus becomes "with red dots").
    """
    text = re.sub(r"<[^>]*>|[^\w\s,'()-]", " ", described)
    text = _TAIL.sub("", _LEAD.sub("", re.sub(r"\s+", " ", text).strip())).strip(" ,-")
    head = head_of(subject).casefold()
    words = {word.strip(",()").rstrip("s") for word in text.casefold().split()}
    if head.rstrip("s") not in words:
        match = re.search(r"\b(?:with|showing|containing)\b\s.+", text, re.IGNORECASE)
        text = match[0] if match else ""
    clause = " ".join(text.split()[:_MAX_WORDS]).strip(" ,-")
    if len(clause) < 4 or clause.casefold() == subject.casefold() or _repeats(clause):
        return None
    return clause[0].lower() + clause[1:]


def _repeats(text: str) -> bool:
    """Whether the text is a model's stutter: few different words for its length."""
    words = text.casefold().split()
    return len(words) > 4 and len(set(words)) < 0.6 * len(words)


def with_attributes(made: Captions, described: Iterable[str]) -> Captions:
    """`made` with a variant for each text of a model that adds something; the subject noun stays.

    The grammar's caption remains the first: a run without the model differs in variants, not in the caption.
    """
    added = []
    for text in described:
        if clause := visible_attributes(text, made.subject):
            added.append(f"{TRIGGER}, {made.subject}, {clause}, {made.background}")
    if not added:
        return made
    variants = tuple(dict.fromkeys((made.variants[0], *added, *made.variants[1:])))[:5]
    return replace(made, variants=variants)
