"""Runs whose process is gone: how that is noticed, and what is done.

Dagster 1.13 notices a dead run only while the code server that started it lives; after a kill of everything,
or of a command line, a run would stay "started" for ever and keep its slot of the pool `gpu`. So runs carry
the name of their machine, Dagster's own event log has the number of their process, and two places look:
Dagster's run monitoring, through the launcher below (`dagster.yaml`), and every command line when it starts
a job. What they fail is retried by the retry policy of `dagster.yaml`, or by whoever runs the command again.
"""

import time

import dagster as dg
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus
from dagster._core.launcher.base import LaunchRunContext
from dagster._core.storage.dagster_run import FINISHED_STATUSES

from bioicons_pipeline.processes import CLOCK_SLACK_S, started_at, this_host
from bioicons_pipeline.settings import get_settings

HOST_TAG = "bioicons/host"
"""Tag of a run: the machine that its process is on. A process number means nothing elsewhere."""
UNNUMBERED_S = 180.0
"""A run says its process number within moments of its start; one that did not for so long never will."""

TRAINING = ("lora_weights", "lora_sweep")
"""Assets that train, the library-wide ones too."""

STEP_RETRIES = dg.RetryPolicy(max_retries=2, delay=2)
"""Of every asset: a step whose process was killed is begun again in its run. What a user must mend first
(`reporting.user_errors`) is not retried."""


class LocalRunLauncher(DefaultRunLauncher):
    """Dagster's default launcher, which also knows whether the process of a run is still there."""

    def launch_run(self, context: LaunchRunContext) -> None:
        """Start the run's process; a retry's tag, copied from the run before, is set anew."""
        run = context.dagster_run
        limits = training_limits() if trains(run) else {}
        missing = {name: value for name, value in limits.items() if name not in run.tags}
        self._instance.add_run_tags(run.run_id, {**missing, HOST_TAG: this_host()})
        super().launch_run(context)

    @property
    def supports_check_run_worker_health(self) -> bool:
        """It does, other than the default launcher."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Asked by Dagster's run monitoring, at the daemon's start and then regularly."""
        reason = why_gone(self._instance, run)
        if reason is None:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, reason)


def training_limits() -> dict[str, str]:
    """Tags of a run that trains: how long it may take, and how often it is started again."""
    return {
        "dagster/max_runtime": str(round(get_settings().training_hours * 3600)),  # seconds
        "dagster/max_retries": "5",  # a killed training goes on from its last checkpoint: a try is cheap
    }


def trains(run: dg.DagsterRun) -> bool:
    """Whether a run was asked for a training. A run of automation, or of the button Materialize, belongs to
    no job that could say so by its tags."""
    return any(key.path[-1] in TRAINING for key in run.asset_selection or ())


def why_gone(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str | None:
    """A clause if a started run's process is certainly gone; None if it is there, or not ours to know."""
    if run.tags.get(HOST_TAG) != this_host():
        return None
    known = process_of(instance, run.run_id)
    if known is None:
        record = instance.get_run_record_by_id(run.run_id)
        began = (record.start_time or record.create_timestamp.timestamp()) if record else time.time()
        return "it never got a process" if time.time() - began > UNNUMBERED_S else None
    pid, when = known
    started = started_at(pid)
    if started is not None and started <= when + CLOCK_SLACK_S:
        return None
    return f"its process (number {pid}) is gone: it was killed, or this machine was restarted"


def process_of(instance: dg.DagsterInstance, run_id: str) -> tuple[int, float] | None:
    """Number of the run's own process, and when it said so, seconds since 1970."""
    records = instance.get_records_for_run(
        run_id, of_type=dg.DagsterEventType.ENGINE_EVENT, limit=20, ascending=True
    ).records
    for record in records:
        entry = record.event_log_entry
        metadata = entry.get_dagster_event().engine_event_data.metadata
        if entry.step_key is None and "pid" in metadata:
            return int(str(metadata["pid"].value)), entry.timestamp
    return None


def fail_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """End the runs of this machine whose process is gone, and free their slots; returns their ids.

    Cheap where there are none. A daemon does the same; without one, the slot of a killed command line would
    stay taken, and the next training would wait for it for ever.
    """
    ended = []
    unfinished = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
    for run in instance.get_runs(dg.RunsFilter(statuses=unfinished)):
        reason = why_gone(instance, run)
        current = instance.get_run_by_id(run.run_id)
        if reason is None or current is None or current.status not in unfinished:
            continue  # there, or it ended while this looked
        instance.report_run_failed(
            run,
            f"This run is ended, because {reason}. What was finished is kept; a training goes on from its "
            "last checkpoint when it is started again.",
        )
        ended.append(run.run_id)
    pools = instance.event_log_storage.supports_global_concurrency_limits
    for run_id in instance.event_log_storage.get_concurrency_run_ids() if pools else ():
        run = instance.get_run_by_id(run_id)
        if run is None or run.status in FINISHED_STATUSES:
            instance.event_log_storage.free_concurrency_slots_for_run(run_id)
    return ended
