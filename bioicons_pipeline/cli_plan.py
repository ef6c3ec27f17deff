"""`bioicons plan`: what would be rebuilt and trained if it ran now, and about how long that takes.

Belongs here: options, table and words of this verb. Does not belong here: the comparison
(`orchestration/stages/outlook`) and the figures (`orchestration/durations`).
"""

import json
import warnings
from typing import Annotated, Any

import typer
from rich.table import Table

from bioicons_pipeline.cli_display import say_table
from bioicons_pipeline.settings import get_settings

UNKNOWN = "not yet measured here"


def plan(
    source: Annotated[
        str | None, typer.Option(help="Upstream library, as for `bioicons run`.", show_default=False)
    ] = None,
    ref: Annotated[str | None, typer.Option(help="Commit, tag or branch; default: the newest.")] = None,
    base: Annotated[str | None, typer.Option(help="Base model.", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Say what would be rebuilt and trained, and about how long it takes on this machine; run nothing.

    Looks at upstream without fetching a file, and at what people set: licence preset, curation file, render
    size, caption tables. Times come from earlier runs here; a category that was never
    trained is taken to need what the others did.
    """
    warnings.filterwarnings("ignore")
    from bioicons_pipeline.library.drift import Thresholds
    from bioicons_pipeline.orchestration.durations import measured
    from bioicons_pipeline.orchestration.instance import shared_instance
    from bioicons_pipeline.orchestration.stages.made_from import Inputs
    from bioicons_pipeline.orchestration.stages.outlook import prospects
    from bioicons_pipeline.orchestration.stages.training_plan import planned_base
    from bioicons_pipeline.store import Store
    from bioicons_pipeline.training.base_models import check_base

    settings = get_settings()
    chosen = base or settings.base
    check_base(chosen)
    planned = planned_base(chosen, settings.bases_dir)
    inputs = Inputs(
        source=source or settings.source,
        ref=ref if source or ref else settings.ref,
        preset=settings.licence_preset,
        curation=str(settings.curation) if settings.curation else None,
        render_size=settings.render_size,
    )
    found = prospects(
        Store(settings.resolved_store_root),
        inputs,
        settings.cache_dir,
        planned,
        Thresholds(settings.retrain_share, settings.retrain_icons),
    )
    with shared_instance(settings) as instance:
        times = measured(instance, planned.stored_as)
    rows = [_row(one, times, settings.automated) for one in found]
    anything = any(row["rebuild"] for row in rows)
    total = [times.manifest] if anything else []
    total += [row[key] for row in rows for what, key in _COSTS if row[what]]
    known = [seconds for seconds in total if seconds is not None]
    summary = {
        "base": chosen,
        "manifest_seconds": times.manifest if anything else 0.0,
        "seconds": sum(known) if len(known) == len(total) else None,
        "at_least_seconds": sum(known),
        "categories": rows,
    }
    if as_json:
        typer.echo(json.dumps(summary, indent=1, ensure_ascii=False))
    else:
        _show(summary)


_COSTS = (
    ("rebuild", "rebuild_seconds"),
    ("train", "train_seconds"),
    ("train", "grid_and_report_seconds"),
)
"""What costs time: where the first is true, the second says how much. The grid of a new LoRA is drawn and,
where automation is on, its report made."""


def _row(one: Any, times: Any, evaluated: bool) -> dict[str, Any]:
    name = one.category or "library"
    rebuild = times.rebuild(one.changes.icons) if one.category else times.library_dataset
    return {
        "category": name,
        "icons": one.changes.icons,
        "added": one.changes.added,
        "removed": one.changes.removed,
        "renamed": one.changes.renamed,
        "redrawn": one.changes.redrawn,
        "edited": one.changes.edited,
        "rebuild": one.rebuild,
        "train": one.train,
        "reason": one.reason,
        "rebuild_seconds": rebuild if one.rebuild else 0.0,
        "train_seconds": times.train(name) if one.train else 0.0,
        "grid_and_report_seconds": times.grid_and_report(name, evaluated) if one.train else 0.0,
    }


def _show(summary: dict[str, Any]) -> None:
    from bioicons_pipeline.orchestration.stages.outlook import WITHDRAWN

    rows = [row for row in summary["categories"] if row["rebuild"] or row["train"]]
    kept = len(summary["categories"]) - len(rows)
    if rows:
        table = Table("category", "icons", "rebuild", "train", "grid, report", "why", box=None)
        for row in rows:
            cells = [_cell(row[what], row[key]) for what, key in _COSTS]
            table.add_row(row["category"], str(row["icons"]), *cells, row["reason"])
        say_table(table)
    typer.echo(f"{len(rows)} of {len(summary['categories'])} would change; {kept} stay as they are.")
    withdrawn = [row["category"] for row in summary["categories"] if row["reason"] == WITHDRAWN]
    if withdrawn:
        typer.echo(f"Withdrawn upstream, and kept as they were: {', '.join(withdrawn)}.")
    if not rows:
        return
    if summary["manifest_seconds"]:
        typer.echo(f"The manifest, which is of the whole library: {_time(summary['manifest_seconds'])}.")
    if summary["seconds"] is not None:
        typer.echo(f"Together about {_time(summary['seconds'])} on this machine, by its earlier runs.")
    else:
        typer.echo(f"Together: {UNKNOWN}; what was measured adds up to {_time(summary['at_least_seconds'])}.")


def _cell(wanted: bool, seconds: float | None) -> str:
    if not wanted:
        return "–"
    return UNKNOWN if seconds is None else f"yes, {_time(seconds)}"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
