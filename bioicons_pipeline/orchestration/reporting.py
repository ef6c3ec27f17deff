"""How a stage's outcome becomes events that a person wants to see in the UI.

Pictures are data URIs in Markdown, kept under Dagster's advice for metadata (750 kB). Failures that a
user can mend become `dagster.Failure` with the one sentence as its description.
"""

import base64
import io
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.orchestration.durations import STORED_AS
from bioicons_pipeline.orchestration.looks import upstream_link
from bioicons_pipeline.orchestration.stages.base import MissingInputError, Outcome, Progress, input_key
from bioicons_pipeline.orchestration.stages.gates import BlockedError, check_open
from bioicons_pipeline.orchestration.stages.gone import WITHDRAWN
from bioicons_pipeline.orchestration.stages.origin import Origin
from bioicons_pipeline.processes import this_host

PICTURE_LIMIT = 500_000
"""Bytes of an encoded picture; base64 adds a third."""

Event = dg.MaterializeResult | dg.AssetMaterialization


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn a `BioiconsError` into a `dagster.Failure` that says the same and is not retried."""
    try:
        yield
    except BioiconsError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error


def holder(context: dg.AssetExecutionContext) -> str:
    """Who holds a lease, for people: the run, and the machine that its step is on."""
    return f"run {context.run.run_id} on {this_host()}"


def progress_log(context: dg.AssetExecutionContext, what: str, every_s: float = 2.0) -> Progress:
    """A progress callback that logs `what done/total` at most every `every_s` seconds, and at the end."""
    last = 0.0

    def report(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if done >= total or now - last >= every_s:
            last = now
            context.log.info(f"{what} {done}/{total}")

    return report


def phase_log(context: dg.AssetExecutionContext) -> Callable[[str, int, int], None]:
    """The same for work of several phases, each with a line of its own."""
    logs: dict[str, Progress] = {}

    def report(phase: str, done: int, total: int) -> None:
        logs.setdefault(phase, progress_log(context, phase))(done, total)

    return report


def picture(png: bytes, alt: str) -> dg.MarkdownMetadataValue:
    """A PNG as a picture in the UI, scaled down until it is small enough."""
    from PIL import Image

    data, kind = png, "png"
    image = Image.open(io.BytesIO(png)).convert("RGB")
    while len(data) > PICTURE_LIMIT:
        image = image.resize((max(1, image.width * 3 // 4), max(1, image.height * 3 // 4)))
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=85)
        data, kind = buffer.getvalue(), "jpeg"
    return dg.MetadataValue.md(f"![{alt}](data:image/{kind};base64,{base64.b64encode(data).decode()})")


def counts_table(counts: Mapping[str, Any], name: str) -> dg.TableMetadataValue:
    """`{key: number}` as a table, largest first."""
    ordered = sorted(counts.items(), key=lambda item: (-float(item[1]), item[0]))
    return dg.MetadataValue.table(
        [dg.TableRecord({name: str(key), "icons": int(value)}) for key, value in ordered],
        dg.TableSchema([dg.TableColumn(name, "string"), dg.TableColumn("icons", "int")]),
    )


def where(store: Any, outcome: Outcome, origin: Origin | None) -> dict[str, Any]:
    """Metadata that every materialization has: the version, where it lies, whether it is new, the upstream
    commit that it was made from (`stages/origin`)."""
    return {
        "version": outcome.version_id,
        "path": dg.MetadataValue.path(f"{store.root}/versions/{outcome.version_id}.json"),
        "changed": outcome.changed,
        **({"upstream commit": upstream_link(origin.commit, origin.source_url)} if origin else {}),
        **({"withdrawn upstream at": outcome.facts[WITHDRAWN]} if WITHDRAWN in outcome.facts else {}),
    }


def on_base(store: Any, outcome: Outcome, base: str, stored_as: str, origin: Origin | None) -> dict[str, Any]:
    """`where`, and on which base it was made: what `durations` tells the times of several bases apart by."""
    return {
        "status": outcome.facts["status"],
        "base": base,
        STORED_AS: stored_as,
        **where(store, outcome, origin),
    }


def each_category(
    context: dg.AssetExecutionContext, build: Callable[[str], Outcome]
) -> tuple[dict[str, Outcome], dict[str, str]]:
    """Build every partition of a run; returns the outcomes, and by category what a gate said of the rest.

    A category that a gate stops fails a run of its own. Among several it is left out, and said to be, so that
    the others go on: a single-run backfill must not fail for one of them. If none is left, the run fails, and
    each is recorded as stopped all the same: what was never made would hold up the whole library for good.
    """
    outcomes: dict[str, Outcome] = {}
    stopped: dict[str, str] = {}
    for category in context.partition_keys:
        try:
            outcome = build(category)
            check_open(context.asset_key.to_user_string(), category, outcome.facts)
        except (BlockedError, MissingInputError) as error:
            context.log.error(f"{category}: {error}")
            stopped[category] = str(error)
        except BioiconsError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from error
        else:
            outcomes[category] = outcome
    if not outcomes:
        for category, reason in stopped.items():
            context.log_event(_stopped_event(context, category, reason))
        raise dg.Failure(description=next(iter(stopped.values())), allow_retries=False)
    return outcomes, stopped


def _stopped_event(
    context: dg.AssetExecutionContext,
    category: str,
    reason: str,
    provenance: Mapping[str, str] | None = None,
) -> dg.AssetMaterialization:
    """Says that a gate stopped a category, under a version that no good one has."""
    return _event(
        context, category, f"stopped-{input_key(reason=reason)}", {"stopped": reason}, provenance or {}
    )


def _event(
    context: dg.AssetExecutionContext,
    category: str,
    version: str,
    metadata: Mapping[str, Any],
    provenance: Mapping[str, str],
) -> dg.AssetMaterialization:
    return dg.AssetMaterialization(
        asset_key=context.asset_key,
        partition=category,
        metadata=dict(metadata),
        tags={
            **provenance,
            "dagster/data_version": version,
            "dagster/data_version_is_user_provided": "true",
        },
    )


def _stamped_provenance(context: dg.AssetExecutionContext, category: str) -> dict[str, str]:
    """Provenance tags that Dagster gave the newest materialization of a category."""
    first = context.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=context.asset_key, asset_partitions=[category]), limit=1
    ).records[0]
    stamped = first.asset_materialization
    return {
        key: value
        for key, value in ((stamped.tags if stamped else None) or {}).items()
        if key.startswith(("dagster/code_version", "dagster/input_"))
    }


def emit(
    context: dg.AssetExecutionContext,
    outcomes: Mapping[str, Outcome],
    metadata: Mapping[str, Mapping[str, Any]],
    summary: Mapping[str, Any] | None = None,
    stopped: Mapping[str, str] | None = None,
) -> Iterator[Event]:
    """Events for a run over one partition or many; `stopped` as `each_category` returns it.

    Dagster stamps the one `MaterializeResult` of a single-run backfill, version included, on all its
    partitions. So it comes first, and one materialization per partition with that partition's own data
    version follows (the last one counts), keeping the provenance tags that the first was given. One that a
    gate stopped was stamped too: its own says so, under a version that no good one has.
    """
    if len(outcomes) == 1 and not stopped:
        ((category, outcome),) = outcomes.items()
        yield dg.MaterializeResult(
            data_version=dg.DataVersion(outcome.version_id), metadata=dict(metadata[category])
        )
        return
    together = input_key(versions={key: outcome.version_id for key, outcome in outcomes.items()})
    yield dg.MaterializeResult(data_version=dg.DataVersion(together), metadata=dict(summary or {}))
    for category, outcome in outcomes.items():
        provenance = _stamped_provenance(context, category)
        yield _event(context, category, outcome.version_id, metadata[category], provenance)
    for category, reason in (stopped or {}).items():
        yield _stopped_event(context, category, reason, _stamped_provenance(context, category))
