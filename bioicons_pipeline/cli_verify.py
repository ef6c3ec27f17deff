"""`bioicons verify`: what headless Chromium makes of the icons, beside our own pictures of them.

Belongs here: options, progress bar and table of this verb. Does not belong here: the comparison (rendering/).
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bioicons_pipeline.cli_display import AsJson, library_manifest, progress_bars, say_json
from bioicons_pipeline.settings import get_settings


def verify(
    category: Annotated[str | None, typer.Option(help="One scientific category; default: all.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write every comparison to this CSV file.", show_default=False)
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Compare only the first so many icons.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare our pictures of the included icons with what Chromium shows, and list those that differ.

    Chromium is a third opinion beside the two renderers; nothing else depends on it. Needs chromium on PATH.
    """
    from bioicons_pipeline.orchestration.stages import manifest as stage
    from bioicons_pipeline.orchestration.stages.manifest import check_category
    from bioicons_pipeline.rendering import verify as compare
    from bioicons_pipeline.store import Store

    settings = get_settings()
    store = Store(settings.resolved_store_root)
    frame = library_manifest(store)
    if category is not None:
        check_category(category, stage.current_categories(store))
        frame = frame.loc[frame["category"] == category]
    frame = frame.loc[frame["included"]].iloc[:limit]
    with progress_bars() as bar:
        move = bar("comparing")
        svgs = (
            (path, store.read_blob(sha256))
            for path, sha256 in zip(frame["source_path"], frame["sha256"], strict=True)
        )
        shown = compare.verify(
            svgs, workers=settings.workers, progress=lambda done, _: move(done, len(frame))
        )
        rows = list(shown)
    if out is not None:
        import pandas as pd

        from bioicons_pipeline.whole import write_whole

        write_whole(out, pd.DataFrame([row.as_row() for row in rows]).to_csv(index=False).encode())
    found = compare.summary(rows)
    if as_json:
        say_json(found | {"icons_compared": [row.as_row() for row in rows]})
        return
    if found["differ"]:
        table = Table("icon", "ours", "Chromium", "difference", title="Icons to look at")
        for row in rows:
            if row.differs:
                difference = "" if row.difference is None else f"{row.difference:.1f}"
                table.add_row(row.key, row.ours, row.theirs, difference)
        Console().print(table)
    mean = "–" if found["mean_difference"] is None else f"{found['mean_difference']:.2f} of 255"
    typer.echo(f"{found['compared']} of {found['icons']} icons compared, mean difference {mean}")
    typer.echo(f"{len(found['differ'])} differ by more than {compare.DIFFERS:.0f}")
