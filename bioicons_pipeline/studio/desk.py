"""What the buttons of the studio do, without the page.

Belongs here: one call per button, its words to the person, the files it leaves. Does not belong here: Gradio
(`page`), how anything is searched, drawn or found in the store (handed in as `Services`).

Whatever goes wrong that a person can mend comes back as a sentence to show, never as a traceback.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.generation.found import DrawnHit
from bioicons_pipeline.generation.make import Made, Wish, WishError, Workshop, make_icons
from bioicons_pipeline.generation.provenance import Card
from bioicons_pipeline.generation.search import Found
from bioicons_pipeline.whole import write_whole

MOST_AT_ONCE = 16
FOUND = "found"
"""Folder for what search found, below that of the icons."""
SUITABLE = "what suits the category"
NO_LORA = "none: the base model alone"
Progress = Callable[[int, int], None]


class StoppedError(BioiconsError):
    """Whoever asked for icons wants no more of them; what is finished is kept."""

    def __init__(self) -> None:
        super().__init__("Stopped. What was finished is kept.")


@dataclass(frozen=True)
class Choice:
    """How new icons are to be drawn. lora: a name of `Services.loras`, SUITABLE or NO_LORA; category:
    the one it should suit; scale: its strength, 0 to 2; steps, guidance: None for what suits the base."""

    lora: str = SUITABLE
    category: str | None = None
    scale: float = 1.0
    steps: int | None = None
    guidance: float | None = None


@dataclass(frozen=True)
class Services:
    """What the studio stands on. Every call may raise BioiconsError.

    categories: scientific categories, [] where there is no library yet; loras: names to choose from; model:
    one line on the base model and its licence, or what to do where there is none; search: words, category
    → hits; draw: hits → pictures; workshop: a choice, and whom to tell what is missing → what icons are made
    with; out: folder that keeps everything that is made; steps, guidance: where their sliders stand at first.
    """

    categories: Sequence[str]
    loras: Sequence[str]
    model: str
    search: Callable[[str, str | None], Found]
    draw: Callable[[Found], list[DrawnHit]]
    workshop: Callable[[Choice, Callable[[str], None]], Workshop]
    out: Path
    steps: int = 28
    guidance: float = 3.5


@dataclass(frozen=True)
class Shown:
    """One icon on the page: `picture` for the gallery, `label` under it, `facts` (Markdown) and `credit` to
    copy, `files` to take home: label → path."""

    picture: Path
    label: str
    facts: str
    credit: str
    files: dict[str, Path]


@dataclass(frozen=True)
class Answer:
    """What a button brings: icons, and a sentence (Markdown) about them."""

    icons: tuple[Shown, ...] = ()
    words: str = ""


def look(services: Services, query: str, category: str | None) -> Answer:
    """Icons that people have drawn, for a query."""
    try:
        found = services.search(query, category)
        drawn = [one for one in services.draw(found) if one.svg]
    except BioiconsError as error:
        return Answer(words=_problem(error))
    if not drawn:
        words = "No icon of the library is called that: try other English words, or have it drawn below."
        return Answer(words=words)
    read = f"Searched for “{_safe(found.query)}”. " if found.query else ""
    folder = services.out / FOUND
    return Answer(
        tuple(_found(one, folder) for one in drawn),
        f"{read}{len(drawn)} icons that people have drawn: choose one for its licence and citation.",
    )


def _found(one: DrawnHit, folder: Path) -> Shown:
    row = one.hit.row
    stem = f"{one.stem}-{str(row['sha256'])[:8]}"
    svg, png = folder / f"{stem}.svg", folder / f"{stem}.png"
    write_whole(svg, one.svg)
    write_whole(png, one.png)
    note = f" · {one.hit.note}" if one.hit.note else ""
    facts = (
        f"**{_link(str(row['name']), row['source_url'])}** by {_safe(str(row['author']))} · "
        f"{_safe(str(row['category']))} · {_link(str(row['spdx']), row['licence_url'])}{note}"
    )
    return Shown(png, f"{row['name']} ({row['spdx']})", facts, one.citation, {"PNG": png, "SVG": svg})


def draw(
    services: Services,
    wish: Callable[[], Wish],
    choice: Choice,
    *,
    progress: Progress | None = None,
) -> Iterator[Answer]:
    """New icons of a wish; an answer with all that is finished each time that one more is."""
    notes: list[str] = []
    shown: list[Shown] = []
    try:
        wanted = wish()
        if wanted.count > MOST_AT_ONCE:
            raise WishError(f"The studio draws at most {MOST_AT_ONCE} icons at once: ask for fewer.")
        workshop = services.workshop(choice, notes.append)
        if not workshop.adapters:
            notes.append("Drawn by the base model alone, so this is not bioicons style.")
        for made in make_icons(wanted, workshop, services.out, progress=progress):
            if made.files is None or made.card is None:
                notes.append(f"Seed {made.seed}: {_safe(made.problem)}")
            else:
                shown.append(_made(made))
            yield Answer(tuple(shown), _sentences(shown, notes))
    except BioiconsError as error:
        yield Answer(tuple(shown), _problem(error))
        return
    if not shown:
        yield Answer(words=_sentences(shown, [*notes, "Nothing was drawn: try another seed or more steps."]))


def _made(made: Made) -> Shown:
    assert made.files is not None and made.card is not None
    card, files = made.card, {"PNG": made.files.png, "Card": made.files.card}
    if made.files.svg:
        files["SVG"] = made.files.svg
    label = f"seed {made.seed}" + (" · LIKELY A COPY" if card.likely_copy else "")
    problem = f"  \n{_safe(made.problem)}" if made.problem else ""
    return Shown(made.files.png, label, card_words(card) + problem, card.cite_instead or card.credit, files)


def card_words(card: Card) -> str:
    """A card for reading, in Markdown."""
    terms = "commercial use allowed" if card.base.commercial_use else "**no commercial use**"
    lines = [f"**{_safe(card.status)}** · seed {card.seed} · {_safe(card.base.name)}, {terms}"]
    if card.cite_instead:
        lines.append(f"⚠️ **Likely a copy.** Use and cite instead: {_safe(card.cite_instead)}")
    if card.nearest:
        lines.append("Nearest training icons:")
        near = "\n".join(
            f"- {_link(icon.name, icon.source_url)} by {_safe(icon.author)}, "
            f"{_link(icon.spdx, icon.licence_url)}, {icon.similarity:.2f} alike"
            for icon in card.nearest
        )
        lines.append(f"{near}\n\n(a copy from {card.copy_threshold:.2f} on)")
    lines += [_safe(note) for note in card.notes]
    return "\n\n".join(lines)


def _sentences(shown: Sequence[Shown], notes: Sequence[str]) -> str:
    count = f"{len(shown)} icon{'s' if len(shown) != 1 else ''} drawn. Choose one." if shown else ""
    return "  \n".join([*([count] if count else []), *dict.fromkeys(notes)])


def _problem(error: BioiconsError) -> str:
    return f"⚠️ {_safe(str(error))}"


def _safe(text: str) -> str:
    """Text from strangers (names, authors, prompts) in Markdown: shown as it is, never as markup."""
    escaped = html.escape(text, quote=False)
    return "".join(f"\\{char}" if char in "\\`*_{}[]()#+-!|~<>$" else char for char in escaped)


def _link(text: str, url: object) -> str:
    """A Markdown link, or the text alone where the address is none of the web."""
    address = str(url or "")
    if not address.startswith(("https://", "http://")):
        return _safe(text)
    for char in ' ()<>"\\':
        address = address.replace(char, f"%{ord(char):02X}")
    return f"[{_safe(text)}]({address})"
