"""Checks of datasets: licences, families, counts, credits, leaks; of each category and of the library."""

from collections.abc import Sequence

import dagster as dg

from bioicons_pipeline.orchestration.assets.icon_dataset import icon_dataset, library_icon_dataset
from bioicons_pipeline.orchestration.checks.verdict import categories_of, verdict
from bioicons_pipeline.orchestration.partitions import CATEGORIES
from bioicons_pipeline.orchestration.resources import ArtifactStore, UpstreamLibrary


@dg.asset_check(asset=library_icon_dataset, blocking=True)
def every_licence_is_in_the_preset(
    artifacts: ArtifactStore, upstream: UpstreamLibrary
) -> dg.AssetCheckResult:
    """No icon of the dataset has a licence outside the preset, read from the shards themselves."""
    from bioicons_pipeline.orchestration.stages import dataset

    outside = dataset.licences_outside(artifacts.open(), None, upstream.licence_preset)
    return dg.AssetCheckResult(passed=not outside, metadata={"outside the preset": outside})


@dg.asset_check(asset=library_icon_dataset, blocking=True)
def no_family_on_both_sides(artifacts: ArtifactStore) -> dg.AssetCheckResult:
    """No family of look-alikes is both in training and held out."""
    from bioicons_pipeline.orchestration.stages import dataset

    torn = dataset.torn_families(artifacts.open(), None)
    return dg.AssetCheckResult(passed=not torn, metadata={"families on both sides": torn})


def _faults(artifacts: ArtifactStore, categories: Sequence[str | None], kind: str) -> dg.AssetCheckResult:
    from bioicons_pipeline.orchestration.stages import dataset

    store = artifacts.open()
    found = [fault for name in categories for fault in dataset.current_faults(store, name).get(kind, [])]
    return verdict(found, kind)


@dg.asset_check(asset=icon_dataset, partitions_def=CATEGORIES)
def the_counts_are_right(
    context: dg.AssetCheckExecutionContext, artifacts: ArtifactStore
) -> dg.AssetCheckResult:
    """The shards have as many rows as dataset.json says, and no icon twice."""
    return _faults(artifacts, categories_of(context), "counts")


@dg.asset_check(asset=icon_dataset, partitions_def=CATEGORIES)
def the_credits_are_complete(
    context: dg.AssetCheckExecutionContext, artifacts: ArtifactStore
) -> dg.AssetCheckResult:
    """Every row has author, licence and source, and the attribution names every icon."""
    return _faults(artifacts, categories_of(context), "credits")


@dg.asset_check(asset=icon_dataset, partitions_def=CATEGORIES)
def nothing_leaks(context: dg.AssetCheckExecutionContext, artifacts: ArtifactStore) -> dg.AssetCheckResult:
    """No family and no drawing is both in training and held out."""
    return _faults(artifacts, categories_of(context), "leaks")


@dg.asset_check(asset=library_icon_dataset)
def the_library_counts_are_right(artifacts: ArtifactStore) -> dg.AssetCheckResult:
    """The same of the library-wide dataset."""
    return _faults(artifacts, [None], "counts")


@dg.asset_check(asset=library_icon_dataset)
def the_library_credits_are_complete(artifacts: ArtifactStore) -> dg.AssetCheckResult:
    """The same of the library-wide dataset."""
    return _faults(artifacts, [None], "credits")


DATASET_CHECKS = [
    every_licence_is_in_the_preset,
    no_family_on_both_sides,
    the_counts_are_right,
    the_credits_are_complete,
    nothing_leaks,
    the_library_counts_are_right,
    the_library_credits_are_complete,
]
