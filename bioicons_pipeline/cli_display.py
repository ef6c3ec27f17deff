"""What `bioicons run` shows while a run goes on.

Belongs here: drawing progress events on a terminal, or as lines where there is none. Does not belong here:
where the events come from (orchestration/launch).
"""

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
)


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
