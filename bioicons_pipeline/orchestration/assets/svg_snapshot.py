"""svg_snapshot: one upstream state of the library; registers its categories as partitions."""

import dagster as dg

from bioicons_pipeline.orchestration.assets.inputs import bioicons_upstream
from bioicons_pipeline.orchestration.conditions import follows
from bioicons_pipeline.orchestration.looks import LIBRARY, looks
from bioicons_pipeline.orchestration.partitions import register
from bioicons_pipeline.orchestration.reporting import counts_table, progress_log, user_errors, where
from bioicons_pipeline.orchestration.resources import ArtifactStore, UpstreamLibrary


@dg.asset(
    deps=[bioicons_upstream],
    automation_condition=follows(),
    kinds={"git", "svg"},
    **looks("svg_snapshot", LIBRARY),
)
def svg_snapshot(
    context: dg.AssetExecutionContext, artifacts: ArtifactStore, upstream: UpstreamLibrary
) -> dg.MaterializeResult:
    """Every SVG of one upstream commit, content-addressed; later stages read from here alone."""
    from bioicons_pipeline.orchestration.stages import origin, snapshot

    store = artifacts.open()
    with user_errors():
        outcome = snapshot.snapshot(
            store,
            upstream.source,
            upstream.ref or None,
            artifacts.cache,
            progress=progress_log(context, "files read"),
            stored=progress_log(context, "files stored"),
        )
    facts = outcome.facts
    new = register(context.instance, facts["categories"])
    return dg.MaterializeResult(
        data_version=dg.DataVersion(outcome.version_id),
        metadata={
            "icons": facts["icons"],
            "commit": facts["commit"],
            "committed at": str(facts["committed_at"]),
            "source": facts["source_url"],
            "categories": counts_table(facts["icons_by_category"], "category"),
            "new categories": new,
            "refused files": len(facts["refused"]),
            **where(store, outcome, origin.of_facts(facts)),
        },
    )
