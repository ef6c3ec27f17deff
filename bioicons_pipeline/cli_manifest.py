"""`bioicons manifest` and `bioicons gallery`: what the curator reads.

Belongs here: options and output of these verbs. Does not belong here: the manifest (library/manifest), the
pages (library/gallery).
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from bioicons_pipeline.cli_display import AsJson, library_manifest, progress_bars, say_json
from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.settings import get_settings


def manifest(
    format: Annotated[str, typer.Option(help="csv, json or parquet.")] = "csv",
    out: Annotated[
        Path | None, typer.Option(help="File to write; default: standard output.", show_default=False)
    ] = None,
    category: Annotated[str | None, typer.Option(help="One scientific category; default: all.")] = None,
) -> None:
    """The manifest of the last run: every icon, its author, licence, source, and why it is in or out.

    In CSV a text that a spreadsheet would run as a formula gets a leading `'`; JSON and Parquet have every
    name as it is.
    """
    from bioicons_pipeline.orchestration.stages import manifest as stage
    from bioicons_pipeline.orchestration.stages.manifest import check_category
    from bioicons_pipeline.store import Store

    if format not in ("csv", "json", "parquet"):
        raise BioiconsError(f"There is no format {format!r}: choose csv, json or parquet.")
    if format == "parquet" and out is None and sys.stdout.isatty():
        raise BioiconsError("Parquet is not for a terminal: give a file with --out.")
    store = Store(get_settings().resolved_store_root)
    frame = library_manifest(store)
    if get_settings().curation is not None:  # the packaged decisions are about the whole public library
        for note in stage.notes(store):
            typer.echo(note, err=True)
    if category is not None:
        check_category(category, stage.current_categories(store))
        frame = frame.loc[frame["category"] == category]
    if format == "parquet":
        data = stage.to_parquet(frame)
    elif format == "json":
        data = f"{frame.to_json(orient='records', indent=1, force_ascii=False)}\n".encode()
    else:
        from bioicons_pipeline.library.credits import csv_cell

        data = frame.map(csv_cell).to_csv(index=False).encode()
    if out is None:
        sys.stdout.buffer.write(data)
    else:
        from bioicons_pipeline.whole import write_whole

        write_whole(out, data)
        typer.echo(f"{len(frame)} icons in {out}", err=True)


def gallery(
    out: Annotated[Path, typer.Option(help="Folder to write; an older gallery there is replaced.")] = Path(
        "gallery"
    ),
    as_json: AsJson = False,
) -> None:
    """For the curator: a folder of static HTML that shows every icon, kept or dropped, and why."""
    from bioicons_pipeline.library.gallery import write_gallery
    from bioicons_pipeline.orchestration.stages import manifest as stage
    from bioicons_pipeline.store import Store

    settings = get_settings()
    store = Store(settings.resolved_store_root)
    frame = library_manifest(store)
    with progress_bars() as bar:
        index = write_gallery(
            frame,
            stage.pictures(store, settings.cache_dir, settings.workers),
            out,
            captions=stage.current_captions(store),
            progress=bar("drawing pages"),
        )
    if as_json:
        say_json({"icons": len(frame), "index": index})
        return
    typer.echo(f"{len(frame)} icons: open {index}")
