"""`bioicons evaluate`: is a LoRA better than its base, and which of several is best.

Belongs here: options, progress bars and sentences of this verb. Does not belong here: figures and page
(evaluation/), what is evaluated on what (orchestration/stages/evaluation).
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from bioicons_pipeline.cli_display import AsJson, library_categories, say_json
from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.settings import Settings, get_settings

if TYPE_CHECKING:
    from bioicons_pipeline.evaluation.records import Evaluation
    from bioicons_pipeline.generation.adapters import Adapter
    from bioicons_pipeline.orchestration.workshop import Stock
    from bioicons_pipeline.training.base_models import BaseModel


class InterruptedEvaluationError(BioiconsError):
    """Ctrl-C; nothing was written."""

    exit_code = 130


def evaluate(
    category: Annotated[
        str | None,
        typer.Option(help="Scientific category: its LoRA, and its held-out icons; default: the library."),
    ] = None,
    base: Annotated[str | None, typer.Option(help="Base model: a name or a diffusers folder.")] = None,
    lora: Annotated[
        list[str] | None,
        typer.Option(
            help="A trained category, 'library', or a .safetensors file; with =SCALE for its strength; "
            "several times to compare several. Default: that of --category, else of the library.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for report.html, report.json and plots.")] = Path(
        "evaluation"
    ),
    count: Annotated[int, typer.Option(min=2, max=2000, help="Pictures that each model draws.")] = 32,
    seed: Annotated[
        int, typer.Option(min=0, max=2**31 - 1, help="Seed of noise and of the first picture.")
    ] = 0,
    steps: Annotated[
        int | None,
        typer.Option(min=1, max=500, help="Denoising steps; default: what suits the base, mostly 28."),
    ] = None,
    embeddings: Annotated[
        str,
        typer.Option(
            help="Folder or hub id of a CLIP or DINOv2 model: adds what it says of looks and wording.",
            show_default=False,
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Compare LoRAs with their base on icons that no model has seen: one HTML page, one JSON.

    Every figure comes with an interval and with its bounds: real icons, the base, chance. One that cannot
    tell real icons from noise on your icons is not reported, and the page says so.
    """
    from bioicons_pipeline.evaluation.report import make_report, summary
    from bioicons_pipeline.orchestration.stages.evaluation import PAGE, Plan, compare, report_files
    from bioicons_pipeline.whole import check_writable, write_whole

    settings = get_settings()
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    stock, model, adapters = _chosen(settings, base or settings.base, category, lora)
    console.print(f"{escape(', '.join(found.name for found in adapters))} on {escape(model.name)}")
    check_writable(out)
    plan = Plan(category, count, seed, {"steps": steps} if steps else {}, embeddings)
    try:
        with Phases(console) as show:
            found = compare(stock, settings.work_dir, model, adapters, plan, show)
    except KeyboardInterrupt as error:
        raise InterruptedEvaluationError(
            f"Stopped, nothing was written to {out}. Encodings are kept; the same command starts over."
        ) from error
    title = f"{_names(found)} on {model.name}: better than the base?"
    for path, data in report_files(make_report(found, title)).items():
        write_whole(out / path, data)
    if as_json:
        say_json(summary(found) | {"report": out / PAGE})
        return
    _summary(found)
    typer.echo(f"Report: {out / PAGE}")


def _chosen(
    settings: Settings, base_name: str, category: str | None, loras: list[str] | None
) -> "tuple[Stock, BaseModel, list[Adapter]]":
    """Store, base and adapters of a call; refuses before anything heavy is loaded.

    Raises:
        NoLibraryError: a category is asked for, and nothing was run yet.
        NotTrainedError: there is no such LoRA; says what trains it.
    """
    from bioicons_pipeline.orchestration.stages.manifest import check_category
    from bioicons_pipeline.orchestration.workshop import (
        NotTrainedError,
        Stock,
        named_adapter,
        suitable_adapter,
        what_is_missing,
    )
    from bioicons_pipeline.store import Store
    from bioicons_pipeline.training.base_models import resolve_base

    stock = Stock(Store(settings.resolved_store_root), settings.cache_dir)
    base = resolve_base(base_name, settings.bases_dir)
    if category is not None:
        check_category(category, library_categories(stock.store))
    if loras:
        return stock, base, [named_adapter(stock, base, text) for text in loras]
    suits = suitable_adapter(stock, base, category)
    if suits is None:
        missing = what_is_missing(stock, base, category, base_name)
        raise NotTrainedError(f"There is nothing to evaluate. {missing}.")
    return stock, base, [suits]


class Phases:
    """One bar a phase on a terminal, a line when it is done elsewhere."""

    def __init__(self, console: Console) -> None:
        columns = (
            TextColumn("{task.description:<32}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        self.console = console
        self.tasks: dict[str, TaskID] = {}
        self.bars = Progress(*columns, console=console, disable=not console.is_terminal)

    def __enter__(self) -> Callable[[str, int, int], None]:
        self.bars.start()
        return self.show

    def __exit__(self, *_exc: object) -> None:
        self.bars.stop()

    def show(self, phase: str, done: int, total: int) -> None:
        """Draw how far a phase is."""
        if not self.console.is_terminal:
            if done == total and phase not in self.tasks:
                self.tasks[phase] = TaskID(0)
                self.console.print(f"  {escape(phase)}: {total}")
            return
        if phase not in self.tasks:
            self.tasks[phase] = self.bars.add_task(escape(phase), total=total)
        self.bars.update(self.tasks[phase], completed=done, total=total)


def _names(found: "Evaluation") -> str:
    return ", ".join(found.models[1:])


def _summary(found: "Evaluation") -> None:
    """One line a verdict on stdout, and which figures are left out."""
    for name in found.models[1:]:
        typer.echo(name)
        for one in found.measures:
            if one.reported and name in one.verdicts:
                said = one.verdicts[name]
                typer.echo(f"  {said.state:<7} {said.sentence}")
    for one in found.measures:
        if not one.reported:
            typer.echo(f"left out: {one.title}. {one.why_not}")
