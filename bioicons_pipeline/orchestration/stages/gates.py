"""The gates: what stops a bad artifact from going further, in the code path, whoever runs what and how.

A blocking check of Dagster stops the steps of its own run, and keeps one latest result for all partitions: a
bad partition is let through by a good one's result, by a later manual run, and by a backfill in a single run.
So the findings that block are written into the ref of the artifact. Whoever asks for it as an input
(`base.require_ref`) is stopped, for this partition and no other, until it is made again and is good. What was
built from its last good version stays current.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from bioicons_pipeline.errors import BioiconsError

BLOCKED = "blocked"
"""Key in a ref's info: the findings, if there are any."""
COUNT = "findings_count"
KEPT = 20
"""Findings that a ref remembers."""


class BlockedError(BioiconsError):
    """An artifact breaks a rule that nothing may be built on."""


def blocking(findings: Sequence[str]) -> dict[str, Any]:
    """What goes into a ref's info: nothing when there are no findings."""
    return {BLOCKED: list(findings[:KEPT]), COUNT: len(findings)} if findings else {}


def is_blocked(info: Mapping[str, Any] | None) -> bool:
    """A gate has stopped the artifact with this info."""
    return bool((info or {}).get(BLOCKED))


def check_open(asset: str, partition: str | None, info: Mapping[str, Any] | None) -> None:
    """Let an artifact through, by the info of its ref.

    Raises:
        BlockedError: it has findings that block.
    """
    if is_blocked(info):
        findings = (info or {})[BLOCKED]
        of = f" of {partition}" if partition else ""
        more = (info or {}).get(COUNT, len(findings)) - 1
        raise BlockedError(
            f"{asset}{of} is stopped: {findings[0]}{f' (and {more} more)' if more else ''}. Mend or exclude "
            f"the icon in the curation file and materialize {asset} again; what was built before stays."
        )
