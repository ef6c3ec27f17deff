"""icon_manifest: who made each icon, and may we use it; computed library-wide, versioned by category."""

from collections.abc import Iterator

import dagster as dg

from bioicons_pipeline.orchestration.assets.inputs import curation_rules, licence_preset
from bioicons_pipeline.orchestration.assets.svg_snapshot import svg_snapshot
from bioicons_pipeline.orchestration.conditions import follows
from bioicons_pipeline.orchestration.looks import LIBRARY, MANIFEST_SCHEMA, looks
from bioicons_pipeline.orchestration.partitions import CATEGORIES, register
from bioicons_pipeline.orchestration.reporting import (
    Event,
    counts_table,
    emit,
    progress_log,
    user_errors,
    where,
)
from bioicons_pipeline.orchestration.resources import ArtifactStore, UpstreamLibrary


@dg.asset(
    partitions_def=CATEGORIES,
    deps=[svg_snapshot, curation_rules, licence_preset],
    backfill_policy=dg.BackfillPolicy.single_run(),
    automation_condition=follows(new_partitions=True),
    kinds={"pandas", "parquet"},
    **looks("icon_manifest", LIBRARY),
    metadata={"dagster/column_schema": MANIFEST_SCHEMA},
)
def icon_manifest(
    context: dg.AssetExecutionContext, artifacts: ArtifactStore, upstream: UpstreamLibrary
) -> Iterator[Event]:
    """One row an icon: author, licence, source link, included or the reason why not, family, split."""
    from bioicons_pipeline.orchestration.stages import manifest, origin

    store = artifacts.open()
    with user_errors():
        outcomes = manifest.manifests(
            store,
            context.partition_keys,
            licence_preset=upstream.licence_preset,
            curation_file=upstream.curation or None,
            cache_dir=artifacts.cache,
            workers=upstream.workers or None,
            progress=progress_log(context, "icons probed"),
        )
    new = register(context.instance, manifest.current_categories(store))
    for note in manifest.notes(store):
        context.log.warning(note)
    metadata = {
        category: {
            "icons": outcome.facts["icons"],
            "included": outcome.facts["included"],
            "families": outcome.facts["families"],
            "licence mix": counts_table(outcome.facts["licence_mix"], "SPDX"),
            "left out": counts_table(outcome.facts["left_out"], "reason"),
            "authors": counts_table(outcome.facts["authors"], "author"),
            "curation notes": len(manifest.notes(store)),
            **where(store, outcome, origin.of_facts(outcome.facts)),
        }
        for category, outcome in outcomes.items()
    }
    yield from emit(context, outcomes, metadata, {"new categories": new})
