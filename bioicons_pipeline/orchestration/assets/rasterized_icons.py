"""rasterized_icons: PNG on white of every included icon."""

from collections.abc import Iterator

import dagster as dg

from bioicons_pipeline.orchestration.assets.icon_manifest import icon_manifest
from bioicons_pipeline.orchestration.assets.inputs import render_size
from bioicons_pipeline.orchestration.conditions import follows
from bioicons_pipeline.orchestration.looks import DATASET, looks
from bioicons_pipeline.orchestration.partitions import CATEGORIES
from bioicons_pipeline.orchestration.reporting import Event, each_category, emit, picture, progress_log, where
from bioicons_pipeline.orchestration.resources import ArtifactStore, UpstreamLibrary


@dg.asset(
    partitions_def=CATEGORIES,
    deps=[icon_manifest, render_size],
    backfill_policy=dg.BackfillPolicy.single_run(),
    automation_condition=follows(),
    kinds={"svg", "png"},
    **looks("rasterized_icons", DATASET),
)
def rasterized_icons(
    context: dg.AssetExecutionContext, artifacts: ArtifactStore, upstream: UpstreamLibrary
) -> Iterator[Event]:
    """The picture of each included icon: cropped, padded to a square, on white; alpha beside it."""
    from bioicons_pipeline.orchestration.stages import gone, images, origin

    store = artifacts.open()
    outcomes, stopped = each_category(
        context,
        lambda category: (
            gone.kept(store, images.IMAGES, category)
            or images.rasterize(
                store,
                category,
                upstream.render_size,
                artifacts.cache,
                workers=upstream.workers or None,
                progress=progress_log(context, f"{category}: icons rendered"),
            )
        ),
    )
    metadata = {}
    for category, outcome in outcomes.items():
        sheet = images.contact_sheet(store, outcome.version_id)
        metadata[category] = {
            "rendered": outcome.facts["rendered"],
            "did not render": outcome.facts["refused"],
            "size (px)": outcome.facts["size"],
            **({"contact sheet": picture(sheet, category)} if sheet else {}),
            **where(store, outcome, origin.of_manifest(store, category)),
        }
    yield from emit(context, outcomes, metadata, stopped=stopped)
