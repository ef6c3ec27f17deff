"""Asset checks: what must hold of an artifact, shown beside it in the UI.

A check reads the artifact back from the store. Gates that must stop a bad artifact stand in the stages
as well: a check on a partitioned asset keeps only its latest result.
"""

import dagster as dg

from bioicons_pipeline.orchestration.assets.icon_dataset import library_icon_dataset
from bioicons_pipeline.orchestration.assets.lora_weights import library_lora_weights
from bioicons_pipeline.orchestration.resources import ArtifactStore, Base, UpstreamLibrary


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


@dg.asset_check(asset=library_lora_weights)
def fixed_noise_loss_fell(artifacts: ArtifactStore, base: Base) -> dg.AssetCheckResult:
    """The loss at fixed noise is lower after training than before."""
    from bioicons_pipeline.orchestration.stages import weights

    store = artifacts.open()
    name = weights.ref_name(base.resolve(artifacts.cache))
    facts = weights.current_facts(store, None, name)
    losses = facts.get("fixed_noise_loss") or {}
    before, after = losses.get("before"), losses.get("after")
    fell = before is not None and after is not None and after < before
    return dg.AssetCheckResult(
        passed=fell or facts.get("status") == "not trained",
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={"before": before, "after": after, "status": str(facts.get("status"))},
    )


ALL_CHECKS = [every_licence_is_in_the_preset, no_family_on_both_sides, fixed_noise_loss_fell]
