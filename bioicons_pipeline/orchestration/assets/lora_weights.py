"""lora_weights: the adapter of a category, and its library-wide twin; trained in a process of its own."""

import json
from typing import Any

import dagster as dg
from pydantic import Field

from bioicons_pipeline.orchestration.assets.icon_dataset import icon_dataset, library_icon_dataset
from bioicons_pipeline.orchestration.executors import GPU_POOL
from bioicons_pipeline.orchestration.partitions import CATEGORIES
from bioicons_pipeline.orchestration.reporting import picture, user_errors, where
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


def _train(
    context: dg.AssetExecutionContext,
    category: str | None,
    config: TrainingRun,
    artifacts: ArtifactStore,
    base: Base,
    backend: TrainingBackend,
) -> dg.MaterializeResult:
    from bioicons_pipeline.orchestration.stages import weights

    store = artifacts.open()
    summary: dict[str, Any] = {}
    with user_errors():
        model = base.resolve(artifacts.cache)
        chosen = weights.training_config(model, config.model_dump(exclude={"force"}))
        plan = weights.plan(
            store,
            category,
            model,
            chosen,
            base_argument=base.name,
            work_dir=artifacts.work,
            cache_dir=artifacts.cache / "bases",
            force=config.force,
        )
        if plan.done:
            outcome = plan.done
        else:
            version_id, summary = backend.train(context, plan.request)
            outcome = weights.accept(store, plan, model, category, version_id)
    facts = outcome.facts
    metadata: dict[str, Any] = {"status": facts["status"], "base": model.name, **where(store, outcome)}
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
            "upstream commit": facts["upstream_commit"],
            "dataset version": facts["dataset_version"],
            **{key: value for key, value in summary.items() if isinstance(value, int | float | str)},
        }
    else:
        metadata |= {"reason": facts["reason"], "icons": facts["icons"]}
    return dg.MaterializeResult(data_version=dg.DataVersion(outcome.version_id), metadata=metadata)


@dg.asset(
    partitions_def=CATEGORIES,
    deps=[icon_dataset],
    pool=GPU_POOL,
    group_name="model",
    kinds={"pytorch", "huggingface"},
    code_version="1",
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
    deps=[library_icon_dataset],
    pool=GPU_POOL,
    group_name="library_wide",
    kinds={"pytorch", "huggingface"},
    code_version="1",
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
