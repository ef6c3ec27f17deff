"""Asset checks: what must hold of an artifact, shown beside it in the UI.

A check reads the artifact back from the store. Gates that must stop a bad artifact stand in the stages
as well: a check on a partitioned asset keeps only its latest result.
"""

import dagster as dg

from bioicons_pipeline.orchestration.assets.icon_dataset import library_icon_dataset
from bioicons_pipeline.orchestration.assets.icon_manifest import icon_manifest
from bioicons_pipeline.orchestration.assets.lora_weights import library_lora_weights
from bioicons_pipeline.orchestration.resources import ArtifactStore, Base, UpstreamLibrary

SHOWN = 20
"""Rows that a check names; it counts all."""


def _verdict(found: list[str], what: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=not found, metadata={what: found[:SHOWN], "count": len(found)})


@dg.asset_check(asset=icon_manifest, blocking=True)
def no_icon_outside_the_preset(artifacts: ArtifactStore, upstream: UpstreamLibrary) -> dg.AssetCheckResult:
    """No icon is included whose licence the preset does not allow, over all categories."""
    from bioicons_pipeline.library import findings
    from bioicons_pipeline.library.licences import policy_for
    from bioicons_pipeline.orchestration.stages.manifest import whole_manifest

    policy = policy_for(upstream.licence_preset)
    return _verdict(findings.outside_preset(whole_manifest(artifacts.open()), policy), "outside the preset")


@dg.asset_check(asset=icon_manifest, blocking=True)
def no_duplicate_id(artifacts: ArtifactStore) -> dg.AssetCheckResult:
    """No two icons share an icon_id."""
    from bioicons_pipeline.library import findings
    from bioicons_pipeline.orchestration.stages.manifest import whole_manifest

    return _verdict(findings.duplicate_ids(whole_manifest(artifacts.open())), "sharing an icon_id")


@dg.asset_check(asset=icon_manifest, blocking=True)
def every_included_icon_has_its_credit(artifacts: ArtifactStore) -> dg.AssetCheckResult:
    """Every included icon has author, licence and source link."""
    from bioicons_pipeline.library import findings
    from bioicons_pipeline.orchestration.stages.manifest import whole_manifest

    return _verdict(findings.without_credit(whole_manifest(artifacts.open())), "without credit")


@dg.asset_check(asset=icon_manifest, blocking=True)
def no_family_is_torn(artifacts: ArtifactStore) -> dg.AssetCheckResult:
    """No family of look-alikes is on both sides of the split."""
    from bioicons_pipeline.library import findings
    from bioicons_pipeline.orchestration.stages.manifest import whole_manifest

    return _verdict(findings.torn_families(whole_manifest(artifacts.open())), "torn families")


@dg.asset_check(asset=icon_manifest)
def no_adapter_is_out_of_date(artifacts: ArtifactStore, base: Base) -> dg.AssetCheckResult:
    """No adapter was trained on an icon that upstream or the rules have withdrawn since; names them.

    It stands at the manifest, not at the adapters: it is asked whenever an icon may have gone.
    """
    from bioicons_pipeline.orchestration.stages.weights import ref_name
    from bioicons_pipeline.orchestration.stages.withdrawn import out_of_date
    from bioicons_pipeline.training.base_models import REGISTRY

    folder = () if base.name in REGISTRY else (ref_name(base.resolve(artifacts.cache)),)
    found = out_of_date(artifacts.open(), folder)
    return dg.AssetCheckResult(
        passed=not found, severity=dg.AssetCheckSeverity.WARN, metadata={"out of date": found}
    )


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


ALL_CHECKS = [
    no_icon_outside_the_preset,
    no_duplicate_id,
    every_included_icon_has_its_credit,
    no_family_is_torn,
    no_adapter_is_out_of_date,
    every_licence_is_in_the_preset,
    no_family_on_both_sides,
    fixed_noise_loss_fell,
]
