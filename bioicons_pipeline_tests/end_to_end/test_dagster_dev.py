"""`dagster dev`, as started in the repository root: the graph, Materialize, a backfill, a shared history.

Speaks the GraphQL that the UI's own buttons speak (https://docs.dagster.io/api/graphql).
"""

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

import pytest

from bioicons_pipeline_tests.conftest import REPOSITORY
from bioicons_pipeline_tests.end_to_end.conftest import bioicons

LOCATION = "bioicons_pipeline"
SELECTOR = {"repositoryLocationName": LOCATION, "repositoryName": "__repository__"}


class Dev:
    """A running `dagster dev` and a way to ask it."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/graphql"

    def ask(self, query: str, **variables) -> dict:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as reply:
            answer = json.load(reply)
        assert "errors" not in answer, answer
        return answer["data"]

    def wait(self, check, seconds: float = 240.0):
        """What `check` returns, once it is not None."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if (found := check()) is not None:
                    return found
            except (urllib.error.URLError, ConnectionError):
                pass
            time.sleep(1)
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
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(("BIOICONS_", "DAGSTER_HOME"))
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "dagster", "dev", "--port", str(port)],
        cwd=place,
        env={**kept, "BIOICONS_SOURCE": "starter", "BIOICONS_RENDER_SIZE": "64"},
        stdout=(place / "dev.log").open("w"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    running = Dev(port)
    try:
        running.wait(lambda: running.asset_names() or None, 120)
        yield running
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def test_the_graph_is_there(dev):
    assert {"svg_snapshot", "icon_manifest", "sample_grid", "library/lora_weights"} <= dev.asset_names()


def test_the_history_is_the_command_lines(dev):
    runs = dev.ask("{ runsOrError { ... on Runs { results { jobName status } } } }")["runsOrError"]["results"]
    assert {"jobName": "refresh_library", "status": "SUCCESS"} in runs


def test_materialize_an_asset(dev):
    launched = dev.ask(
        "mutation($p: ExecutionParams!) { launchPipelineExecution(executionParams: $p) "
        "{ __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }",
        p={
            "selector": {
                **SELECTOR,
                "pipelineName": "__ASSET_JOB",
                "assetSelection": [{"path": ["svg_snapshot"]}],
            },
            "runConfigData": {},
            "mode": "default",
        },
    )["launchPipelineExecution"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    assert dev.wait(lambda: dev.finished(launched["run"]["runId"])) == "SUCCESS"


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

    backfill = dev.wait(ended, 400)
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
