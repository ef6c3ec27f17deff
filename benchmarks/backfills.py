"""Backfills through the daemon: one run for all categories, or a run for each; in seconds and CPU-seconds.

Usage: python benchmarks/backfills.py [--partitions 37] [--icons 4] [--out benchmarks/results/backfills.json]

A library of PARTITIONS made-up categories with ICONS small icons each is rebuilt from manifest to dataset,
from scratch each time, in three ways: `single_run`, the policy that the cheap stages have; `run_each`, a run
a category, as trainings have it; `in_process`, one run in this process, which is what the work itself costs.
Seconds are from adding the backfill until Dagster says it is complete. CPU-seconds are those of all
processes, with and without what an idle daemon needs; the daemon polls, so seconds have a floor of a few.
"""

import argparse
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import suppress
from pathlib import Path

import dagster as dg
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

STAGES = ("icon_manifest", "rasterized_icons", "icon_captions", "icon_dataset")
POLICIES = {
    "single_run": dg.BackfillPolicy.single_run(),
    "run_each": dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
}
PR_SET_CHILD_SUBREAPER = 36


def definitions(policy: str) -> dg.Definitions:
    """The project's own, with another backfill policy for the cheap stages."""
    from bioicons_pipeline.definitions import defs
    from bioicons_pipeline.orchestration.assets import ALL_ASSETS

    assets = [
        dg.AssetsDefinition.with_attributes(one, backfill_policy=POLICIES[policy])
        if isinstance(one, dg.AssetsDefinition) and one.key.to_user_string() in STAGES
        else one
        for one in ALL_ASSETS
    ]
    return dg.Definitions(assets=assets, resources=defs.resources, executor=defs.executor)


def single_run() -> dg.Definitions:
    """For `dagster-daemon run -f … -a single_run`."""
    return definitions("single_run")


def run_each() -> dg.Definitions:
    """For `dagster-daemon run -f … -a run_each`."""
    return definitions("run_each")


def write_library(folder: Path, categories: int, icons: int) -> None:
    """Made-up categories of plain icons in the upstream layout."""
    for category in range(categories):
        for icon in range(icons):
            file = folder / "static/icons/cc-0" / f"Category_{category:02d}" / "Ann" / f"mouse_{icon}.svg"
            file.parent.mkdir(parents=True, exist_ok=True)
            spikes = " ".join(f"L{10 + 80 * (i % 2)} {15 + i * (7 + category) % 70}" for i in range(3 + icon))
            file.write_text(
                '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">'
                f'<path d="M50 {5 + icon} {spikes} Z" fill="#{category:02x}88{40 * icon % 256:02x}"/></svg>'
            )


def cpu_s() -> float:
    """CPU-seconds of this process's descendants that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def environment(root: Path) -> dict[str, str]:
    """Of a process that works in the folder `root`."""
    return {
        **os.environ,
        "DAGSTER_HOME": str(root / "home"),
        "BIOICONS_DATA_DIR": str(root / "data"),
        "BIOICONS_SOURCE": str(root / "library"),
        "BIOICONS_RENDER_SIZE": "64",
        "BIOICONS_WORKERS": "1",
    }


def with_daemon(policy: str, root: Path, backfill: bool) -> dict:
    """Start a daemon, let it run one backfill over all categories (or none), stop it."""
    env = environment(root)
    (root / "home").mkdir(parents=True, exist_ok=True)
    (root / "home" / "dagster.yaml").write_text(
        "telemetry:\n  enabled: false\nrun_coordinator:\n  module: dagster.core.run_coordinator\n"
        "  class: QueuedRunCoordinator\n  config:\n    max_concurrent_runs: 2\n"
    )
    before = cpu_s()
    log = (root / "daemon.log").open("ab")
    daemon = subprocess.Popen(
        [sys.executable, "-m", "dagster._daemon", "run", "-f", __file__, "-a", policy],
        env=env, stdout=log, stderr=log, start_new_session=True,
    )  # fmt: skip
    seconds, runs, succeeded = 0.0, 0, True
    os.environ["DAGSTER_HOME"] = env["DAGSTER_HOME"]
    with dg.DagsterInstance.get() as instance:
        time.sleep(25)  # both daemons have loaded the code location
        if backfill:
            seconds, succeeded, runs = run_backfill(instance, policy)
    os.killpg(daemon.pid, signal.SIGINT)
    reap(daemon)
    return {
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_s() - before, 1),
        "runs": runs,
        "succeeded": succeeded,
    }


def run_backfill(instance: dg.DagsterInstance, policy: str) -> tuple[float, bool, int]:
    """Seconds of one backfill of the cheap stages over all categories; whether it succeeded; its runs."""
    keys = instance.get_dynamic_partitions("category")
    started = time.time()
    backfill = PartitionBackfill.from_asset_partitions(
        backfill_id=uuid.uuid4().hex[:8],
        asset_graph=definitions(policy).resolve_asset_graph(),
        partition_names=list(keys),
        asset_selection=[dg.AssetKey(name) for name in STAGES],
        backfill_timestamp=started,
        tags={},
        dynamic_partitions_store=instance,
        all_partitions=False,
        title=None,
        description=None,
        run_config=None,
    )
    instance.add_backfill(backfill)
    ended = {
        BulkActionStatus.COMPLETED,
        BulkActionStatus.COMPLETED_SUCCESS,
        BulkActionStatus.COMPLETED_FAILED,
        BulkActionStatus.FAILED,
        BulkActionStatus.CANCELED,
    }
    while True:
        time.sleep(1)
        now = instance.get_backfill(backfill.backfill_id)
        if now is not None and now.status in ended:
            seconds = time.time() - started
            runs = instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": backfill.backfill_id}))
            return seconds, now.status == BulkActionStatus.COMPLETED_SUCCESS, len(runs)


def reap(daemon: subprocess.Popen) -> None:
    """Wait for the daemon and for everything that it left behind, so that their CPU time is counted."""
    with suppress(subprocess.TimeoutExpired):
        daemon.wait(timeout=60)
    with suppress(ProcessLookupError):
        os.killpg(daemon.pid, signal.SIGKILL)
    with suppress(ChildProcessError):
        for _ in range(600):
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.1)


def prepare(root: Path, categories: int, icons: int) -> None:
    """Library and snapshot, so that each way begins at the manifest."""
    write_library(root / "library", categories, icons)
    (root / "home").mkdir(parents=True)
    (root / "home" / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    in_process(root, ("svg_snapshot",))


def in_process(root: Path, stages: tuple[str, ...]) -> dict:
    """One run in a process without daemon; seconds and CPU-seconds of the process."""
    program = (
        "import sys, time, dagster as dg, resource\n"
        "from bioicons_pipeline.definitions import defs\n"
        "with dg.DagsterInstance.get() as instance:\n"
        "    keys = instance.get_dynamic_partitions('category')\n"
        "    job = defs.get_repository_def().get_implicit_job_def_for_assets("
        "[dg.AssetKey(name) for name in sys.argv[1:]])\n"
        "    tags = {'dagster/asset_partition_range_start': keys[0], "
        "'dagster/asset_partition_range_end': keys[-1]} if keys else {}\n"
        "    started = time.time()\n"
        "    assert job.execute_in_process(instance=instance, tags=tags, "
        "asset_selection=[dg.AssetKey(name) for name in sys.argv[1:]]).success\n"
        "    print(time.time() - started)\n"
    )
    env = environment(root)
    before = cpu_s()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, *stages],
        env=env, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    return {
        "seconds": round(float(done.stdout.split()[-1]), 1),
        "cpu_seconds": round(cpu_s() - before, 1),
        "runs": 1,
        "succeeded": True,
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--partitions", type=int, default=37)
    parser.add_argument("--icons", type=int, default=4)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/backfills.json"))
    options = parser.parse_args()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    found: dict = {}
    with tempfile.TemporaryDirectory(prefix="bioicons-backfills-") as folder:
        ways = ("in_process", "idle", "single_run", "run_each")
        for way in ways:
            root = Path(folder) / way
            prepare(root, options.partitions, options.icons)
            if way == "in_process":
                found[way] = in_process(root, STAGES)
            else:
                found[way] = with_daemon("single_run" if way == "idle" else way, root, way != "idle")
            if way not in ("in_process", "idle"):
                spare = found[way]["cpu_seconds"] - found["idle"]["cpu_seconds"]
                found[way]["cpu_seconds_less_idle"] = round(spare, 1)
            print(f"{way:<11} {json.dumps(found[way])}", flush=True)
    result = {
        "machine": {"cpus": os.cpu_count(), "dagster": dg.__version__},
        "partitions": options.partitions,
        "icons": options.icons,
        "stages": list(STAGES),
        "ways": found,
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
