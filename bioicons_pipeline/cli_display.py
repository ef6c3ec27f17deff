"""What several verbs show: progress, results as JSON, and that nothing was fetched or built yet.

Belongs here: drawing progress on a terminal, or as lines where there is none, the option `--json`, and which
command makes what is missing: what a stage says of that is for Dagster's users.
Does not belong here: where the events come from (orchestration/launch).
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from bioicons_pipeline.errors import BioiconsError

if TYPE_CHECKING:
    import pandas as pd

    from bioicons_pipeline.store import Store

AsJson = Annotated[bool, typer.Option("--json", help="The result as JSON on standard output, for scripts.")]
"""The option that every verb with a result to read has."""


def library_manifest(store: "Store") -> "pd.DataFrame":
    """The manifest of the last run, every icon.

    Raises:
        NoLibraryError: nothing was run yet; says what fetches the library.
    """
    from bioicons_pipeline.orchestration.stages.manifest import whole_manifest

    with _fetched():
        return whole_manifest(store)


def library_categories(store: "Store") -> list[str]:
    """The categories of that manifest, also those of which every icon is left out.

    Raises:
        NoLibraryError: nothing was run yet; says what fetches the library.
    """
    from bioicons_pipeline.orchestration.stages.manifest import current_categories

    with _fetched():
        return current_categories(store)


@contextmanager
def _fetched() -> Iterator[None]:
    """Where the manifest of the library is missing, say what makes it to somebody at a command line."""
    from bioicons_pipeline.orchestration.stages.base import MissingInputError

    try:
        yield
    except MissingInputError as error:
        raise NoLibraryError from error


class NoLibraryError(BioiconsError):
    """Nothing was fetched yet into this data folder."""

    def __init__(self) -> None:
        super().__init__("There is no library here yet: fetch it with `bioicons run --until icon_captions`.")


class NotBuiltError(BioiconsError):
    """What is asked for has not been built."""


def not_built(store: "Store", category: str | None) -> BioiconsError:
    """The error for a dataset that is not there; a misspelt category is told with the names there are."""
    from bioicons_pipeline.orchestration.stages.manifest import check_category

    if category is None:
        return NotBuiltError(
            "There is no library-wide dataset yet: make it with `bioicons run --until icon_dataset`, or give "
            "a --category."
        )
    try:
        check_category(category, library_categories(store))
    except NoLibraryError:
        pass  # nothing was run here, so nobody knows which categories there are
    except BioiconsError as error:
        return error
    return NotBuiltError(
        f"There is no dataset of {category} yet: make it with "
        f"`bioicons run --category {category} --until icon_dataset`."
    )


def say_json(data: Any) -> None:
    """Print `data` as JSON on stdout; paths as text."""
    typer.echo(json.dumps(data, indent=1, ensure_ascii=False, default=str))


def say_table(table: Table) -> None:
    """Print a table on stdout whose names are never cut: they are to be typed again. A terminal folds them;
    elsewhere a row is one line, however long."""
    for column in table.columns:
        column.overflow = "fold"
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = 10_000
    console.print(table)


Bar = Callable[[int, int], None]
"""Moves a bar: done, total; a total of 0 is one that nobody knows."""


@contextmanager
def progress_bars(console: Console | None = None) -> Iterator[Callable[[str], Bar]]:
    """A function that opens a bar under a text; on standard error, and gone when the block is left."""
    columns = (
        TextColumn("{task.description:<22}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console or Console(stderr=True), transient=True) as bars:

        def opened(text: str) -> Bar:
            task = bars.add_task(text, total=None)
            return lambda done, total: bars.update(task, completed=done, total=total or None)

        yield opened


class Display:
    """One line a stage: a live bar on a terminal, a line at start and end elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.live = console.is_terminal
        self.bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.fields[stage]:<22}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=console,
            disable=not self.live,
        )
        self.tasks: dict[str, TaskID] = {}
        self.last = ""

    def __enter__(self) -> "Display":
        self.bars.start()
        return self

    def __exit__(self, *_exc) -> None:
        self.bars.stop()

    def show(self, progress) -> None:
        """Draw one progress event."""
        text = escape(progress.text)
        if not self.live:
            count = f" {progress.done}" if progress.done is not None else ""
            line = f"  {progress.stage:<22} {text}{count}"
            if (progress.done is None or progress.done == progress.total) and line != self.last:
                self.console.print(line)
                self.last = line
            return
        if progress.stage not in self.tasks:
            self.tasks[progress.stage] = self.bars.add_task(text, total=None, stage=progress.stage)
        task = self.tasks[progress.stage]
        if progress.done is not None:
            self.bars.update(task, description=text, completed=progress.done, total=progress.total)
        elif progress.text == "done":
            total = self.bars.tasks[self.bars.task_ids.index(task)].total or 1
            self.bars.update(task, description="done", completed=total, total=total)
        else:
            self.bars.update(task, description=text)
