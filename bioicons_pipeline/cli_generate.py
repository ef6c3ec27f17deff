"""`bioicons generate` and `bioicons review`: new icons, and a person's word on them.

Belongs here: options, progress bars and sentences of these verbs. Does not belong here: how an icon is made
(generation/), which LoRA a name means (orchestration/workshop).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from bioicons_pipeline.cli_display import AsJson, progress_bars, say_json
from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.settings import Settings, get_settings

if TYPE_CHECKING:
    from bioicons_pipeline.generation.make import Made, Workshop


class InterruptedGenerationError(BioiconsError):
    """Ctrl-C; what was finished is there."""

    exit_code = 130


def generate(
    prompt: Annotated[str, typer.Argument(help='What to draw, e.g. "a tardigrade, side view".')],
    category: Annotated[
        str | None,
        typer.Option(help="Scientific category: its LoRA, where it has one, and its words in the prompt."),
    ] = None,
    count: Annotated[int, typer.Option(help="How many icons.")] = 4,
    seed: Annotated[int, typer.Option(help="Seed of the first icon; the next ones count up from it.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for PNG, SVG and cards.")] = Path("icons"),
    base: Annotated[str | None, typer.Option(help="Base model: a name or a diffusers folder.")] = None,
    lora: Annotated[
        list[str] | None,
        typer.Option(
            help="A trained category, 'library', or a .safetensors file; with =SCALE for its strength "
            "(0 to 2); several times for several. Default: that of --category, else of the library.",
            show_default=False,
        ),
    ] = None,
    no_lora: Annotated[bool, typer.Option("--no-lora", help="The base model alone.")] = False,
    steps: Annotated[
        int | None,
        typer.Option(help="Denoising steps; default: what suits the base, mostly 28.", show_default=False),
    ] = None,
    guidance: Annotated[
        float | None,
        typer.Option(
            help="How closely to follow the prompt; default: what suits the base, mostly 3.5.",
            show_default=False,
        ),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(help="Side in px; default: what the LoRA was trained at.", show_default=False),
    ] = None,
    batch: Annotated[
        int,
        typer.Option(help="Icons sampled together: faster for small ones, and pixels differ by rounding."),
    ] = 1,
    svg: Annotated[bool, typer.Option("--svg/--no-svg", help="Editable SVG beside the PNG.")] = True,
    as_json: AsJson = False,
) -> None:
    """Draw new icons: transparent PNG, editable SVG, and a card that says where each comes from.

    Look first whether a person has drawn it: `bioicons search`. The same command again makes only what is
    missing. Icons that resemble a training icon too much are marked, with the icon to use and cite instead.
    """
    from bioicons_pipeline.generation.make import Wish, make_icons

    settings = get_settings()
    wish = Wish(prompt, category, count, seed, svg)
    if no_lora and lora:
        raise BioiconsError("--no-lora and --lora exclude each other: leave one of them out.")
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    workshop = _workshop(
        settings, base or settings.base, category, [] if no_lora else lora, console,
        {"steps": steps, "guidance": guidance, "size": size, "batch": batch},
    )  # fmt: skip
    names = ", ".join(f"{found.name} ({found.scale:g})" for found in workshop.adapters) or "no LoRA"
    console.print(
        f"{escape(wish.caption)}\n{workshop.base.name}, {escape(names)}, {workshop.settings.size} px"
    )
    made: list[Made] = []
    try:
        with progress_bars(console) as bar:
            for icon in make_icons(wish, workshop, out, progress=bar("drawing")):
                made.append(icon)
                console.print(_line(icon))
    except KeyboardInterrupt as error:
        finished = sum(icon.files is not None for icon in made)
        raise InterruptedGenerationError(
            f"Stopped. {finished} of {count} icons are in {out}; the same command makes the rest."
        ) from error
    _report(made, out, as_json)


def _as_row(icon: "Made") -> dict[str, Any]:
    """An icon for scripts; files and card are None where nothing was drawn."""
    row: dict[str, Any] = {"seed": icon.seed, "problem": icon.problem, "files": None, "card": None}
    if icon.files is not None and icon.card is not None:
        row["files"] = {"png": icon.files.png, "svg": icon.files.svg, "card": icon.files.card}
        more = {"status": icon.card.status, "cite_instead": icon.card.cite_instead}
        row["card"] = icon.card.model_dump(mode="json") | more
    return row


def _line(icon: "Made") -> str:
    """One icon in one line of the terminal (rich markup)."""
    if icon.files is None or icon.card is None:
        return f"  seed {icon.seed}: [yellow]nothing drawn[/] {escape(icon.problem)}"
    line = f"  {escape(icon.files.png.name)}" + (" (was there)" if icon.kept else "")
    if icon.card.likely_copy:
        line += f"  [red]likely a copy ({icon.card.copy_score:.2f})[/]"
    return line + (f"  [yellow]{escape(icon.problem)}[/]" if icon.problem else "")


def _report(made: "list[Made]", out: Path, as_json: bool) -> None:
    """The contact sheet, and what is to be known of the icons, on stdout."""
    from PIL import Image

    from bioicons_pipeline.generation.carriers import png_bytes
    from bioicons_pipeline.generation.sheet import contact_sheet
    from bioicons_pipeline.whole import write_whole

    there = sorted(
        ((icon.seed, icon.files, icon.card) for icon in made if icon.files and icon.card),
        key=lambda icon: icon[0],
    )
    if not there:
        problems = "; ".join(dict.fromkeys(icon.problem for icon in made))
        raise BioiconsError(f"There is no icon to show. {problems}")
    shown = []
    for seed, files, card in there:
        with Image.open(files.png) as picture:
            label = f"seed {seed}" + (" · likely a copy" if card.likely_copy else "")
            shown.append((picture.convert("RGBA"), label, card.likely_copy))
    _, first, card = there[0]
    target = out / f"overview-{first.png.stem.rsplit('-', 1)[0]}.png"
    write_whole(target, png_bytes(contact_sheet(shown)))
    if as_json:
        say_json({"overview": target, "icons": [_as_row(icon) for icon in made]})
        return
    typer.echo(f"{len(there)} icons in {out}, side by side in {target}")
    for seed, _, other in there:
        if other.likely_copy:
            typer.echo(f"seed {seed} is likely a copy; use and cite instead: {other.cite_instead}")
    typer.echo(f"{card.status}. A person's word: bioicons review FILE --reviewer ORCID --verdict …")
    if not card.base.commercial_use:
        typer.echo(f"No commercial use: {card.base.licence}")


def _workshop(
    settings: Settings, base_name: str, category: str | None, loras: list[str] | None, console: Console,
    choices: dict[str, Any],
) -> "Workshop":  # fmt: skip
    """Base, adapters, settings and training icons of a call; refuses before anything heavy is loaded."""
    from bioicons_pipeline.orchestration.workshop import (
        Stock,
        check_known,
        make_workshop,
        named_adapter,
        suitable_adapter,
        what_is_missing,
    )  # fmt: skip
    from bioicons_pipeline.store import Store
    from bioicons_pipeline.training.base_models import resolve_base

    stock = Stock(Store(settings.resolved_store_root), settings.cache_dir)
    base = resolve_base(base_name, settings.bases_dir)
    if category is not None:
        check_known(stock.store, category)
    if loras is not None:
        adapters = [named_adapter(stock, base, text) for text in loras]
    elif suits := suitable_adapter(stock, base, category):
        adapters = [suits]
    else:
        adapters = []
        console.print(
            "[yellow]This is the base alone, not bioicons style.[/] "
            f"{escape(what_is_missing(stock, base, category, base_name))}."
        )
    with progress_bars(console) as bar:
        return make_workshop(
            stock, base, adapters, choices,
            warn=lambda text: console.print(f"[yellow]{escape(text)}[/]"),
            progress=bar("reading training icons"),
        )  # fmt: skip


def review(
    file: Annotated[Path, typer.Argument(help="The .png, .svg or .json of a generated icon.")],
    reviewer: Annotated[str, typer.Option(help="Your ORCID iD, e.g. 0000-0002-1825-0097.")],
    verdict: Annotated[str, typer.Option(help="approved, needs-work or rejected.")],
    note: Annotated[str, typer.Option(help="What you remarked.")] = "",
    as_json: AsJson = False,
) -> None:
    """Record a person's sign-off in an icon's card, in all its files; earlier ones stay."""
    from bioicons_pipeline.generation.review import review as record

    done = record(file, reviewer, verdict, note=note)
    if as_json:
        reviews = [one.model_dump(mode="json") for one in done.card.reviews]
        say_json({"status": done.card.status, "reviews": reviews, "files": done.files})
        return
    typer.echo(f"{done.card.status}: {', '.join(path.name for path in done.files)}")
