"""icon_captions: what each included icon shows, in words."""

from collections.abc import Iterator

import dagster as dg

from bioicons_pipeline.orchestration.assets.rasterized_icons import rasterized_icons
from bioicons_pipeline.orchestration.partitions import CATEGORIES
from bioicons_pipeline.orchestration.reporting import Event, each_category, emit, where
from bioicons_pipeline.orchestration.resources import ArtifactStore


@dg.asset(
    partitions_def=CATEGORIES,
    deps=[rasterized_icons],
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="dataset",
    kinds={"text", "json"},
    code_version="1",
)
def icon_captions(context: dg.AssetExecutionContext, artifacts: ArtifactStore) -> Iterator[Event]:
    """Several captions an icon, from its name, its measured colours and its author's style."""
    from bioicons_pipeline.orchestration.stages import captions

    store = artifacts.open()
    outcomes, stopped = each_category(context, lambda category: captions.caption(store, category))
    metadata = {}
    for category, outcome in outcomes.items():
        metadata[category] = {
            "captioned": outcome.facts["captioned"],
            "distinct captions": outcome.facts["distinct"],
            "findings": len(outcome.facts["findings"]),
            "first findings": dg.MetadataValue.md(
                "\n".join(f"- {text}" for text in outcome.facts["findings"][:20]) or "none"
            ),
            "grammar version": outcome.facts["grammar_version"],
            "examples": dg.MetadataValue.md(captions.examples(store, outcome.version_id)),
            **where(store, outcome),
        }
    yield from emit(context, outcomes, metadata, stopped=stopped)
