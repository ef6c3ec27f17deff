"""Dead runs are noticed, and only they; a training that lost its lease or its disk publishes nothing.

What kills do to a running `dagster dev` is in `end_to_end/test_dagster_dev.py`, to a command line in
`end_to_end/test_kills.py`.
"""

import json
import os
import subprocess
import sys
import time

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from dagster._core.launcher.base import LaunchRunContext

from bioicons_pipeline.orchestration import recovery, resources
from bioicons_pipeline.orchestration.instance import shared_instance
from bioicons_pipeline.orchestration.recovery import HOST_TAG, LocalRunLauncher, fail_dead_runs
from bioicons_pipeline.orchestration.stages import weights
from bioicons_pipeline.processes import CLOCK_SLACK_S, this_host

STATUS = dg.DagsterRunStatus


@dg.job
def nothing():
    pass


@pytest.fixture
def dead_pid() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def started(instance, pid: int | None, host: str | None = None) -> str:
    """A run that says it is started, by process `pid`; its id."""
    host = this_host() if host is None else host
    run = instance.create_run_for_job(nothing, status=STATUS.STARTED, tags={HOST_TAG: host})
    if pid is not None:
        instance.report_engine_event(
            f"Started process for run (pid: {pid}).", run, EngineEventData.in_process(pid)
        )
    return run.run_id


def test_the_shipped_instance(settings):
    """One slot in the pool, killed runs retried, failed steps not, and a launcher that looks after runs."""
    with shared_instance(settings) as instance:
        assert instance.get_concurrency_config().pool_config.default_pool_limit == 1
        assert instance.run_retries_enabled and instance.run_retries_max_retries == 3
        assert not instance.run_retries_retry_on_asset_or_op_failure
        assert instance.run_monitoring_enabled and instance.run_monitoring_max_runtime_seconds
        assert isinstance(instance.run_launcher, LocalRunLauncher)
        assert instance.run_launcher.supports_check_run_worker_health


def test_dead_runs_are_failed_and_their_slots_freed_and_no_others(settings, dead_pid, monkeypatch):
    with shared_instance(settings) as instance:
        events = instance.event_log_storage
        dead, alive = started(instance, dead_pid), started(instance, os.getpid())
        elsewhere, unnumbered = started(instance, dead_pid, "another-machine"), started(instance, None)
        unknown = started(instance, dead_pid, "")
        for run_id in (dead, alive):
            events.set_concurrency_slots(f"pool-{run_id}", 1)
            assert events.claim_concurrency_slot(f"pool-{run_id}", run_id, "step").is_claimed
        health = {
            run_id: instance.run_launcher.check_run_worker_health(instance.get_run_by_id(run_id)).status.value
            for run_id in (dead, alive, elsewhere, unnumbered, unknown)
        }
        assert health.pop(dead) == "NOT_FOUND" and set(health.values()) == {"RUNNING"}
        assert fail_dead_runs(instance) == [dead]
        assert fail_dead_runs(instance) == []
        assert instance.get_run_by_id(dead).status == STATUS.FAILURE
        said = instance.get_records_for_run(dead, of_type=dg.DagsterEventType.RUN_FAILURE).records
        assert "is gone: it was killed" in said[0].event_log_entry.message
        assert instance.get_run_by_id(dead).tags["dagster/will_retry"] == "true"
        for run_id in (alive, elsewhere, unnumbered, unknown):
            assert instance.get_run_by_id(run_id).status == STATUS.STARTED
        assert events.get_concurrency_info(f"pool-{dead}").active_slot_count == 0
        assert events.get_concurrency_info(f"pool-{alive}").active_slot_count == 1
        monkeypatch.setattr(recovery, "UNNUMBERED_S", -1.0)
        assert fail_dead_runs(instance) == [unnumbered]


def test_a_later_process_of_the_same_number_is_not_the_runs(settings, monkeypatch):
    with shared_instance(settings) as instance:
        run = instance.get_run_by_id(started(instance, os.getpid()))
        assert recovery.why_gone(instance, run) is None
        monkeypatch.setattr(recovery, "started_at", lambda pid: time.time() + 2 * CLOCK_SLACK_S)
        assert "is gone" in recovery.why_gone(instance, run)


def test_a_training_that_no_job_asked_for_has_the_limits_of_one(settings, monkeypatch):
    """Automation and the button Materialize run assets by no job of ours."""
    monkeypatch.setattr(recovery.DefaultRunLauncher, "launch_run", lambda self, context: None)
    with shared_instance(settings) as instance:
        tags = {}
        asked = {"lora_weights": {}, "icon_dataset": {}, "lora_sweep": {"dagster/max_retries": "1"}}
        for name, own in asked.items():
            key = dg.AssetKey(["library", name] if name == "lora_sweep" else name)
            run = instance.add_run(dg.DagsterRun("__ASSET_JOB", asset_selection=frozenset({key}), tags=own))
            instance.run_launcher.launch_run(LaunchRunContext(run, None))
            tags[name] = instance.get_run_by_id(run.run_id).tags
    assert tags["lora_weights"]["dagster/max_runtime"] == str(48 * 3600)
    assert tags["lora_weights"]["dagster/max_retries"] == "5"
    assert "dagster/max_runtime" not in tags["icon_dataset"]
    assert tags["lora_sweep"]["dagster/max_retries"] == "1"  # what a run says itself stays
    assert all(one[HOST_TAG] == this_host() for one in tags.values())


FULL = """
import sys
if sys.orig_argv[1:3] == ["-m", "bioicons_pipeline.training"]:
    import errno
    from bioicons_pipeline.store import local
    def write_all(descriptor, chunks):
        raise OSError(errno.ENOSPC, "No space left on device")
    local.write_all = write_all
"""


@pytest.mark.timeout(1800)
def test_no_disk_or_no_lease_is_a_clear_failure_and_the_last_version_stays(built, tmp_path, monkeypatch):
    """Real trainings; each failure leaves the ref and the history alone, and the next try works."""
    from bioicons_pipeline.definitions import defs

    monkeypatch.setattr(weights, "MINIMUM_ICONS", 4)
    job = defs.resolve_job_def("train_category")
    key = dg.AssetKey("lora_weights")

    def train(seed: int, **options) -> tuple[bool, str]:
        choices = {"steps": 2, "preset": "tiny", "seed": seed, **options}
        result = job.execute_in_process(
            instance=built.instance,
            tags={"dagster/partition": "Good"},
            run_config={
                "resources": built.resources | {"base": {"config": {"name": "flux-tiny"}}},
                "ops": {"lora_weights": {"config": choices}},
            },
            asset_selection=[key],
            raise_on_error=False,
        )
        failures = [event.step_failure_data for event in result.all_events if event.is_step_failure]
        said = failures[0].user_failure_data.description if failures else ""
        return result.success, said

    def shown() -> tuple[str, int]:
        """The current version, and how many materializations there are."""
        ref = built.store.get_ref("lora_weights", partition="Good", base="flux-tiny")
        records = built.instance.fetch_materializations(key, limit=100).records
        return ref.version_id, len(records)

    def hijack() -> None:
        """Another machine takes the lease over, as if this process had slept through its end."""
        (file,) = (built.store.root / "leases").rglob("Good.json")
        record = json.loads(file.read_bytes())
        file.write_text(json.dumps(record | {"token": record["token"] + 1, "holder": "run b"}))

    assert train(0) == (True, "")
    first = shown()
    assert first[1] == 1

    planted = tmp_path / "planted"
    planted.mkdir()
    (planted / "sitecustomize.py").write_text(FULL)
    with monkeypatch.context() as patch:
        path = os.pathsep.join(filter(None, [str(planted), os.environ.get("PYTHONPATH")]))
        patch.setenv("PYTHONPATH", path)
        success, said = train(1)
    assert not success and "no space is left" in said and "\n" not in said
    assert shown() == first

    real = resources.TrainingBackend.train

    def late(self, context, request, lease):
        hijack()
        return real(self, context, request, lease)

    with monkeypatch.context() as patch:
        patch.setattr(resources.TrainingBackend, "train", late)
        success, said = train(1)
    assert not success and "has lost the lease" in said and "to run b" in said
    assert shown() == first
    versions = set((built.store.root / "versions").iterdir())
    hijacked = next((built.store.root / "leases").rglob("Good.json"))
    hijacked.write_text(json.dumps(json.loads(hijacked.read_bytes()) | {"holder": None}))

    assert train(1) == (True, "")
    second = shown()
    assert second[0] != first[0] and second[1] == 2
    assert len(set((built.store.root / "versions").iterdir()) - versions) == 1

    def overtaken(self, context, request, lease):
        hijack()
        return first[0], {}

    with monkeypatch.context() as patch:
        patch.setattr(resources.TrainingBackend, "train", overtaken)
        success, said = train(0)
    assert not success and "nothing is published" in said
    assert shown() == second
