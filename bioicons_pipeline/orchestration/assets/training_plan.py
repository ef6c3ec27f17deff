"""training_plan: is a new training of a category's LoRA worth its cost; and its library-wide twin."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from bioicons_pipeline.orchestration.assets.icon_dataset import icon_dataset, library_icon_dataset
from bioicons_pipeline.orchestration.assets.inputs import base_model
from bioicons_pipeline.orchestration.conditions import follows, follows_when_all_is_settled
from bioicons_pipeline.orchestration.looks import LIBRARY_WIDE, MODEL, looks
from bioicons_pipeline.orchestration.partitions import CATEGORIES
from bioicons_pipeline.orchestration.reporting import Event, each_category, emit, user_errors, where
from bioicons_pipeline.orchestration.resources import ArtifactStore, Base, RetrainingPolicy


def _metadata(store: Any, outcome: Any, category: str | None) -> Mapping[str, Any]:
    from bioicons_pipeline.orchestration.stages import origin

    facts = outcome.facts
    names = ("status", "asked", "reason", "icons", "changed icons", "trained on")
    said = {name: facts[name] for name in names if facts.get(name) is not None}
    return {**said, **where(store, outcome, origin.of_dataset(store, category))}


@dg.asset(
    partitions_def=CATEGORIES,
    deps=[icon_dataset, base_model],
    backfill_policy=dg.BackfillPolicy.single_run(),
    automation_condition=follows(),
    kinds={"json"},
    **looks("training_plan", MODEL),
)
def training_plan(
    context: dg.AssetExecutionContext, artifacts: ArtifactStore, base: Base, retraining: RetrainingPolicy
) -> Iterator[Event]:
    """The icons beside those that the LoRA was trained on; the version moves when they differ enough."""
    from bioicons_pipeline.orchestration.stages import training_plan as stage

    store = artifacts.open()
    with user_errors():
        planned = stage.planned_base(base.name, artifacts.bases)
    outcomes, stopped = each_category(
        context, lambda category: stage.plan(store, category, planned, retraining.thresholds())
    )
    metadata = {category: _metadata(store, outcome, category) for category, outcome in outcomes.items()}
    yield from emit(context, outcomes, metadata, stopped=stopped)


@dg.asset(
    key=["library", "training_plan"],
    deps=[library_icon_dataset, base_model],
    automation_condition=follows_when_all_is_settled(),
    kinds={"json"},
    **looks("training_plan", LIBRARY_WIDE),
)
def library_training_plan(
    artifacts: ArtifactStore, base: Base, retraining: RetrainingPolicy
) -> dg.MaterializeResult:
    """The same for the library-wide LoRA."""
    from bioicons_pipeline.orchestration.stages import training_plan as stage

    store = artifacts.open()
    with user_errors():
        planned = stage.planned_base(base.name, artifacts.bases)
        outcome = stage.plan(store, None, planned, retraining.thresholds())
    return dg.MaterializeResult(
        data_version=dg.DataVersion(outcome.version_id), metadata=_metadata(store, outcome, None)
    )
