"""A wish becomes icons: sampled, cut out, drawn as vectors, compared with the training icons, written.

Belongs here: the order of these steps and what is kept when one of them fails. Does not belong here: the
steps themselves (the other modules), options and words on a terminal (cli_generate), the page (studio).

An icon's file name has the words of its prompt, its seed, and a digest of everything else that decides its
pixels: the same wish again finds what is finished, another one never writes over it.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from bioicons_pipeline import __version__
from bioicons_pipeline.captioning import caption_prompt
from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.generation.adapters import Adapter
from bioicons_pipeline.generation.carriers import IconFiles, add_svg, card_of, files_of, write_icon
from bioicons_pipeline.generation.cutout import CutOut, CutOutError, cut_out
from bioicons_pipeline.generation.provenance import BaseFacts, Card, make_card
from bioicons_pipeline.generation.sampler import (
    SamplingSettings,
    check_settings,
    precision_of,
    sample,
    unread,
)
from bioicons_pipeline.generation.training_icons import TrainingIcons
from bioicons_pipeline.generation.vectorize import VectorizeError, vectorize
from bioicons_pipeline.whole import check_writable

if TYPE_CHECKING:
    from bioicons_pipeline.training.base_models import BaseModel

CODE_VERSION = 1
LONGEST_PROMPT = 1000
MOST_ICONS = 1000


class WishError(BioiconsError):
    """What was asked for cannot be made."""


@dataclass(frozen=True)
class Wish:
    """What somebody wants: `prompt` in their words, scientific `category` or None, `count` icons with the
    seeds `seed`, `seed` + 1, …; `vectors`: SVG beside the PNG. Control characters in a prompt, as a PDF has
    them, are taken for blanks.

    Raises:
        WishError: naming what is out of range.
    """

    prompt: str
    category: str | None = None
    count: int = 4
    seed: int = 0
    vectors: bool = True

    def __post_init__(self) -> None:
        words = "".join(char if char.isprintable() else " " for char in self.prompt).strip()
        object.__setattr__(self, "prompt", words)
        if not any(char.isalnum() for char in words):
            raise WishError('The prompt is empty: say what to draw, e.g. "a tardigrade, side view".')
        if len(words) > LONGEST_PROMPT:
            raise WishError(f"The prompt has {len(words)} characters: say it in at most {LONGEST_PROMPT}.")
        if not 1 <= self.count <= MOST_ICONS:
            raise WishError(
                f"A count of {self.count} is outside 1 to {MOST_ICONS}: ask for fewer, more often."
            )
        if not 0 <= self.seed <= 2**32 - self.count:
            raise WishError(f"The seed {self.seed} is outside 0 to {2**32 - self.count}: give a smaller one.")

    @property
    def caption(self) -> str:
        """The prompt in the words that training used."""
        return caption_prompt(self.prompt, self.category)

    @property
    def seeds(self) -> range:
        """One seed per icon."""
        return range(self.seed, self.seed + self.count)


@dataclass(frozen=True)
class Made:
    """One icon: its files and card; `kept`: it was there already; `problem`: a sentence, "" where all went
    well; without `files` there is no icon (the model drew nothing, or may not write over a sign-off)."""

    seed: int
    files: IconFiles | None
    card: Card | None
    kept: bool = False
    problem: str = ""


@dataclass(frozen=True)
class Workshop:
    """What icons are made with. `pipeline` loads the model, and is called only when something is missing;
    `adapters` in the order in which it loads them; `training`: None where their icons are not at hand."""

    base: BaseModel
    adapters: Sequence[Adapter]
    settings: SamplingSettings
    pipeline: Callable[[], Any]
    training: TrainingIcons | None = None

    def stem(self, wish: Wish, seed: int) -> str:
        """File name of an icon without its ending."""
        decides = [
            CODE_VERSION, wish.caption, self.base.fingerprint, self.settings.size, self.settings.steps,
            self.settings.guidance, self.settings.max_sequence_length,
            [(adapter.sha256, adapter.scale) for adapter in self.adapters],
        ]  # fmt: skip
        digest = hashlib.sha256(json.dumps(decides).encode()).hexdigest()[:8]
        plain = unicodedata.normalize("NFKD", wish.prompt).encode("ascii", "ignore").decode().lower()
        words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:48].strip("-")
        return f"{words or 'icon'}-{digest}-{seed}"


def make_icons(
    wish: Wish,
    workshop: Workshop,
    out: Path,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Made]:
    """Make the icons of a wish and write them into `out`, one after another; yields each when it is there.

    Whoever stops it keeps what was yielded; the same wish again makes only the rest: of an icon that lacks
    its SVG alone just that, and what a person has signed off is never drawn again.
    progress: called with denoising steps done and to do.

    Raises:
        GenerationError, ProvenanceError: nothing can be sampled or written at all.
    """
    check_settings(workshop.settings)
    todo = []
    for seed in wish.seeds:
        found = _earlier(wish, seed, out, workshop.stem(wish, seed))
        if found is None:
            todo.append(seed)
        else:
            yield found
    if not todo:
        return
    check_writable(out)
    pipeline = workshop.pipeline()
    cut_off = unread(pipeline, wish.caption, workshop.settings)
    scales = [adapter.scale for adapter in workshop.adapters]
    batch, total = workshop.settings.batch, len(todo) * workshop.settings.steps
    for start in range(0, len(todo), batch):
        seeds = todo[start : start + batch]

        def shifted(done: int, _: int, before: int = start * workshop.settings.steps) -> None:
            if progress:
                progress(before + done, total)

        pictures = sample(
            pipeline, [wish.caption] * len(seeds), seeds, workshop.settings, scales=scales, progress=shifted
        )
        for seed, picture in zip(seeds, pictures, strict=True):
            yield finish(wish, workshop, seed, picture, out, precision_of(pipeline), cut_off)


def finish(
    wish: Wish,
    workshop: Workshop,
    seed: int,
    picture: Image.Image,
    out: Path,
    precision: str = "",
    cut_off: str = "",
) -> Made:
    """Cut out, vectorise, compare and write one sampled picture (RGB); for its card `precision`, and the end
    of the caption that the model did not read."""
    try:
        cut = cut_out(picture)
    except CutOutError as error:
        return Made(seed, None, None, problem=str(error))
    card = _card(wish, workshop, seed, picture, cut)
    short = f"The prompt is longer than the model reads; not read: “{cut_off}”." if cut_off else ""
    notes = (*card.notes, short) if short else card.notes
    card = card.model_copy(update={"precision": precision, "notes": notes})
    svg, problem = None, ""
    if wish.vectors:
        svg, card, problem = _vectors(cut.rgba, card)
    problem = " ".join(text for text in (short, problem) if text)
    stem = workshop.stem(wish, seed)
    if signed := _signed(out, stem):  # another run was faster, and a person looked at its icon
        return Made(seed, None, None, problem=signed)
    return Made(seed, write_icon(out, stem, cut.rgba, svg, card), card, problem=problem)


def _vectors(rgba: Image.Image, card: Card) -> tuple[str | None, Card, str]:
    """A cut-out as SVG, its card with what is to say of that, and the problem where there is no SVG."""
    try:
        drawn = vectorize(rgba, title=card.prompt, desc=card.description)
    except VectorizeError as error:
        svg, problem, said = None, f"No SVG: {error}", (f"No SVG: {error}",)
    else:
        svg, problem, said = drawn.svg, "", drawn.report.loosened
    notes = (*card.notes, *(note for note in said if note not in card.notes))
    return svg, card.model_copy(update={"notes": notes}), problem


def _card(wish: Wish, workshop: Workshop, seed: int, picture: Image.Image, cut: CutOut) -> Card:
    base, adapters, training = workshop.base, workshop.adapters, workshop.training
    notes = list(cut.report.warnings)
    compared: dict[str, Any] = {}
    if training is not None:
        score = training.index.score(picture)
        compared = {
            "copy_score": score.score,
            "copy_threshold": score.threshold,
            "likely_copy": score.likely_copy,
            "nearest": training.nearest(score),
        }
    elif adapters:
        notes.append("Not compared with training icons: the dataset of the LoRA is not in the store.")
    settings = workshop.settings
    return make_card(
        generator=f"bioicons_pipeline {__version__}",
        prompt=wish.prompt,
        caption=wish.caption,
        seed=seed,
        size=settings.size,
        steps=settings.steps,
        guidance=settings.guidance,
        base=BaseFacts(
            name=base.name,
            licence=base.licence.name,
            licence_url=base.licence.url or "",
            commercial_use=bool(base.licence.commercial_use),
            fingerprint=base.fingerprint,
        ),
        adapters=tuple(adapter.facts for adapter in adapters),
        dataset_version=_one(adapter.dataset_version for adapter in adapters),
        upstream_commit=_one(adapter.upstream_commit for adapter in adapters),
        licence_preset=_one(adapter.licence_preset for adapter in adapters),
        notes=tuple(notes),
        **compared,
    )


def _one(values: Iterator[str]) -> str:
    """Distinct values in their order, in one line."""
    return ", ".join(dict.fromkeys(value for value in values if value))


def _earlier(wish: Wish, seed: int, out: Path, stem: str) -> Made | None:
    """The icon of an earlier run, its SVG added if just that is missing; None where it must be made."""
    files, card = files_of(out, stem), card_of(out / f"{stem}.json")
    if card is not None and files.png.is_file():
        vectorised = files.svg is not None and files.svg.is_file()
        if vectorised or not wish.vectors or any("No SVG" in note for note in card.notes):
            return Made(seed, files if vectorised else replace(files, svg=None), card, kept=True)
        if card_of(files.png) == card:  # so the PNG is whole, and of this icon
            return _with_svg(seed, out, stem, card)
    problem = _signed(out, stem)
    return Made(seed, None, None, problem=problem) if problem else None


def _with_svg(seed: int, out: Path, stem: str, card: Card) -> Made:
    """The SVG of a PNG that is there. A card that a person has signed stays as it is, to the byte."""
    with Image.open(out / f"{stem}.png") as picture:
        rgba = picture.convert("RGBA")
    svg, noted, problem = _vectors(rgba, card)
    if noted == card or card.reviews:
        files = add_svg(out, stem, svg, card)
        untold = " ".join(note for note in noted.notes if note not in card.notes)
        return Made(seed, files, card, problem=problem or untold)
    return Made(seed, write_icon(out, stem, rgba, svg, noted), noted, problem=problem)


def _signed(out: Path, stem: str) -> str:
    """Why an icon may not be drawn again: a person signed what is left of it. "" where nobody did."""
    cards = (card_of(out / f"{stem}{suffix}") for suffix in (".json", ".png", ".svg"))
    if not any(card.reviews for card in cards if card is not None):
        return ""
    return (
        f"{stem} has a person's sign-off and would be written over: one of its files is missing, damaged or "
        "has another card. Put it back, or move the others elsewhere."
    )
