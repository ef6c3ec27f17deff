"""How findings become the result of a check, and which partitions a run is about."""

import dagster as dg

SHOWN = 20
"""Findings that a check names; it counts all."""


def verdict(
    found: list[str], what: str, severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR
) -> dg.AssetCheckResult:
    """Passed without findings; `what` is the heading of those there are."""
    return dg.AssetCheckResult(
        passed=not found, severity=severity, metadata={what: found[:SHOWN], "count": len(found)}
    )


def categories_of(context: dg.AssetCheckExecutionContext) -> list[str]:
    """The categories that a run of a partitioned check is about: one, or all of a single-run backfill."""
    return list(context.op_execution_context.partition_keys)
