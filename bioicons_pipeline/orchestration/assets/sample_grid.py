"""sample_grid: what the adapter changed, in one picture; and its library-wide twin."""

import dagster as dg
from pydantic import Field

from bioicons_pipeline.orchestration.assets.lora_weights import library_lora_weights, lora_weights
from bioicons_pipeline.orchestration.conditions import follows
from bioicons_pipeline.orchestration.executors import GPU_POOL
from bioicons_pipeline.orchestration.looks import LIBRARY_WIDE, MODEL, looks
from bioicons_pipeline.orchestration.partitions import CATEGORIES
from bioicons_pipeline.orchestration.reporting import on_base, picture, progress_log, user_errors
from bioicons_pipeline.orchestration.resources import ArtifactStore, Base


class SamplingRun(dg.Config):
    """How to sample; what is left empty comes from the base."""

    size: int | None = Field(default=None, description="Side of the images, px, a multiple of 16.")
    steps: int | None = Field(default=None, description="Denoising steps.")
    guidance: float | None = Field(default=None, description="Distilled guidance.")
    seed: int = Field(default=0, description="Seed of the first row; each row adds one.")


def _draw(
    context: dg.AssetExecutionContext,
    category: str | None,
    config: SamplingRun,
    artifacts: ArtifactStore,
    base: Base,
) -> dg.MaterializeResult:
    from bioicons_pipeline.orchestration.stages import grid, origin, weights

    store = artifacts.open()
    with user_errors():
        model = base.resolve(artifacts.bases)
        outcome = grid.draw(
            store,
            category,
            model,
            {key: value for key, value in config.model_dump(exclude={"seed"}).items() if value is not None},
            seed=config.seed,
            progress=progress_log(context, "images sampled"),
        )
    stored_as = weights.ref_name(model)
    made_from = origin.of_weights(store, category, stored_as)
    metadata = on_base(store, outcome, model.name, stored_as, made_from)
    if outcome.facts["status"] == "sampled":
        image = store.read(store.version(outcome.version_id), "grid.png")
        metadata |= {
            "grid": picture(image, "sample grid"),
            "prompts": outcome.facts["prompts"],
            "adapter version": outcome.facts["adapter"],
        }
    return dg.MaterializeResult(data_version=dg.DataVersion(outcome.version_id), metadata=metadata)


@dg.asset(
    partitions_def=CATEGORIES,
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
    deps=[lora_weights],
    automation_condition=follows(),
    pool=GPU_POOL,
    kinds={"diffusers", "png"},
    **looks("sample_grid", MODEL),
)
def sample_grid(
    context: dg.AssetExecutionContext, config: SamplingRun, artifacts: ArtifactStore, base: Base
) -> dg.MaterializeResult:
    """Real icons, the base, and the base with the category's LoRA, side by side from the same seeds."""
    return _draw(context, context.partition_key, config, artifacts, base)


@dg.asset(
    key=["library", "sample_grid"],
    deps=[library_lora_weights],
    automation_condition=follows(),
    pool=GPU_POOL,
    kinds={"diffusers", "png"},
    **looks("sample_grid", LIBRARY_WIDE),
)
def library_sample_grid(
    context: dg.AssetExecutionContext, config: SamplingRun, artifacts: ArtifactStore, base: Base
) -> dg.MaterializeResult:
    """Real icons, the base, and the base with the library-wide LoRA, side by side from the same seeds."""
    return _draw(context, None, config, artifacts, base)
