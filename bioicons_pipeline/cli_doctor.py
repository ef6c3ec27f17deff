"""`bioicons doctor`: what this machine has and lacks.

Belongs here: the option and the table of this verb. Does not belong here: the checks (doctor).
"""

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bioicons_pipeline.cli_display import AsJson, say_json
from bioicons_pipeline.settings import get_settings

COLOURS = {"ok": "green", "note": "yellow", "problem": "bold red"}


def doctor(as_json: AsJson = False) -> None:
    """Look at this machine: what is there, what is missing, what to do about it.

    Nothing is written and no other machine is asked. Exits with 2 where something must be mended.
    """
    from bioicons_pipeline.doctor import examine

    errors = Console(stderr=True)
    findings = []
    with errors.status("Looking") as status:
        for finding in examine(get_settings()):
            findings.append(finding)
            status.update(f"Looking beyond {finding.check}")
    problems = sum(finding.state == "problem" for finding in findings)
    if as_json:
        say_json([finding.as_row() for finding in findings])
        raise typer.Exit(2 if problems else 0)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        said = f"{finding.found}: {finding.meaning}"
        if finding.advice and finding.state != "ok":
            said += f"\n→ {finding.advice}"
        colour = COLOURS[finding.state]
        table.add_row(f"[{colour}]{finding.state}[/]", escape(finding.check), escape(said))
    Console(highlight=False).print(table)
    notes = sum(finding.state == "note" for finding in findings)
    if problems:
        typer.echo(f"\n{problems} to mend before the pipeline works as it should.")
        raise typer.Exit(2)
    typer.echo(f"\nReady for `bioicons demo`. {notes} notes on what is optional.")
