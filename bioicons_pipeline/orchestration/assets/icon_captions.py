"""icon_captions: what each included icon shows, in words."""

from collections.abc import Iterator

import dagster as dg

from bioicons_pipeline.orchestration.assets.icon_manifest import icon_manifest
from bioicons_pipeline.orchestration.assets.inputs import caption_tables
from bioicons_pipeline.orchestration.assets.rasterized_icons import rasterized_icons
from bioicons_pipeline.orchestration.conditions import follows
from bioicons_pipeline.orchestration.looks import DATASET, looks
from bioicons_pipeline.orchestration.partitions import CATEGORIES
from bioicons_pipeline.orchestration.reporting import Event, each_category, emit, where
from bioicons_pipeline.orchestration.resources import ArtifactStore


@dg.asset(
    partitions_def=CATEGORIES,
    deps=[icon_manifest, rasterized_icons, caption_tables],
    backfill_policy=dg.BackfillPolicy.single_run(),
    automation_condition=follows(),
    kinds={"text", "json"},
    **looks("icon_captions", DATASET),
)
def icon_captions(context: dg.AssetExecutionContext, artifacts: ArtifactStore) -> Iterator[Event]:
    """Several captions an icon, from its name, its measured colours and its author's style."""
    from bioicons_pipeline.orchestration.stages import captions, gone, origin

    store = artifacts.open()
    outcomes, stopped = each_category(
        context,
        lambda category: gone.kept(store, captions.CAPTIONS, category) or captions.caption(store, category),
    )
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
            **where(store, outcome, origin.of_manifest(store, category)),
        }
    yield from emit(context, outcomes, metadata, stopped=stopped)
