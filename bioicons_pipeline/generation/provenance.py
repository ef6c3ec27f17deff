"""The card of a generated icon: where it comes from, said inside its files and beside them.

Belongs here: what the card says, and its forms: JSON, and RDF with Dublin Core terms
(https://www.dublincore.org/specifications/dublin-core/dcmi-terms/) and those of Creative Commons
(https://creativecommons.org/ns). Does not belong here: the files that carry it (`carriers`), a person's
sign-off (`review`).

A card has no time of making and no path of a machine: the same icon made again has the same card. Names and
links in it were written by strangers; in XML they are only ever text or attribute values set through lxml.
"""

import json
from typing import Any, Literal

from lxml import etree  # pyright: ignore[reportAttributeAccessIssue]
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.library.credits import attribution_line

FORMAT = 1
NOT_REVIEWED = "AI-generated, not reviewed"
MAX_CARD = 1_000_000
"""Characters of JSON above which a card is not read."""
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
DC = "http://purl.org/dc/elements/1.1/"
DCTERMS = "http://purl.org/dc/terms/"
CC = "http://creativecommons.org/ns#"
BIO = "https://bioicons.com/ns/provenance#"
_NAMES = {"rdf": RDF, "dc": DC, "dcterms": DCTERMS, "cc": CC, "bioicons": BIO}


class ProvenanceError(BioiconsError):
    """A card is missing, damaged or cannot be written."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_max_length=20_000)


class BaseFacts(_Strict):
    """The base model and its terms; `commercial_use` as its licence allows it."""

    name: str
    licence: str
    licence_url: str
    commercial_use: bool
    fingerprint: str = ""


class AdapterFacts(_Strict):
    """One LoRA: sha256 of its weights file, strength, and version id in the store where it has one."""

    name: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    scale: float
    version: str = ""


class NearestIcon(_Strict):
    """A training icon that resembles the generated one; `similarity` 0 to 1 by the copy index."""

    icon_id: str
    name: str
    author: str
    author_url: str | None = None
    spdx: str
    licence_url: str
    source_url: str
    similarity: float = Field(ge=0, le=1)

    @property
    def citation(self) -> str:
        """The credit line in upstream's form."""
        return attribution_line(self.model_dump(), changes="none")


class Review(_Strict):
    """A person's sign-off: ORCID as an address, verdict, ISO date, and what the person remarked."""

    reviewer: str
    verdict: Literal["approved", "needs-work", "rejected"]
    date: str = Field(pattern=r"^\d{4}-\d\d-\d\d$")
    note: str = ""


class Card(_Strict):
    """Everything that is said of a generated icon.

    prompt: as the person typed it; caption: what the model was given; seed, size in px, steps, guidance: of
    the sampling; precision: in which the weights were held, which changes a picture a little;
    dataset_version, upstream_commit, licence_preset: of what the adapters were trained on, "" without an
    adapter; copy_score and copy_threshold: see `copies`; likely_copy: the score is at the
    threshold or above; nearest: up to five training icons, nearest first; reviews: oldest first.
    """

    format: Literal[1] = FORMAT
    generator: str
    prompt: str
    caption: str
    seed: int
    size: int
    steps: int
    guidance: float
    precision: str = ""
    base: BaseFacts
    adapters: tuple[AdapterFacts, ...] = ()
    dataset_version: str = ""
    upstream_commit: str = ""
    licence_preset: str = ""
    copy_score: float = Field(default=0.0, ge=0, le=1)
    copy_threshold: float = Field(default=1.0, ge=0, le=1)
    likely_copy: bool = False
    nearest: tuple[NearestIcon, ...] = Field(default=(), max_length=5)
    notes: tuple[str, ...] = ()
    reviews: tuple[Review, ...] = ()

    @property
    def status(self) -> str:
        """One line: AI-generated, and whether a person has looked at it."""
        if not self.reviews:
            return NOT_REVIEWED
        last = self.reviews[-1]
        return f"AI-generated, {last.verdict} by {last.reviewer} on {last.date}"

    @property
    def description(self) -> str:
        """What an SVG's `<desc>` says: status and caption."""
        return f"{self.status}. {self.caption}"

    @property
    def credit(self) -> str:
        """A line for a figure's legend that says what this is."""
        loras = ", ".join(f"{adapter.name} {adapter.sha256[:12]}" for adapter in self.adapters)
        dataset = (
            f", trained on the icons of dataset {self.dataset_version[:12]}" if self.dataset_version else ""
        )
        trained = f" with LoRA {loras}{dataset}" if loras else ""
        return f'"{self.prompt}" icon drawn by {self.base.name}{trained}, seed {self.seed}. {self.status}.'

    @property
    def cite_instead(self) -> str | None:
        """Credit of the icon that this one is likely a copy of, None where it is not."""
        return self.nearest[0].citation if self.likely_copy and self.nearest else None


def make_card(**facts: Any) -> Card:
    """A card from its fields.

    Raises:
        ProvenanceError: naming the field that is wrong.
    """
    try:
        return Card(**facts)
    except ValidationError as error:
        raise ProvenanceError(f"The card cannot be made: {_first(error)}.") from error


def to_json(card: Card) -> str:
    """The card as JSON of ASCII characters, with its status and citation spelled out for readers."""
    facts = card.model_dump(mode="json") | {"status": card.status, "cite_instead": card.cite_instead}
    return json.dumps(facts, indent=1, sort_keys=True, allow_nan=False) + "\n"


def from_json(text: str | bytes) -> Card:
    """The inverse of `to_json`; what is spelled out for readers is worked out anew, never believed.

    Raises:
        ProvenanceError: it is no card, or one of another format.
    """
    if len(text) > MAX_CARD:
        raise ProvenanceError("The card is too large to be one of ours: make the icon again.")
    try:
        facts = json.loads(text)
        if not isinstance(facts, dict):
            raise ValueError("not an object")
        for spelled_out in ("status", "cite_instead"):
            facts.pop(spelled_out, None)
        return Card.model_validate(facts)
    except ValidationError as error:
        raise ProvenanceError(f"The card is damaged: {_first(error)}.") from error
    except (ValueError, RecursionError) as error:
        raise ProvenanceError("The card is damaged: it is no JSON object.") from error


def _first(error: ValidationError) -> str:
    detail = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in detail['loc']) or 'it'}: {detail['msg']}"


def to_rdf(card: Card) -> etree._Element:
    """The card as an `rdf:RDF` element, with the JSON itself in one property so that it reads back whole."""
    root = etree.Element(f"{{{RDF}}}RDF", nsmap=_NAMES)
    work = etree.SubElement(root, f"{{{CC}}}Work", {f"{{{RDF}}}about": ""})
    _say(work, DC, "title", card.prompt[:200])
    _say(work, DC, "description", f"{card.status}. Prompt: {card.prompt}. Seed: {card.seed}.")
    _say(work, DC, "creator", f"{card.base.name} (AI model), by {card.generator}")
    _say(work, DC, "format", "image/svg+xml")
    _link(work, DC, "type", "http://purl.org/dc/dcmitype/StillImage")
    _say(work, DC, "rights", _rights(card))
    _link(work, CC, "useGuidelines", card.base.licence_url)
    if trained := _trained_on(card):
        _say(work, DCTERMS, "provenance", trained)
    if card.likely_copy and card.nearest:
        _link(work, DCTERMS, "isVersionOf", card.nearest[0].source_url)
    for icon in card.nearest:
        relation = etree.SubElement(work, f"{{{DCTERMS}}}relation")
        other = etree.SubElement(relation, f"{{{CC}}}Work", {f"{{{RDF}}}about": legal(icon.source_url)})
        _say(other, DC, "title", icon.name)
        _say(other, DC, "creator", icon.author)
        _link(other, CC, "license", icon.licence_url)
        if icon.author_url:
            _link(other, CC, "attributionURL", icon.author_url)
    for review in card.reviews:
        _link(work, DCTERMS, "contributor", review.reviewer)
    _say(work, BIO, "card", to_json(card))
    return root


def from_rdf(root: etree._Element) -> Card:
    """The card in an element or anywhere below it.

    Raises:
        ProvenanceError: there is none, or it is damaged.
    """
    found = next(root.iter(f"{{{BIO}}}card"), None)
    if found is None:
        raise ProvenanceError("There is no card in the file: it was not made by bioicons generate.")
    return from_json(found.text or "")


def _trained_on(card: Card) -> str:
    """What the adapters learnt from, "" where nothing is known. Not by the library's name: it may be
    upstream's, the starter library, or somebody's own, whose place is a path that no card tells."""
    dataset = f"the icons of dataset {card.dataset_version}" if card.dataset_version else ""
    state = f"an icon library at {card.upstream_commit}" if card.upstream_commit else ""
    return f"trained on {', from '.join(filter(None, (dataset, state)))}" if dataset or state else ""


def _rights(card: Card) -> str:
    terms = "commercial use allowed" if card.base.commercial_use else "no commercial use"
    lines = [f"{card.status}. Made with {card.base.name} under {card.base.licence} ({terms})."]
    if card.cite_instead:
        lines.append(f"Likely a copy; cite instead: {card.cite_instead}")
    return " ".join(lines)


def _say(parent: etree._Element, space: str, name: str, text: str) -> None:
    etree.SubElement(parent, f"{{{space}}}{name}").text = legal(text)


def _link(parent: etree._Element, space: str, name: str, address: str) -> None:
    etree.SubElement(parent, f"{{{space}}}{name}", {f"{{{RDF}}}resource": legal(address)})


def legal(text: str) -> str:
    """Without the characters that XML 1.0 forbids."""
    return "".join(
        char
        for char in text
        if char in "\t\n\r" or " " <= char <= "\ud7ff" or "\ue000" <= char <= "\ufffd" or char > "\uffff"
    )
