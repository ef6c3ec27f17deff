"""evaluation_report: is the LoRA better than its base, with intervals; and its library-wide twin."""

import dagster as dg
from pydantic import Field

from bioicons_pipeline.orchestration.assets.lora_weights import library_lora_weights, lora_weights
from bioicons_pipeline.orchestration.assets.sample_grid import library_sample_grid, sample_grid
from bioicons_pipeline.orchestration.conditions import follows
from bioicons_pipeline.orchestration.executors import GPU_POOL
from bioicons_pipeline.orchestration.looks import LIBRARY_WIDE, MODEL, looks
from bioicons_pipeline.orchestration.partitions import CATEGORIES
from bioicons_pipeline.orchestration.reporting import on_base, phase_log, picture, user_errors
from bioicons_pipeline.orchestration.resources import ArtifactStore, Base


class EvaluationRun(dg.Config):
    """How to evaluate."""

    count: int = Field(default=32, ge=2, description="Pictures that each model draws.")
    seed: int = Field(default=0, ge=0, description="Seed of noise and of the first picture.")
    steps: int | None = Field(default=None, description="Denoising steps; empty: the sampler's default.")
    embeddings: str = Field(
        default="", description="Folder or hub id of a CLIP or DINO model, if there is one."
    )


def _evaluate(
    context: dg.AssetExecutionContext,
    category: str | None,
    config: EvaluationRun,
    artifacts: ArtifactStore,
    base: Base,
) -> dg.MaterializeResult:
    from bioicons_pipeline.orchestration.stages import evaluation, origin, weights
    from bioicons_pipeline.orchestration.workshop import Stock

    store = artifacts.open()
    sampling = {"steps": config.steps} if config.steps else {}
    plan = evaluation.Plan(category, config.count, config.seed, sampling, config.embeddings)
    with user_errors():
        model = base.resolve(artifacts.bases)
        outcome = evaluation.report(
            Stock(store, artifacts.cache), artifacts.work, model, plan, phase_log(context)
        )
    stored_as = weights.ref_name(model)
    made_from = origin.of_weights(store, category, stored_as)
    metadata = on_base(store, outcome, model.name, stored_as, made_from)
    for name, content in evaluation.shown(store, outcome).items():
        metadata[name] = (
            picture(content, name) if isinstance(content, bytes) else dg.MetadataValue.md(content)
        )
    return dg.MaterializeResult(data_version=dg.DataVersion(outcome.version_id), metadata=metadata)


@dg.asset(
    partitions_def=CATEGORIES,
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
    deps=[lora_weights, sample_grid],
    automation_condition=follows(),
    pool=GPU_POOL,
    kinds={"html", "json"},
    **looks("evaluation_report", MODEL),
)
def evaluation_report(
    context: dg.AssetExecutionContext, config: EvaluationRun, artifacts: ArtifactStore, base: Base
) -> dg.MaterializeResult:
    """Held-out loss, style, wording, copies, vectors of the category's LoRA beside base and real icons."""
    return _evaluate(context, context.partition_key, config, artifacts, base)


@dg.asset(
    key=["library", "evaluation_report"],
    deps=[library_lora_weights, library_sample_grid],
    automation_condition=follows(),
    pool=GPU_POOL,
    kinds={"html", "json"},
    **looks("evaluation_report", LIBRARY_WIDE),
)
def library_evaluation_report(
    context: dg.AssetExecutionContext, config: EvaluationRun, artifacts: ArtifactStore, base: Base
) -> dg.MaterializeResult:
    """The same of the library-wide LoRA, and its held-out loss by category."""
    return _evaluate(context, None, config, artifacts, base)
