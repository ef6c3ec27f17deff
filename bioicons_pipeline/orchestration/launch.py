"""Runs jobs from the command line on the shared instance, and says what goes on.

A job runs in this process under the GPU-backed executor, a process per step. What steps print goes to
a log file, so that the terminal shows one progress bar; what happens is read from Dagster's own event
log, the same that the UI shows.
"""

import os
import re
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import dagster as dg
from dagster._core.definitions.reconstruct import build_reconstructable_job

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.orchestration.recovery import HOST_TAG, fail_dead_runs
from bioicons_pipeline.processes import this_host

_PROGRESS = re.compile(r"^(?P<text>.*?)\s(?P<done>\d+)/(?P<total>\d+)(?P<rest>.*)$", re.DOTALL)
_POLL_S = 0.5
NO_RETRIES = {"dagster/max_retries": "0"}
"""Whoever typed the command starts it again; the daemon could not: it knows no workspace for such a run."""


class JobFailedError(BioiconsError):
    """A job ended without success; the message is the failing step's own sentence.

    mendable: whether the step said what to do about it (a `BioiconsError`); else it is a bug of ours, and
    scripts tell the two apart by the exit code.
    """

    def __init__(self, message: str, *, mendable: bool) -> None:
        super().__init__(message)
        self.mendable = mendable
        self.exit_code = BioiconsError.exit_code if mendable else 1

    def with_log(self, log: Path) -> "JobFailedError":
        """The same, with where the details are."""
        return JobFailedError(f"{self} (log: {log})", mendable=self.mendable)


@dataclass(frozen=True)
class Progress:
    """Something to show: `stage` is the step's name; done and total are None for a plain message."""

    stage: str
    text: str
    done: int | None = None
    total: int | None = None


Listener = Callable[[Progress], None]


@contextmanager
def terminal_kept(log: Path) -> Iterator[IO[str]]:
    """Send file descriptors 1 and 2, and so all child processes' output, to `log`; yields the terminal."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(2)
    kept_out = os.dup(1)
    with log.open("ab", buffering=0) as sink:
        os.dup2(sink.fileno(), 1)
        os.dup2(sink.fileno(), 2)
    terminal = os.fdopen(os.dup(kept), "w", encoding="utf-8", errors="replace")
    try:
        yield terminal
    finally:
        terminal.flush()
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(kept_out, 1)
        os.dup2(kept, 2)
        os.close(kept)
        os.close(kept_out)
        terminal.close()


def _watch(instance: dg.DagsterInstance, mark: str, done: threading.Event, listener: Listener) -> None:
    """Follow the event log of the run tagged `mark` until `done`."""
    cursor: str | None = None
    run_id: str | None = None
    while True:
        last_round = done.is_set()
        if run_id is None:
            runs = instance.get_runs(dg.RunsFilter(tags={"bioicons/launch": mark}), limit=1)
            run_id = runs[0].run_id if runs else None
        if run_id:
            batch = instance.get_records_for_run(run_id, cursor=cursor)
            cursor = batch.cursor
            for record in batch.records:
                if progress := _as_progress(record.event_log_entry):
                    listener(progress)
        if last_round:
            return
        done.wait(_POLL_S)


def _as_progress(entry: dg.EventLogEntry) -> Progress | None:
    stage = (entry.step_key or "").replace("__", "/")
    if entry.is_dagster_event:
        kind = entry.get_dagster_event().event_type_value
        known = {"STEP_START": "started", "STEP_SUCCESS": "done", "STEP_FAILURE": "failed"}
        if kind in known:
            return Progress(stage, known[kind])
        if kind == "ENGINE_EVENT" and "blocked by concurrency limit" in entry.user_message:
            return Progress(stage, "waiting for the GPU slot")
        return None
    if not stage:
        return None
    match = _PROGRESS.match(entry.user_message)
    if match:
        text = (match["text"] + match["rest"]).strip()
        return Progress(stage, text, int(match["done"]), int(match["total"]))
    return Progress(stage, entry.user_message.strip().splitlines()[0] if entry.user_message.strip() else "")


def execute(
    instance: dg.DagsterInstance,
    job: str,
    run_config: Mapping[str, Any],
    *,
    tags: Mapping[str, str] | None = None,
    listener: Listener | None = None,
    only: Sequence[str] = (),
) -> str:
    """Run `job`, or of its assets those called `only`, to its end; returns the run id.

    Raises:
        JobFailedError: a step failed; the message is what it said.
        KeyboardInterrupt: the user stopped it; the run's processes are gone and the run is canceled.
    """
    fail_dead_runs(instance)
    mark = uuid.uuid4().hex
    finished = threading.Event()
    watcher = threading.Thread(
        target=_watch, args=(instance, mark, finished, listener or (lambda _: None)), daemon=True
    )
    watcher.start()
    recon = build_reconstructable_job(
        "bioicons_pipeline.definitions", "job_named", reconstructable_args=(job,)
    )
    try:
        with dg.execute_job(
            recon,
            instance,
            run_config={**run_config, "loggers": {"console": {"config": {"log_level": "WARNING"}}}},
            tags={**(tags or {}), "bioicons/launch": mark, HOST_TAG: this_host(), **NO_RETRIES},
            asset_selection=[dg.AssetKey(name) for name in only] or None,
        ) as result:
            run_id, success = result.run_id, result.success
    except dg.DagsterExecutionInterruptedError as error:
        raise KeyboardInterrupt from error
    finally:
        finished.set()
        watcher.join(timeout=10)
    if not success:
        if _interrupted(instance, run_id):
            raise KeyboardInterrupt
        raise failure_of(instance, run_id)
    return run_id


def _interrupted(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether it ended because it was told to: Ctrl-C reaches the steps before the run, and a step that was
    stopped asks for its retry before the run stops too."""
    kinds = {
        dg.DagsterEventType.STEP_FAILURE,
        dg.DagsterEventType.STEP_UP_FOR_RETRY,
        dg.DagsterEventType.RUN_FAILURE,
    }
    for record in instance.get_records_for_run(run_id, of_type=kinds).records:
        error = getattr(record.event_log_entry.get_dagster_event().event_specific_data, "error", None)
        while error:
            if "DagsterExecutionInterruptedError" in f"{error.cls_name} {error.message}":
                return True
            error = error.cause
    return False


def failure_of(instance: dg.DagsterInstance, run_id: str) -> JobFailedError:
    """What a run failed of: the sentence of the first step that failed for a reason of its own.

    A step's `BioiconsError`, and nothing else, reaches Dagster as a `dagster.Failure` (see `reporting`): that
    is told by its user data. Steps killed by the system, and bugs, have none.
    """
    records = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records
    for record in records:
        data = record.event_log_entry.get_dagster_event().step_failure_data
        if data.user_failure_data and data.user_failure_data.description:
            return JobFailedError(data.user_failure_data.description, mendable=True)
        if data.error:
            root = data.error
            while root.cause:
                root = root.cause
            step, said = record.event_log_entry.step_key, root.message.strip()
            return JobFailedError(
                f"The step {step} failed unexpectedly ({said}): the log has the details.", mendable=False
            )
    return JobFailedError(f"The run {run_id} did not finish: the log has the details.", mendable=False)


def partition_tags(instance: dg.DagsterInstance, categories: list[str] | None) -> dict[str, str]:
    """Run tags for one category, or for all that are registered (None) as one run."""
    if categories is not None and len(categories) == 1:
        return {"dagster/partition": categories[0]}
    keys = instance.get_dynamic_partitions("category")
    if not keys:
        raise BioiconsError("No categories are known yet: run the snapshot first.")
    if len(keys) == 1:
        return {"dagster/partition": keys[0]}
    return {
        "dagster/asset_partition_range_start": keys[0],
        "dagster/asset_partition_range_end": keys[-1],
    }
