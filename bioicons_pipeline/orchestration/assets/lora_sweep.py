"""lora_sweep: trainings over learning rate, steps and rank as one table; and its library-wide twin.

No other asset depends on it, and no job but its own runs it: it is for choosing settings.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg
from pydantic import Field

from bioicons_pipeline.orchestration.assets.icon_dataset import icon_dataset, library_icon_dataset
from bioicons_pipeline.orchestration.executors import GPU_POOL
from bioicons_pipeline.orchestration.looks import LIBRARY_WIDE, MODEL, looks
from bioicons_pipeline.orchestration.partitions import CATEGORIES
from bioicons_pipeline.orchestration.reporting import holder, picture, user_errors, where
from bioicons_pipeline.orchestration.resources import ArtifactStore, Base, TrainingBackend


class SweepRun(dg.Config):
    """What to combine; an empty list is the preset's own value."""

    learning_rates: list[float] = Field(
        default=[], description="Peak learning rates; with all lists empty half, once and twice the preset's."
    )
    steps: list[int] = Field(default=[], description="Optimizer steps.")
    ranks: list[int] = Field(default=[], description="LoRA ranks; alpha follows, so the scale stays.")
    preset: str = Field(default="", description="Named settings; empty: the one that suits the base.")
    seed: int | None = Field(default=None, description="Seed of order, noise and initial weights.")
    overrides: str = Field(default="{}", description="Further fields of TrainingConfig, as JSON.")


def _train_all(
    context: dg.AssetExecutionContext,
    store: Any,
    requests: Mapping[str, Any],
    backend: TrainingBackend,
    lease: Any,
) -> list[dict[str, Any]]:
    """A row a training. One that diverges is a finding of the sweep; any other failure is the run's own."""
    from bioicons_pipeline.orchestration.stages import sweep
    from bioicons_pipeline.training.errors import DivergedError

    rows = []
    for number, (name, request) in enumerate(requests.items()):
        context.log.info(f"trainings {number}/{len(requests)}: {name}")
        try:
            version_id, summary = backend.train(context, request, lease)
        except DivergedError as error:
            context.log.warning(f"{name} failed: {error}")
            rows.append(sweep.failed_row(name, request, str(error)))
        else:
            rows.append(sweep.row_of(store, name, request, version_id, summary["seconds"]))
    return rows


def _sweep(
    context: dg.AssetExecutionContext,
    category: str | None,
    config: SweepRun,
    artifacts: ArtifactStore,
    base: Base,
    backend: TrainingBackend,
) -> dg.MaterializeResult:
    from bioicons_pipeline.orchestration.stages import origin, sweep, weights

    store = artifacts.open()
    with user_errors():
        model = base.resolve(artifacts.bases, elsewhere=backend.elsewhere)
        chosen = config.model_dump(include={"preset", "seed", "overrides"})
        plan = sweep.plan(
            store,
            category,
            model,
            weights.training_config(model, chosen),
            sweep.Axes(tuple(config.learning_rates), tuple(config.steps), tuple(config.ranks)),
            base_argument=base.name,
            work_dir=artifacts.work,
            cache_dir=artifacts.bases,
        )
        outcome = plan.done
        if outcome is None:
            with weights.lease(store, sweep.SWEEP, category, model, holder(context)) as lease:
                rows = _train_all(context, store, plan.requests, backend, lease)
                outcome = sweep.finish(store, category, model, plan, rows, lease.check)
                for request in plan.requests.values():
                    backend.forget(request)
    files = {name: sweep.read(store, outcome, name) for name in (sweep.TABLE, sweep.PICTURE)}
    return dg.MaterializeResult(
        data_version=dg.DataVersion(outcome.version_id),
        metadata={
            "base": model.name,
            **where(store, outcome, origin.of_dataset(store, category)),
            "best": outcome.facts["best"],
            "failed": outcome.facts.get("failed", 0),
            "table": dg.MetadataValue.md(sweep.markdown(files[sweep.TABLE])),
            "grid": picture(files[sweep.PICTURE], "sweep"),
        },
    )


@dg.asset(
    partitions_def=CATEGORIES,
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
    deps=[icon_dataset],
    pool=GPU_POOL,
    kinds={"pytorch", "huggingface"},
    **looks("lora_sweep", MODEL),
)
def lora_sweep(
    context: dg.AssetExecutionContext,
    config: SweepRun,
    artifacts: ArtifactStore,
    base: Base,
    training_backend: TrainingBackend,
) -> dg.MaterializeResult:
    """LoRAs of one category over learning rate, steps and rank: a table of losses and times, and a grid."""
    return _sweep(context, context.partition_key, config, artifacts, base, training_backend)


@dg.asset(
    key=["library", "lora_sweep"],
    deps=[library_icon_dataset],
    pool=GPU_POOL,
    kinds={"pytorch", "huggingface"},
    **looks("lora_sweep", LIBRARY_WIDE),
)
def library_lora_sweep(
    context: dg.AssetExecutionContext,
    config: SweepRun,
    artifacts: ArtifactStore,
    base: Base,
    training_backend: TrainingBackend,
) -> dg.MaterializeResult:
    """The same over the whole library."""
    return _sweep(context, None, config, artifacts, base, training_backend)
