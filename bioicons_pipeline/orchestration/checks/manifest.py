"""Checks of the manifest: licences, identities, credits, split, schema; and of what was trained on it before.

They look at all categories at once, so that a result is never of one category only.
"""

import dagster as dg

from bioicons_pipeline.orchestration.assets.icon_manifest import icon_manifest
from bioicons_pipeline.orchestration.checks.verdict import verdict
from bioicons_pipeline.orchestration.resources import ArtifactStore, Base, UpstreamLibrary


@dg.asset_check(asset=icon_manifest, blocking=True)
def no_icon_outside_the_preset(artifacts: ArtifactStore, upstream: UpstreamLibrary) -> dg.AssetCheckResult:
    """No icon is included whose licence the preset does not allow, over all categories."""
    from bioicons_pipeline.library import findings
    from bioicons_pipeline.library.licences import policy_for
    from bioicons_pipeline.orchestration.stages.manifest import whole_manifest

    policy = policy_for(upstream.licence_preset)
    return verdict(findings.outside_preset(whole_manifest(artifacts.open()), policy), "outside the preset")


@dg.asset_check(asset=icon_manifest, blocking=True)
def no_duplicate_id(artifacts: ArtifactStore) -> dg.AssetCheckResult:
    """No two icons share an icon_id."""
    from bioicons_pipeline.library import findings
    from bioicons_pipeline.orchestration.stages.manifest import whole_manifest

    return verdict(findings.duplicate_ids(whole_manifest(artifacts.open())), "sharing an icon_id")


@dg.asset_check(asset=icon_manifest, blocking=True)
def every_included_icon_has_its_credit(artifacts: ArtifactStore) -> dg.AssetCheckResult:
    """Every included icon has author, licence and source link."""
    from bioicons_pipeline.library import findings
    from bioicons_pipeline.orchestration.stages.manifest import whole_manifest

    return verdict(findings.without_credit(whole_manifest(artifacts.open())), "without credit")


@dg.asset_check(asset=icon_manifest, blocking=True)
def no_family_is_torn(artifacts: ArtifactStore) -> dg.AssetCheckResult:
    """No family of look-alikes is on both sides of the split."""
    from bioicons_pipeline.library import findings
    from bioicons_pipeline.orchestration.stages.manifest import whole_manifest

    return verdict(findings.torn_families(whole_manifest(artifacts.open())), "torn families")


@dg.asset_check(asset=icon_manifest, blocking=True)
def every_row_fits_the_schema(artifacts: ArtifactStore) -> dg.AssetCheckResult:
    """Every column of the manifest has the type and the values that it declares."""
    from bioicons_pipeline.library.schema import ManifestError, validate_manifest
    from bioicons_pipeline.orchestration.stages.manifest import whole_manifest

    try:
        validate_manifest(whole_manifest(artifacts.open()))
    except ManifestError as error:
        return verdict([str(error)], "outside the schema")
    return verdict([], "outside the schema")


@dg.asset_check(asset=icon_manifest)
def no_adapter_is_out_of_date(artifacts: ArtifactStore, base: Base) -> dg.AssetCheckResult:
    """No adapter was trained on an icon that upstream or the rules have withdrawn since; names them.

    It stands at the manifest, not at the adapters: it is asked whenever an icon may have gone.
    """
    from bioicons_pipeline.orchestration.stages.weights import ref_name
    from bioicons_pipeline.orchestration.stages.withdrawn import out_of_date
    from bioicons_pipeline.training.base_models import REGISTRY

    folder = () if base.name in REGISTRY else (ref_name(base.resolve(artifacts.bases)),)
    found = out_of_date(artifacts.open(), folder)
    return dg.AssetCheckResult(
        passed=not found, severity=dg.AssetCheckSeverity.WARN, metadata={"out of date": found}
    )


MANIFEST_CHECKS = [
    no_icon_outside_the_preset,
    no_duplicate_id,
    every_included_icon_has_its_credit,
    no_family_is_torn,
    every_row_fits_the_schema,
    no_adapter_is_out_of_date,
]
