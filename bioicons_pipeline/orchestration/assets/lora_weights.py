"""lora_weights: the adapter of a category, and its library-wide twin; trained in a process of its own."""

import json
from typing import Any

import dagster as dg
from pydantic import Field

from bioicons_pipeline.orchestration.assets.icon_dataset import icon_dataset, library_icon_dataset
from bioicons_pipeline.orchestration.assets.inputs import base_model
from bioicons_pipeline.orchestration.assets.training_plan import library_training_plan, training_plan
from bioicons_pipeline.orchestration.conditions import (
    AUTOMATION_TAG,
    at_most_weekly,
    follows_when_all_is_settled,
)
from bioicons_pipeline.orchestration.executors import GPU_POOL
from bioicons_pipeline.orchestration.looks import LIBRARY_WIDE, MODEL, looks
from bioicons_pipeline.orchestration.partitions import CATEGORIES
from bioicons_pipeline.orchestration.reporting import holder, on_base, picture, user_errors
from bioicons_pipeline.orchestration.resources import ArtifactStore, Base, TrainingBackend
from bioicons_pipeline.training.files import CURVE_NAME, VALIDATION_NAME


class TrainingRun(dg.Config):
    """How to train; what is left empty comes from the preset."""

    preset: str = Field(default="", description="Named settings; empty: the one that suits the base.")
    steps: int | None = Field(default=None, description="Optimizer steps.")
    rank: int | None = Field(default=None, description="LoRA rank.")
    learning_rate: float | None = Field(default=None, description="Peak learning rate.")
    seed: int | None = Field(default=None, description="Seed of order, noise and initial weights.")
    overrides: str = Field(default="{}", description="Further fields of TrainingConfig, as JSON.")
    force: bool = Field(default=False, description="Train even if nothing changed since the last time.")


def _plan(
    store: Any, category: str | None, model: Any, config: TrainingRun, artifacts: ArtifactStore, base: Base
) -> Any:
    from bioicons_pipeline.orchestration.stages import training_plan, weights

    return weights.plan(
        store,
        category,
        model,
        weights.training_config(model, config.model_dump(exclude={"force"})),
        base_argument=base.name,
        work_dir=artifacts.work,
        cache_dir=artifacts.bases,
        force=config.force,
        asked_by=training_plan.version_of_plan(store, category, weights.ref_name(model)),
    )


def _train(
    context: dg.AssetExecutionContext,
    category: str | None,
    config: TrainingRun,
    artifacts: ArtifactStore,
    base: Base,
    backend: TrainingBackend,
) -> dg.MaterializeResult:
    from bioicons_pipeline.orchestration.stages import origin, training_plan, weights

    store = artifacts.open()
    summary: dict[str, Any] = {}
    with user_errors():
        model = base.resolve(artifacts.bases, elsewhere=backend.elsewhere)
        # A person trains whenever they want; what automation asks for too much trains nothing.
        done = AUTOMATION_TAG in context.run.tags and (
            training_plan.standing(store, category, weights.ref_name(model))
            or weights.without_dataset(store, category, model)
        )
        plan = None if done else _plan(store, category, model, config, artifacts, base)
        outcome = done or (plan.done if plan else None)
        if outcome is None:
            assert plan is not None and plan.request is not None
            with weights.lease(store, weights.WEIGHTS, category, model, holder(context)) as lease:
                version_id, summary = backend.train(context, plan.request, lease)
                outcome = weights.accept(store, plan, model, category, version_id, lease.check)
                backend.forget(plan.request)
    facts = outcome.facts
    made_from = origin.of_facts(facts) or origin.of_dataset(store, category)
    metadata = on_base(store, outcome, model.name, weights.ref_name(model), made_from)
    if facts["status"] == "trained":
        version = store.version(outcome.version_id)
        curve = store.read(version, CURVE_NAME)
        if any(entry.path == VALIDATION_NAME for entry in version.files):
            sheet = store.read(version, VALIDATION_NAME)
            metadata["validation images"] = picture(sheet, "validation images")
        metadata |= {
            "loss": picture(curve, "loss"),
            "fixed-noise loss": json.dumps(facts["fixed_noise_loss"]),
            "held-out loss": json.dumps(facts["heldout_loss"]),
            "steps": facts["steps"],
            "icons": facts["icons"],
            "licence mix": json.dumps(facts["licence_mix"]),
            "dataset version": facts["dataset_version"],
            **{key: value for key, value in summary.items() if isinstance(value, int | float | str)},
        }
    else:
        metadata |= {"reason": facts["reason"], "icons": facts["icons"]}
    return dg.MaterializeResult(data_version=dg.DataVersion(outcome.version_id), metadata=metadata)


@dg.asset(
    partitions_def=CATEGORIES,
    deps=[icon_dataset, training_plan, base_model],
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
    automation_condition=follows_when_all_is_settled("training_plan"),
    pool=GPU_POOL,
    kinds={"pytorch", "huggingface"},
    **looks("lora_weights", MODEL),
)
def lora_weights(
    context: dg.AssetExecutionContext,
    config: TrainingRun,
    artifacts: ArtifactStore,
    base: Base,
    training_backend: TrainingBackend,
) -> dg.MaterializeResult:
    """The LoRA of one category; a category with fewer than 12 icons gets a record "not trained"."""
    return _train(context, context.partition_key, config, artifacts, base, training_backend)


@dg.asset(
    key=["library", "lora_weights"],
    deps=[library_icon_dataset, library_training_plan, base_model],
    automation_condition=at_most_weekly(follows_when_all_is_settled(["library", "training_plan"])),
    pool=GPU_POOL,
    kinds={"pytorch", "huggingface"},
    **looks("lora_weights", LIBRARY_WIDE),
)
def library_lora_weights(
    context: dg.AssetExecutionContext,
    config: TrainingRun,
    artifacts: ArtifactStore,
    base: Base,
    training_backend: TrainingBackend,
) -> dg.MaterializeResult:
    """The "bioicons style" LoRA, trained on the whole library."""
    return _train(context, None, config, artifacts, base, training_backend)
