"""Checks of adapters and of what they draw: sound weights, better than the base, no copies, style."""

import dagster as dg

from bioicons_pipeline.orchestration.assets.evaluation_report import (
    evaluation_report,
    library_evaluation_report,
)
from bioicons_pipeline.orchestration.assets.lora_weights import library_lora_weights, lora_weights
from bioicons_pipeline.orchestration.checks.verdict import categories_of, verdict
from bioicons_pipeline.orchestration.partitions import CATEGORIES
from bioicons_pipeline.orchestration.resources import ArtifactStore, Base


@dg.asset_check(asset=library_lora_weights)
def fixed_noise_loss_fell(artifacts: ArtifactStore, base: Base) -> dg.AssetCheckResult:
    """The loss at fixed noise is lower after training than before."""
    from bioicons_pipeline.orchestration.stages import weights

    store = artifacts.open()
    name = base.stored_as(artifacts.bases)
    facts = weights.current_facts(store, None, name)
    losses = facts.get("fixed_noise_loss") or {}
    before, after = losses.get("before"), losses.get("after")
    fell = before is not None and after is not None and after < before
    return dg.AssetCheckResult(
        passed=fell or facts.get("status") == "not trained",
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={"before": before, "after": after, "status": str(facts.get("status"))},
    )


@dg.asset_check(asset=lora_weights, partitions_def=CATEGORIES)
def the_weights_are_sound(
    context: dg.AssetCheckExecutionContext, artifacts: ArtifactStore, base: Base
) -> dg.AssetCheckResult:
    """The adapter is finite, does something, adapts the right modules, and its header is complete."""
    return _weights(artifacts, base, categories_of(context))


@dg.asset_check(asset=library_lora_weights)
def the_library_weights_are_sound(artifacts: ArtifactStore, base: Base) -> dg.AssetCheckResult:
    """The same of the library-wide adapter."""
    return _weights(artifacts, base, [None])


def _weights(artifacts: ArtifactStore, base: Base, categories: list) -> dg.AssetCheckResult:
    from bioicons_pipeline.orchestration.stages import weights

    store, name = artifacts.open(), base.stored_as(artifacts.bases)
    return verdict(
        [fault for category in categories for fault in weights.current_faults(store, category, name)],
        "faults of the weights",
    )


def _quality(artifacts: ArtifactStore, base: Base, category: str | None, figure: str) -> dg.AssetCheckResult:
    """What the report says of one figure; `stages.evaluation.quality` says when it fails, and how badly."""
    from bioicons_pipeline.orchestration.stages import evaluation

    name = base.stored_as(artifacts.bases)
    found = evaluation.quality(artifacts.open(), category, name, figure)
    return dg.AssetCheckResult(
        passed=found.passed,
        severity=dg.AssetCheckSeverity.ERROR if found.severe else dg.AssetCheckSeverity.WARN,
        description=found.sentence,
        metadata=dict(found.numbers),
    )


FIGURES = {
    "heldout_loss": ("better_than_the_base", "Predicts held-out icons better than the base does."),
    "copies": ("no_copies", "Likely copies of training icons are not in excess of what chance gives."),
    "style": ("closer_in_style", "Its pictures are closer to real icons in style than the base's."),
}
"""Figures of an evaluation report that have a check: its name, and what it says."""


def _of_category(figure: str) -> dg.AssetChecksDefinition:
    name, says = FIGURES[figure]

    @dg.asset_check(asset=evaluation_report, name=name, description=says, partitions_def=CATEGORIES)
    def check(
        context: dg.AssetCheckExecutionContext, artifacts: ArtifactStore, base: Base
    ) -> dg.AssetCheckResult:
        (category,) = categories_of(context)
        return _quality(artifacts, base, category, figure)

    return check


def _of_library(figure: str) -> dg.AssetChecksDefinition:
    name, says = FIGURES[figure]

    @dg.asset_check(asset=library_evaluation_report, name=f"library_{name}", description=says)
    def check(artifacts: ArtifactStore, base: Base) -> dg.AssetCheckResult:
        return _quality(artifacts, base, None, figure)

    return check


MODEL_CHECKS = [
    fixed_noise_loss_fell,
    the_weights_are_sound,
    the_library_weights_are_sound,
    *(made(figure) for made in (_of_category, _of_library) for figure in FIGURES),
]
