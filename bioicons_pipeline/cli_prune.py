"""`bioicons prune`: deletes what nothing refers to any more.

Belongs here: options and words of this verb. Does not belong here: what is kept (`store/prune.py`).
"""

from dataclasses import asdict
from typing import Annotated

import typer

from bioicons_pipeline.cli_dataset import readable_bytes
from bioicons_pipeline.cli_display import AsJson, progress_bars, say_json
from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.settings import get_settings

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S


def prune(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be deleted, and delete nothing.")
    ] = False,
    keep_days: Annotated[
        float, typer.Option(min=3, help="Keep what was used within so many days, whatever refers to it.")
    ] = 14,
    as_json: AsJson = False,
) -> None:
    """Delete versions in the store that nothing refers to any more, and their files.

    Kept are: what each asset shows now, the datasets that its LoRAs were trained on, everything that was
    published, and what was in use lately. Checkpoints of trainings that were given up go
    too. It may run beside other commands, and may be stopped at any time.
    """
    from bioicons_pipeline.store import Store
    from bioicons_pipeline.training.files import CHECKPOINTS_ASSET

    settings = get_settings()
    # nothing names the dataset of a training in progress until its adapter is there
    if keep_days * DAY_S <= settings.training_hours * HOUR_S:
        raise BioiconsError(
            f"A training may take {settings.training_hours:g} hours here (BIOICONS_TRAINING_HOURS), and what "
            "it reads must stay: give more --keep-days."
        )
    store = Store(settings.resolved_store_root)
    with progress_bars() as bar:
        done = store.prune(
            keep_days * DAY_S,
            lapsing=(CHECKPOINTS_ASSET,),
            dry_run=dry_run,
            progress=bar("looking at files"),
        )
    if as_json:
        say_json({"dry_run": dry_run, **asdict(done)})
        return
    verb = "would be deleted" if dry_run else "deleted"
    typer.echo(
        f"{len(done.versions)} versions and {done.blobs} files ({readable_bytes(done.bytes)}) {verb}; "
        f"{done.versions_left} versions and {done.blobs_left} files stay."
    )
