"""`dagster dev`, as started in the repository root: the graph, Materialize, a backfill, a shared history;
trainings that wait for one another; and what happens to those whose processes are killed.

Speaks the GraphQL that the UI's own buttons speak (https://docs.dagster.io/api/graphql).
"""

import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import dagster as dg
import psutil
import pytest

from bioicons_pipeline.orchestration import recovery
from bioicons_pipeline.orchestration.instance import shared_instance
from bioicons_pipeline.orchestration.stages import weights
from bioicons_pipeline.settings import Settings
from bioicons_pipeline.store import Store
from bioicons_pipeline.training import run as training
from bioicons_pipeline.training.base_models import resolve_base
from bioicons_pipeline.training.files import COMFYUI_NAME, WEIGHTS_NAME
from bioicons_pipeline_tests.conftest import REPOSITORY
from bioicons_pipeline_tests.end_to_end.conftest import bioicons

PATIENCE = 120_000
LOCATION = "bioicons_pipeline"
SELECTOR = {"repositoryLocationName": LOCATION, "repositoryName": "__repository__"}


class Dev:
    """A running `dagster dev` and a way to ask it."""

    def __init__(self, place: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.place = place
        self.page = f"http://127.0.0.1:{self.port}"
        self.url = f"{self.page}/graphql"

    def start(self) -> None:
        """Start it, and wait until it has loaded the code."""
        environment = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("BIOICONS_", "DAGSTER_HOME"))
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dagster", "dev", "--port", str(self.port)],
            cwd=self.place,
            env={**environment, "BIOICONS_SOURCE": "starter", "BIOICONS_RENDER_SIZE": "64"},
            stdout=(self.place / "dev.log").open("a"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.wait(lambda: self.asset_names() or None)

    def stop(self) -> None:
        """Ctrl-C."""
        os.killpg(self.process.pid, signal.SIGINT)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)

    def launch(self, job: str, partition: str | None = None, config: dict | None = None, assets=()) -> str:
        """Start a job as the UI does; returns the run's id."""
        tags = [{"key": "dagster/partition", "value": partition}] if partition else []
        launched = self.ask(
            "mutation($p: ExecutionParams!) { launchPipelineExecution(executionParams: $p) "
            "{ __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } "
            "... on RunConfigValidationInvalid { errors { message } } } }",
            p={
                "selector": {
                    **SELECTOR,
                    "pipelineName": job,
                    **({"assetSelection": [{"path": [name]} for name in assets]} if assets else {}),
                },
                "runConfigData": config or {},
                "mode": "default",
                "executionMetadata": {"tags": tags},
            },
        )["launchPipelineExecution"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return launched["run"]["runId"]

    def ask(self, query: str, **variables) -> dict:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as reply:
            answer = json.load(reply)
        assert "errors" not in answer, answer
        return answer["data"]

    def wait(self, check, seconds: float = 600.0, every: float = 1.0):
        """What `check` returns, once it is not None."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if (found := check()) is not None:
                    return found
            except (urllib.error.URLError, ConnectionError):
                pass
            time.sleep(every)
        raise AssertionError(f"nothing after {seconds} s")

    def asset_names(self) -> set[str]:
        nodes = self.ask("{ assetNodes { assetKey { path } } }")["assetNodes"]
        return {"/".join(node["assetKey"]["path"]) for node in nodes}

    def finished(self, run_id: str) -> str | None:
        query = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
        status = self.ask(query, id=run_id)["runOrError"]["status"]
        return status if status in ("SUCCESS", "FAILURE", "CANCELED") else None


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with the files that `dagster dev` finds in the repository root."""
    folder = tmp_path_factory.mktemp("root")
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(REPOSITORY / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def dev(place):
    done = bioicons("run", "--source", "starter", "--until", "svg_snapshot", data=place / "data")
    assert done.returncode == 0, done.stderr
    running = Dev(place)
    running.start()
    yield running
    running.stop()


def test_the_graph_is_there(dev):
    assert {"svg_snapshot", "icon_manifest", "sample_grid", "library/lora_weights"} <= dev.asset_names()


def test_the_history_is_the_command_lines(dev):
    runs = dev.ask("{ runsOrError { ... on Runs { results { jobName status } } } }")["runsOrError"]["results"]
    assert {"jobName": "refresh_library", "status": "SUCCESS"} in runs


def test_materialize_an_asset(dev):
    run = dev.launch("__ASSET_JOB", assets=["svg_snapshot"])
    assert dev.wait(lambda: dev.finished(run)) == "SUCCESS"


def test_backfill_all_categories_of_the_cheap_stages_as_one_run(dev):
    stages = ("icon_manifest", "rasterized_icons", "icon_captions", "icon_dataset")
    categories = ["Animals", "Cell_types", "Lab_apparatus"]
    launched = dev.ask(
        "mutation($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) "
        "{ __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }",
        p={"assetSelection": [{"path": [name]} for name in stages], "partitionNames": categories},
    )["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched
    query = (
        "query($id: String!) { partitionBackfillOrError(backfillId: $id) "
        "{ ... on PartitionBackfill { status runs { id status } } } }"
    )

    def ended():
        backfill = dev.ask(query, id=launched["backfillId"])["partitionBackfillOrError"]
        return backfill if backfill["status"].startswith("COMPLETED") else None

    backfill = dev.wait(ended)
    assert backfill["status"] == "COMPLETED_SUCCESS", backfill
    assert len(backfill["runs"]) == 1
    query = (
        "query($k: AssetKeyInput!) { assetNodeOrError(assetKey: $k) { ... on AssetNode "
        "{ assetPartitionStatuses { ... on DefaultPartitionStatuses { materializedPartitions } } } } }"
    )
    for name in stages:
        node = dev.ask(query, k={"path": [name]})["assetNodeOrError"]
        assert sorted(node["assetPartitionStatuses"]["materializedPartitions"]) == categories


def test_each_partition_has_its_own_data_version_and_is_fresh(dev):
    query = (
        "query($k: AssetKeyInput!, $p: String!) { assetNodeOrError(assetKey: $k) { ... on AssetNode "
        "{ dataVersion(partition: $p) staleStatus(partition: $p) } } }"
    )
    versions = []
    for category in ("Animals", "Cell_types", "Lab_apparatus"):
        node = dev.ask(query, k={"path": ["icon_dataset"]}, p=category)["assetNodeOrError"]
        assert node["staleStatus"] == "FRESH", (category, node)
        versions.append(node["dataVersion"])
    assert len(set(versions)) == 3


@pytest.mark.chromium
def test_a_person_sees_the_graph_and_the_pictures(dev, browser):
    """In a real browser: every asset in the graph, and what a materialization shows of its icons."""
    page = browser.new_page(viewport={"width": 1700, "height": 950})
    page.set_default_timeout(PATIENCE)
    page.goto(f"{dev.page}/asset-groups")
    for group in ("1_library", "2_dataset", "3_model", "4_library_wide"):
        page.get_by_text(group, exact=True).first.wait_for()
    page.keyboard.press("Alt+e")  # all groups open
    for name in ("svg_snapshot", "icon_manifest", "lora_weights", "sample_grid"):
        page.get_by_text(name, exact=True).first.wait_for()
    page.goto(f"{dev.page}/assets/rasterized_icons?view=partitions&partition=Animals")
    page.get_by_text("[Show Markdown]", exact=True).first.click()
    picture = page.locator('img[alt="Animals"]')
    picture.wait_for()
    assert picture.evaluate("image => image.complete && image.naturalWidth") >= 64
    page.goto(f"{dev.page}/assets/icon_dataset?view=partitions&partition=Animals")
    for text in ("upstream commit", "licence mix"):
        page.get_by_text(text).first.wait_for()
    page.close()


# --- trainings that are killed ---

CHOICES = {"steps": 80, "overrides": json.dumps({"checkpoint_every": 10, "eval_every": 0})}
GPU_STEPS = ("lora_weights", "sample_grid")


def train(dev, category: str, assets: tuple[str, ...] = GPU_STEPS) -> str:
    base = {"base": {"config": {"name": "flux-tiny"}}}
    ops = {"lora_weights": {"config": CHOICES}, "sample_grid": {"config": {"steps": 1}}}
    ops = {name: ops[name] for name in assets}
    return dev.launch("train_category", category, {"resources": base, "ops": ops}, assets)


def wait_for_checkpoint(dev, category: str) -> None:
    """Until the training of `category` has something to go on from."""
    version = Store(dev.place / "data" / "store").get_ref("icon_dataset", partition=category).version_id

    def found():
        for identity in (dev.place / "data" / "work" / "runs").glob("*/identity.json"):
            mine = json.loads(identity.read_bytes())["dataset_version"] == version
            if mine and list((identity.parent / "checkpoints").glob("step-*")):
                return True
        return None

    dev.wait(found, every=0.05)


def events(instance, run_id: str, *kinds: str) -> list[tuple[str, str, float]]:
    """(step, kind, time) of the GPU's steps."""
    found = []
    for record in instance.get_records_for_run(run_id).records:
        entry = record.event_log_entry
        if entry.is_dagster_event and entry.step_key in GPU_STEPS:
            kind = entry.get_dagster_event().event_type_value
            if kind in kinds:
                found.append((entry.step_key, kind, entry.timestamp))
    return found


def gone(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def retry_of(dev, instance, run_id: str):
    """The run that was started in the place of a dead one, once it has ended well."""

    def ended():
        runs = instance.get_runs(dg.RunsFilter(tags={"dagster/parent_run_id": run_id}))
        if runs and runs[0].is_finished:
            return runs[0]
        return None

    assert dev.wait(lambda: dev.finished(run_id)) == "FAILURE"
    retry = dev.wait(ended)
    assert retry.status == dg.DagsterRunStatus.SUCCESS, retry
    assert retry.tags["dagster/partition"] == instance.get_run_by_id(run_id).tags["dagster/partition"]
    assert retry.tags["dagster/retry_number"] == "1"
    return retry


def assert_same_as_undisturbed(dev, instance, category: str, run_id: str, tmp_path: Path) -> None:
    """The weights of `run_id` were resumed, and are those of a training that nobody killed, byte by byte."""
    materialized = instance.fetch_materializations(
        dg.AssetRecordsFilter(dg.AssetKey("lora_weights"), asset_partitions=[category]), limit=5
    ).records
    assert [record.run_id for record in materialized] == [run_id]
    metadata = materialized[0].asset_materialization.metadata
    assert int(metadata["resumed_from"].value) >= 10
    store, cache = Store(dev.place / "data" / "store"), dev.place / "data" / "cache" / "bases"
    base = resolve_base("flux-tiny", cache)
    request = weights.request_for(
        store,
        category,
        weights.training_config(base, CHOICES),
        base_argument="flux-tiny",
        work_dir=tmp_path / "undisturbed",
        cache_dir=cache,
    )
    undisturbed = training.train(request, quiet=True).version_id
    # the adapter; losses in the report may differ in the last digit with the number of threads
    for name in (WEIGHTS_NAME, COMFYUI_NAME):
        assert store.read(undisturbed, name) == store.read(metadata["version"].value, name)
    assert store.get_ref("lora_weights", partition=category, base="flux-tiny").version_id == (
        metadata["version"].value
    )


@pytest.mark.timeout(1800)
def test_a_killed_training_leaves_no_orphan_frees_the_gpu_and_goes_on_bitwise(dev, tmp_path):
    """Two at once: the second waits for the GPU until the first one's run is killed; that one is retried."""
    with shared_instance(Settings(data_dir=dev.place / "data")) as instance:
        first = train(dev, "Animals")
        wait_for_checkpoint(dev, "Animals")
        number, _ = recovery.process_of(instance, first)
        worker = psutil.Process(number)
        children = worker.children(recursive=True)
        trainer = next(
            each for each in children if each.cmdline()[1:3] == ["-m", "bioicons_pipeline.training"]
        )
        trainer.suspend()  # it would be done before another run is under way on a slow machine
        second = train(dev, "Cell_types")
        queued = time.monotonic() + 12  # the daemon looks at what it could start every 5 s
        while time.monotonic() < queued:
            assert not events(instance, second, "STEP_START")
            time.sleep(1)
        trainer.resume()
        worker.kill()
        killed_at = time.time()
        dev.wait(lambda: all(map(gone, children)) or None, 60)
        assert dev.wait(lambda: dev.finished(second)) == "SUCCESS"
        retry = retry_of(dev, instance, first)
        assert not events(instance, first, "STEP_SUCCESS")
        ended = ("STEP_SUCCESS", "STEP_FAILURE")
        spans = []
        for run_id in (second, retry.run_id):
            starts = {step: when for step, _, when in events(instance, run_id, "STEP_START")}
            ends = {step: when for step, _, when in events(instance, run_id, *ended)}
            assert set(starts) == set(ends) == set(GPU_STEPS)
            spans += [(starts[step], ends[step]) for step in GPU_STEPS]
        assert min(start for start, _ in spans) > killed_at
        for (_, end), (start, _) in itertools.pairwise(sorted(spans)):
            assert end <= start
        assert_same_as_undisturbed(dev, instance, "Animals", retry.run_id, tmp_path)


@pytest.mark.timeout(1800)
def test_after_a_kill_of_everything_a_restart_takes_the_training_up_again(dev, tmp_path):
    with shared_instance(Settings(data_dir=dev.place / "data")) as instance:
        run = train(dev, "Lab_apparatus", ("lora_weights",))
        wait_for_checkpoint(dev, "Lab_apparatus")
        everything = [dev.process.pid, *(p.pid for p in psutil.Process(dev.process.pid).children(True))]
        for number in everything:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        dev.process.wait()
        assert instance.get_run_by_id(run).status == dg.DagsterRunStatus.STARTED
        dev.start()
        retry = retry_of(dev, instance, run)
        said = [record.event_log_entry.message for record in instance.get_records_for_run(run).records]
        assert any("is gone: it was killed, or this machine was restarted" in line for line in said), said
        assert_same_as_undisturbed(dev, instance, "Lab_apparatus", retry.run_id, tmp_path)
