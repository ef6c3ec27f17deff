"""`bioicons …`: the command line, thin over the rooms.

Belongs here: which verbs there are, for whom, and how an error ends. The verbs themselves are in cli_*.py.
Every failure that a user can mend is one sentence on stderr and a non-zero exit; a traceback means a bug.
Exit codes: 0 it is done; 2 something is wrong and the sentence says how to mend it; 130 stopped by Ctrl-C;
1 a bug.
"""

import errno
import os
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from bioicons_pipeline import __version__
from bioicons_pipeline.cli_dataset import export_app, publish_app
from bioicons_pipeline.cli_doctor import doctor
from bioicons_pipeline.cli_evaluate import evaluate
from bioicons_pipeline.cli_generate import generate, review
from bioicons_pipeline.cli_lora import publish_lora
from bioicons_pipeline.cli_manifest import gallery, manifest
from bioicons_pipeline.cli_plan import plan
from bioicons_pipeline.cli_prune import prune
from bioicons_pipeline.cli_run import StoppedError, demo, run
from bioicons_pipeline.cli_search import search
from bioicons_pipeline.cli_studio import studio
from bioicons_pipeline.cli_sweep import sweep
from bioicons_pipeline.cli_upstream import upstream_report
from bioicons_pipeline.cli_verify import verify
from bioicons_pipeline.errors import BioiconsError

START = "Start here"
SCIENTIST = "Scientist: icons for a figure"
ENGINEER = "Engineer: datasets and LoRAs"
CURATOR = "Curator: what is kept, and why"
"""Parts of `bioicons --help`, by who is asking; each command names its own, with a line that fits."""


class ByPerson(TyperGroup):
    """The verbs, grouped by who is asking, on one screen of 80 x 24; a verb's own help is Typer's."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # typer's own click, not the package
        """Usage, verbs, options and exit codes, a line each."""
        options = [max(one.opts, key=len) for one in self.get_params(ctx)]
        shown = " | ".join(name for name in options if name not in ("--help", "--show-completion"))
        lines = [f"Usage: bioicons VERB … | VERB --help | {shown}"]
        width = max(map(len, self.commands))
        for part in (START, SCIENTIST, ENGINEER, CURATOR):
            lines.append(typer.style(part, bold=True))
            for name, verb in self.commands.items():
                if getattr(verb, "rich_help_panel", None) == part:
                    lines.append(f"  {name:<{width}}  {verb.get_short_help_str(limit=60)}")
        formatter.write("\n".join([*lines, self.epilog or "", ""]))


app = typer.Typer(
    name="bioicons",
    cls=ByPerson,
    help="From the open bioicons library to a licence-clean dataset, a LoRA, new icons.",
    epilog="Exit codes: 0 done, 2 the message says what to change, 130 Ctrl-C, 1 a bug.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


def _version(show: bool) -> None:
    if show:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """From the open bioicons library to a licence-clean dataset, a LoRA, new icons."""


for verb, panel, line in (
    (doctor, START, "What this machine has and lacks."),
    (demo, START, "The whole pipeline on a small packaged library."),
    (search, SCIENTIST, "Icons that people drew, with the text to cite."),
    (generate, SCIENTIST, "New icons: transparent PNG, SVG, a card."),
    (review, SCIENTIST, "Record a person's sign-off on an icon."),
    (studio, SCIENTIST, "Search and draw on a page in the browser."),
    (run, ENGINEER, "From the library to dataset, LoRA, sample grid."),
    (plan, ENGINEER, "What a run would rebuild and retrain, and how long."),
    (sweep, ENGINEER, "Compare learning rates, steps and ranks."),
    (evaluate, ENGINEER, "Is a LoRA better than its base?"),
    (prune, ENGINEER, "Delete versions that nothing refers to."),
    (manifest, CURATOR, "Every icon as a table: author, licence, in or out."),
    (gallery, CURATOR, "Every icon as static HTML, and why it was dropped."),
    (upstream_report, CURATOR, "What bioicons itself could mend, as files to merge."),
    (verify, CURATOR, "Our pictures beside what Chromium shows."),
):
    app.command(rich_help_panel=panel, short_help=line)(verb)
publish_app.command("lora", short_help="The newest LoRA, with card, credits, gallery.")(publish_lora)
app.add_typer(
    export_app, name="export", rich_help_panel=ENGINEER, short_help="Write what was built into a folder."
)
app.add_typer(
    publish_app, name="publish", rich_help_panel=ENGINEER, short_help="Push what was built to the hub."
)


def main() -> None:
    """Entry point of the `bioicons` command."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        app()
    except StoppedError as error:
        console.print(escape(str(error)))
        sys.exit(error.exit_code)
    except BioiconsError as error:
        console.print(f"[bold red]Error:[/] {escape(str(error))}")
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT) or error.filename is not None:
            raise
        console.print(f"[bold red]Error:[/] the output cannot be written ({error.strerror}).")
        # what is still buffered would fail once more when Python exits
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(2)


if __name__ == "__main__":
    main()
