"""`bioicons sweep`: which learning rate, how many steps, which rank.

Belongs here: options and the table of this verb. Does not belong here: the trainings and what is kept of them
(orchestration/stages/sweep).
"""

import json
import time
import warnings
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bioicons_pipeline.cli_display import AsJson, Display, not_built, say_json
from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.settings import Settings, get_settings


def sweep(
    category: Annotated[
        str | None, typer.Option(help="One scientific category; default: the whole library.")
    ] = None,
    base: Annotated[str | None, typer.Option(help="Base model: a name or a folder.")] = None,
    learning_rates: Annotated[
        str, typer.Option(help="Peak learning rates, with commas between them, e.g. 5e-5,1e-4,2e-4.")
    ] = "",
    steps: Annotated[str, typer.Option(help="Numbers of steps, with commas, e.g. 500,1000.")] = "",
    ranks: Annotated[str, typer.Option(help="LoRA ranks, with commas, e.g. 8,16,32.")] = "",
    preset: Annotated[
        str | None, typer.Option(help="Training preset for all else; default: the one that suits the base.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Training seed, the same for all.")] = None,
    as_json: AsJson = False,
) -> None:
    """Train every combination of learning rate, steps and rank on one dataset, and compare them in a table.

    The dataset is the newest one that `bioicons run` made. What was trained before is not trained again.
    """
    from bioicons_pipeline.orchestration.stages import weights

    settings = get_settings()
    config: dict[str, Any] = {
        "learning_rates": numbers(learning_rates, float, "--learning-rates"),
        "steps": numbers(steps, int, "--steps"),
        "ranks": numbers(ranks, int, "--ranks"),
    }
    config |= {key: value for key, value in {"preset": preset, "seed": seed}.items() if value is not None}
    weights.check_training({"preset": preset, "seed": seed})
    chosen = base or settings.base
    _run(settings, category, chosen, config)
    _show(settings, category, chosen, as_json)


def numbers(text: str, kind: type, option: str) -> list:
    """The numbers of `a,b,c`.

    Raises:
        BioiconsError: one is none; names the option.
    """
    try:
        return [kind(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise BioiconsError(f"{option} {text!r}: write numbers with commas between them.") from error


def _run(settings: Settings, category: str | None, base: str, config: dict[str, Any]) -> None:
    from bioicons_pipeline.orchestration import launch
    from bioicons_pipeline.orchestration.instance import shared_instance
    from bioicons_pipeline.orchestration.stages.base import DATASET
    from bioicons_pipeline.store import Store
    from bioicons_pipeline.training.base_models import check_base

    check_base(base)
    store = Store(settings.resolved_store_root)
    if store.get_ref(DATASET, partition=category) is None:  # before Dagster starts, which would name its step
        raise not_built(store, category)
    warnings.filterwarnings("ignore")
    op = "lora_sweep" if category else "library__lora_sweep"
    run_config = {
        "resources": {"base": {"config": {"name": base}}},
        "ops": {op: {"config": config}},
    }
    log = settings.root / "logs" / f"sweep-{time.strftime('%Y%m%d-%H%M%S')}.log"
    with launch.terminal_kept(log) as terminal:
        display = Display(Console(file=terminal, highlight=False, soft_wrap=True))
        try:
            with shared_instance(settings) as instance, display:
                tags = launch.partition_tags(instance, [category]) if category else None
                job = "sweep" if category else "sweep_library"
                launch.execute(instance, job, run_config, tags=tags, listener=display.show)
        except launch.JobFailedError as error:
            raise error.with_log(log) from error


def _show(settings: Settings, category: str | None, base: str, as_json: bool) -> None:
    """The table on stdout, and where the files are."""
    from bioicons_pipeline.orchestration.stages import sweep as stage
    from bioicons_pipeline.orchestration.stages import weights
    from bioicons_pipeline.store import Store
    from bioicons_pipeline.training.base_models import resolve_base

    store = Store(settings.resolved_store_root)
    name = weights.ref_name(resolve_base(base, settings.bases_dir))
    ref = store.get_ref(stage.SWEEP, partition=category, base=name)
    if ref is None:
        raise BioiconsError("The sweep left no table: see the log, then run it again.")
    rows = json.loads(store.read(store.version(ref.version_id), stage.TABLE))
    target = settings.root / "outputs" / (category or "library") / f"sweep-{name}"
    place = store.checkout(ref.version_id, target, replace=True)
    if as_json:
        say_json({"trainings": rows, "folder": place})
        return
    table = Table(box=None)
    shown = ("learning_rate", "steps", "rank", "heldout_loss", "train_loss", "seconds")
    for column in shown:
        table.add_column(column.replace("_", " "), justify="right")
    for row in rows:
        table.add_row(*stage.cells(row, shown, ".4g"))
    Console().print(table)
    for sentence in stage.failures(rows):
        typer.echo(sentence)
    typer.echo(f"Table, grid and every adapter: {place}")
