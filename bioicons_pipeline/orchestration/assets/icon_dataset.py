"""icon_dataset: the Hugging Face dataset of a category, and its library-wide twin."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from bioicons_pipeline.orchestration.assets.icon_captions import icon_captions
from bioicons_pipeline.orchestration.assets.rasterized_icons import rasterized_icons
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
    facts = outcome.facts
    return {
        "icons": facts["icons"],
        "train": facts["splits"]["train"],
        "held out": facts["splits"]["heldout"],
        "families": facts["families"],
        "licence mix": counts_table(facts["licence_mix"], "SPDX"),
        "authors": counts_table(facts["authors"], "author"),
        "upstream commit": facts["commit"],
        **where(store, outcome),
    }


@dg.asset(
    partitions_def=CATEGORIES,
    deps=[rasterized_icons, icon_captions],
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="dataset",
    kinds={"huggingface", "parquet"},
    code_version="1",
)
def icon_dataset(
    context: dg.AssetExecutionContext, artifacts: ArtifactStore, upstream: UpstreamLibrary
) -> Iterator[Event]:
    """Pictures and captions with author, licence and source of every icon; splits by family."""
    from bioicons_pipeline.orchestration.stages import dataset

    store = artifacts.open()
    outcomes, stopped = each_category(
        context,
        lambda category: dataset.build(
            store,
            category,
            upstream.licence_preset,
            progress=progress_log(context, f"{category}: rows written"),
        ),
    )
    metadata = {category: _metadata(store, outcome) for category, outcome in outcomes.items()}
    yield from emit(context, outcomes, metadata, stopped=stopped)


@dg.asset(
    key=["library", "icon_dataset"],
    deps=[icon_dataset],
    group_name="library_wide",
    kinds={"huggingface", "parquet"},
    code_version="1",
)
def library_icon_dataset(
    context: dg.AssetExecutionContext, artifacts: ArtifactStore, upstream: UpstreamLibrary
) -> dg.MaterializeResult:
    """The dataset of the whole library: the categories' shards under one card."""
    from bioicons_pipeline.orchestration.stages import dataset, manifest

    store = artifacts.open()
    with user_errors():
        outcome = dataset.build_library(store, manifest.current_categories(store), upstream.licence_preset)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(outcome.version_id),
        metadata={
            **_metadata(store, outcome),
            "categories": counts_table(outcome.facts["categories"], "category"),
        },
    )
