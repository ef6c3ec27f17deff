"""icon_dataset: the Hugging Face dataset of a category, and its library-wide twin."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from bioicons_pipeline.orchestration.assets.icon_captions import icon_captions
from bioicons_pipeline.orchestration.assets.icon_manifest import icon_manifest
from bioicons_pipeline.orchestration.assets.inputs import licence_preset
from bioicons_pipeline.orchestration.assets.rasterized_icons import rasterized_icons
from bioicons_pipeline.orchestration.assets.svg_snapshot import svg_snapshot
from bioicons_pipeline.orchestration.conditions import follows, follows_when_all_is_settled
from bioicons_pipeline.orchestration.looks import (
    DATASET,
    DATASET_LINEAGE,
    DATASET_SCHEMA,
    LIBRARY_DATASET_LINEAGE,
    LIBRARY_WIDE,
    looks,
)
from bioicons_pipeline.orchestration.partitions import CATEGORIES
from bioicons_pipeline.orchestration.reporting import (
    Event,
    counts_table,
    each_category,
    emit,
    progress_log,
    user_errors,
    where,
)
from bioicons_pipeline.orchestration.resources import ArtifactStore, UpstreamLibrary


def _metadata(store: Any, outcome: Any) -> dict[str, Any]:
    from bioicons_pipeline.orchestration.stages import origin

    facts = outcome.facts
    return {
        "icons": facts["icons"],
        "train": facts["splits"]["train"],
        "held out": facts["splits"]["heldout"],
        "families": facts["families"],
        "licence mix": counts_table(facts["licence_mix"], "SPDX"),
        "authors": counts_table(facts["authors"], "author"),
        "dagster/column_schema": DATASET_SCHEMA,
        **where(store, outcome, origin.of_facts(facts)),
    }


@dg.asset(
    partitions_def=CATEGORIES,
    deps=[icon_manifest, rasterized_icons, icon_captions, licence_preset],
    backfill_policy=dg.BackfillPolicy.single_run(),
    automation_condition=follows(),
    kinds={"huggingface", "parquet"},
    **looks("icon_dataset", DATASET),
)
def icon_dataset(
    context: dg.AssetExecutionContext, artifacts: ArtifactStore, upstream: UpstreamLibrary
) -> Iterator[Event]:
    """Pictures and captions with author, licence and source of every icon; splits by family."""
    from bioicons_pipeline.orchestration.stages import dataset, gone

    store = artifacts.open()
    outcomes, stopped = each_category(
        context,
        lambda category: (
            gone.kept(store, dataset.DATASET, category)
            or dataset.build(
                store,
                category,
                upstream.licence_preset,
                progress=progress_log(context, f"{category}: rows written"),
            )
        ),
    )
    metadata = {
        category: {**_metadata(store, outcome), "dagster/column_lineage": DATASET_LINEAGE}
        for category, outcome in outcomes.items()
    }
    yield from emit(context, outcomes, metadata, stopped=stopped)


@dg.asset(
    key=["library", "icon_dataset"],
    # On the snapshot too: when a category is gone, no dataset of it moves, and yet this one has to.
    deps=[icon_dataset, svg_snapshot, licence_preset],
    automation_condition=follows_when_all_is_settled(),
    kinds={"huggingface", "parquet"},
    **looks("icon_dataset", LIBRARY_WIDE),
)
def library_icon_dataset(
    context: dg.AssetExecutionContext, artifacts: ArtifactStore, upstream: UpstreamLibrary
) -> dg.MaterializeResult:
    """The dataset of the whole library: the categories' shards under one card."""
    from bioicons_pipeline.orchestration.stages import dataset, manifest

    store = artifacts.open()
    with user_errors():
        outcome = dataset.build_library(store, manifest.current_categories(store), upstream.licence_preset)
    left_out = outcome.facts["left_out"]
    for category, reason in left_out.items():
        context.log.warning(f"{category} is left out of the library's dataset: {reason}")
    return dg.MaterializeResult(
        data_version=dg.DataVersion(outcome.version_id),
        metadata={
            **_metadata(store, outcome),
            "dagster/column_lineage": LIBRARY_DATASET_LINEAGE,
            "categories": counts_table(outcome.facts["categories"], "category"),
            "left out": ", ".join(left_out) or "nothing",
        },
    )
