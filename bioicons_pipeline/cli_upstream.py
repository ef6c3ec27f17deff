"""`bioicons upstream-report`: what the bioicons maintainers could mend, as files that they can merge.

Belongs here: options, progress bar and sentences of this verb. Does not belong here: the findings
(library/upstream) and what is written of them (library/upstream_files).
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from bioicons_pipeline.cli_display import AsJson, library_manifest, say_json
from bioicons_pipeline.settings import get_settings


def upstream_report(
    out: Annotated[Path, typer.Option(help="Folder to write; an older report there is replaced.")],
    as_json: AsJson = False,
) -> None:
    """For the library itself: better names, tags, duplicates, doubtful licences, broken files.

    A page to read, a CSV for each kind of finding, icons.json as the tree has it, and a script of `git mv`
    that nobody has run. All of it comes from the manifest of the last run; nothing is sent anywhere.
    """
    from bioicons_pipeline.captioning.respelling import respell, tags_of
    from bioicons_pipeline.library.upstream import Spelling
    from bioicons_pipeline.library.upstream import upstream_report as find
    from bioicons_pipeline.library.upstream_files import TABLES, check_out, counts, write_report
    from bioicons_pipeline.orchestration.stages.base import SNAPSHOT, require_ref
    from bioicons_pipeline.store import Store

    check_out(out)
    store = Store(get_settings().resolved_store_root)
    frame = library_manifest(store)
    snapshot = require_ref(store, SNAPSHOT, None).info or {}

    def spell(stem: str) -> Spelling | None:
        found = respell(stem)
        return found and Spelling(found.name, f"{', '.join(found.kinds)}: {'; '.join(found.changes)}")

    columns = (TextColumn("reading names"), BarColumn(bar_width=24), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("", total=None)
        report = find(
            frame, spell, tags_of, lambda done, total: bars.update(task, completed=done, total=total)
        )
    source, commit = str(snapshot.get("source_url")), str(snapshot.get("commit") or "unknown")
    if not source.startswith(("https://", "http://")):
        source = "a copy of the library"  # strangers read it: no path of this machine
    files = write_report(report, out, source, commit)
    found = counts(report)
    if as_json:
        say_json({"folder": out, "commit": commit, "found": found, "files": files})
        return
    for table, (name, title) in TABLES.items():
        typer.echo(f"{found[table]:>6}  {title} ({name})")
    typer.echo(f"{found['moves']:>6}  renames (rename.sh), proposed and not run")
    typer.echo(f"Read first: {files[0]}")
