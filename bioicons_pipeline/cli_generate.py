"""`bioicons generate` and `bioicons review`: new icons, and a person's word on them.

Belongs here: options, progress bars and sentences of these verbs; which LoRA a name means. Does not belong
here: how an icon is made (generation/).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.settings import Settings, get_settings

if TYPE_CHECKING:
    from bioicons_pipeline.generation.adapters import Adapter
    from bioicons_pipeline.generation.make import Made, Workshop
    from bioicons_pipeline.store import Store
    from bioicons_pipeline.training.base_models import BaseModel

LIBRARY = "library"
"""What the LoRA of the whole library is called on the command line."""


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
    steps: Annotated[int, typer.Option(help="Denoising steps.")] = 28,
    guidance: Annotated[float, typer.Option(help="How closely to follow the prompt.")] = 3.5,
    size: Annotated[
        int | None,
        typer.Option(help="Side in px; default: what the LoRA was trained at.", show_default=False),
    ] = None,
    batch: Annotated[
        int,
        typer.Option(help="Icons sampled together: faster for small ones, and pixels differ by rounding."),
    ] = 1,
    svg: Annotated[bool, typer.Option("--svg/--no-svg", help="Editable SVG beside the PNG.")] = True,
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
        with _bars(console) as bars:
            task = bars.add_task("drawing", total=None)
            for icon in make_icons(
                wish,
                workshop,
                out,
                progress=lambda done, total: bars.update(task, completed=done, total=total),
            ):
                made.append(icon)
                bars.console.print(_line(icon))
    except KeyboardInterrupt as error:
        finished = sum(icon.files is not None for icon in made)
        raise InterruptedGenerationError(
            f"Stopped. {finished} of {count} icons are in {out}; the same command makes the rest."
        ) from error
    _report(made, out)


def _line(icon: "Made") -> str:
    """One icon in one line of the terminal (rich markup)."""
    if icon.files is None or icon.card is None:
        return f"  seed {icon.seed}: [yellow]nothing drawn[/] {escape(icon.problem)}"
    line = f"  {escape(icon.files.png.name)}" + (" (was there)" if icon.kept else "")
    if icon.card.likely_copy:
        line += f"  [red]likely a copy ({icon.card.copy_score:.2f})[/]"
    return line + (f"  [yellow]{escape(icon.problem)}[/]" if icon.problem else "")


def _report(made: "list[Made]", out: Path) -> None:
    """The contact sheet, and what is to be known of the icons, on stdout."""
    from PIL import Image

    from bioicons_pipeline.generation.carriers import png_bytes
    from bioicons_pipeline.generation.sheet import contact_sheet
    from bioicons_pipeline.library.whole import write_whole

    there = sorted(
        ((icon.seed, icon.files, icon.card) for icon in made if icon.files and icon.card),
        key=lambda icon: icon[0],
    )
    if not there:
        raise BioiconsError("The model drew nothing on any of the icons: try another seed or more steps.")
    shown = []
    for seed, files, card in there:
        with Image.open(files.png) as picture:
            label = f"seed {seed}" + (" · likely a copy" if card.likely_copy else "")
            shown.append((picture.convert("RGBA"), label, card.likely_copy))
    _, first, card = there[0]
    target = out / f"overview-{first.png.stem.rsplit('-', 1)[0]}.png"
    write_whole(target, png_bytes(contact_sheet(shown)))
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
    from bioicons_pipeline.generation.make import Workshop
    from bioicons_pipeline.generation.sampler import (
        SamplingSettings,
        check_settings,
        load_pipeline,
    )
    from bioicons_pipeline.orchestration.stages.weights import training_config
    from bioicons_pipeline.store import Store
    from bioicons_pipeline.training.base_models import resolve_base

    store = Store(settings.resolved_store_root)
    base = resolve_base(base_name, settings.cache_dir)
    adapters = _adapters(store, settings, base, category, loras, console)
    suits = training_config(base, {})
    known = {
        "size": next((found.resolution for found in adapters if found.resolution), suits.resolution),
        "max_sequence_length": next(
            (found.t5_length for found in adapters if found.t5_length), suits.t5_length
        ),
    }
    sampling = SamplingSettings(**known | {key: value for key, value in choices.items() if value is not None})
    check_settings(sampling)
    return Workshop(
        base=base,
        adapters=adapters,
        settings=sampling,
        pipeline=lambda: load_pipeline(base, [found.path for found in adapters]),
        training=_training_icons(store, settings, adapters, console),
    )


def _adapters(
    store: "Store", settings: Settings, base: "BaseModel", category: str | None, loras: list[str] | None,
    console: Console,
) -> "list[Adapter]":  # fmt: skip
    """The LoRAs that were asked for; without a word about them the one that suits, if there is one."""
    if loras is not None:
        return [_adapter(store, settings, base, text) for text in loras]
    for name in (category, LIBRARY) if category else (LIBRARY,):
        try:
            return [_adapter(store, settings, base, name)]
        except NotTrainedError:
            continue
    if category:
        _check_category(store, category)
    run = f"bioicons run{f' --category {category}' if category else ''} --base {base.name}"
    console.print(
        f"[yellow]There is no LoRA on {base.name} yet, so this is the base alone, not bioicons style:[/] "
        f"train one with `{run}`."
    )
    return []


class NotTrainedError(BioiconsError):
    """There is no LoRA of this name on this base."""


def _adapter(store: "Store", settings: Settings, base: "BaseModel", text: str) -> "Adapter":
    """`NAME` or `NAME=SCALE`; a name is a category, `library`, or a file."""
    from bioicons_pipeline.generation.adapters import read_adapter
    from bioicons_pipeline.library.whole import write_whole
    from bioicons_pipeline.orchestration.stages import base as names
    from bioicons_pipeline.orchestration.stages.weights import ref_name
    from bioicons_pipeline.store.names import ALL
    from bioicons_pipeline.training.files import WEIGHTS_NAME

    name, _, strength = text.rpartition("=")
    if not name:
        name, strength = text, "1"
    try:
        scale = float(strength)
    except ValueError:
        raise BioiconsError(
            f"The scale {strength!r} of LoRA {name} is no number: write e.g. {name}=0.8."
        ) from None
    if name.endswith(".safetensors") or Path(name).is_file():
        return read_adapter(Path(name), base, scale=scale)
    ref = store.get_ref(names.WEIGHTS, partition=None if name == LIBRARY else name, base=ref_name(base))
    trained = sorted(
        LIBRARY if key == ALL else key
        for key, found in store.list_refs(names.WEIGHTS, ref_name(base)).items()
        if (found.info or {}).get("status") == "trained"
    )
    if ref is None or (ref.info or {}).get("status") != "trained":
        there = (
            f"there are {', '.join(trained)}" if trained else "none is trained yet: see `bioicons run --help`"
        )
        raise NotTrainedError(f"There is no LoRA {name!r} on {base.name}; {there}.")
    version = store.version(ref.version_id)
    entry = version.entry(WEIGHTS_NAME)
    target = settings.cache_dir / "adapters" / f"{entry.sha256}.safetensors"
    if not target.is_file() or target.stat().st_size != entry.size:
        write_whole(target, store.read(version, WEIGHTS_NAME))
    return read_adapter(target, base, name=name, scale=scale, version=ref.version_id)


def _check_category(store: "Store", category: str) -> None:
    """A misspelt category is told with the names there are; nothing where nothing was run yet."""
    from bioicons_pipeline.orchestration.pipeline import check_category
    from bioicons_pipeline.orchestration.stages import base as names
    from bioicons_pipeline.orchestration.stages import manifest

    try:
        known = manifest.current_categories(store)
    except names.MissingInputError:
        return
    check_category(category, known)


def _training_icons(store: "Store", settings: Settings, adapters: "list[Adapter]", console: Console):
    """The icons to compare with: those of the datasets of all adapters, if all are at hand."""
    from bioicons_pipeline.generation.training_icons import read_training_icons
    from bioicons_pipeline.store import StoreError

    datasets = [found.dataset_version for found in adapters]
    if not datasets or not all(datasets):
        return None
    try:
        with _bars(console) as bars:
            task = bars.add_task("reading training icons", total=None)
            return read_training_icons(
                store,
                datasets,
                settings.cache_dir / "copies",
                progress=lambda done, total: bars.update(task, completed=done, total=total),
            )
    except StoreError as error:
        console.print(f"[yellow]No comparison with training icons:[/] {escape(str(error))}")
        return None


def _bars(console: Console):
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True)


def review(
    file: Annotated[Path, typer.Argument(help="The .png, .svg or .json of a generated icon.")],
    reviewer: Annotated[str, typer.Option(help="Your ORCID iD, e.g. 0000-0002-1825-0097.")],
    verdict: Annotated[str, typer.Option(help="approved, needs-work or rejected.")],
    note: Annotated[str, typer.Option(help="What you remarked.")] = "",
) -> None:
    """Record a person's sign-off in an icon's card, in all its files; earlier ones stay."""
    from bioicons_pipeline.generation.review import review as record

    done = record(file, reviewer, verdict, note=note)
    typer.echo(f"{done.card.status}: {', '.join(path.name for path in done.files)}")
