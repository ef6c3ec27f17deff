"""Checks of pictures and captions, category by category."""

import dagster as dg

from bioicons_pipeline.orchestration.assets.icon_captions import icon_captions
from bioicons_pipeline.orchestration.assets.rasterized_icons import rasterized_icons
from bioicons_pipeline.orchestration.checks.verdict import categories_of, verdict
from bioicons_pipeline.orchestration.partitions import CATEGORIES
from bioicons_pipeline.orchestration.resources import ArtifactStore, UpstreamLibrary


@dg.asset_check(asset=rasterized_icons, partitions_def=CATEGORIES)
def every_picture_is_sound(
    context: dg.AssetCheckExecutionContext, artifacts: ArtifactStore
) -> dg.AssetCheckResult:
    """Every picture is readable, of the size asked for, on pure white, and shows something."""
    from bioicons_pipeline.orchestration.stages import images

    store = artifacts.open()
    return verdict(
        [fault for name in categories_of(context) for fault in images.faults(store, name)], "faulty pictures"
    )


@dg.asset_check(asset=rasterized_icons, partitions_def=CATEGORIES)
def renderers_agree(
    context: dg.AssetCheckExecutionContext, artifacts: ArtifactStore, upstream: UpstreamLibrary
) -> dg.AssetCheckResult:
    """Two renderers draw every icon alike; those that differ are for a person to look at."""
    from bioicons_pipeline.orchestration.stages import images

    store = artifacts.open()
    found = [
        difference
        for name in categories_of(context)
        for difference in images.disagreements(store, name, artifacts.cache, upstream.workers or None)
    ]
    return verdict(found, "drawn differently", dg.AssetCheckSeverity.WARN)


@dg.asset_check(asset=icon_captions, partitions_def=CATEGORIES)
def every_icon_has_a_caption(
    context: dg.AssetCheckExecutionContext, artifacts: ArtifactStore
) -> dg.AssetCheckResult:
    """No caption is empty, and every icon that was rendered has one."""
    from bioicons_pipeline.orchestration.stages import captions

    store = artifacts.open()
    found = [icon for name in categories_of(context) for icon in captions.without_caption(store, name)]
    return verdict(found, "icons without a caption")


@dg.asset_check(asset=icon_captions, partitions_def=CATEGORIES)
def captions_read_well(
    context: dg.AssetCheckExecutionContext, artifacts: ArtifactStore
) -> dg.AssetCheckResult:
    """No remains of file names, no unknown words, none too long or shared; for a curator to look at."""
    from bioicons_pipeline.orchestration.stages import captions

    store = artifacts.open()
    found = [text for name in categories_of(context) for text in captions.findings(store, name)]
    return verdict(found, "findings", dg.AssetCheckSeverity.WARN)


PICTURE_CHECKS = [every_picture_is_sound, renderers_agree, every_icon_has_a_caption, captions_read_well]
