"""Daemon and webserver as two programs, as on a server: what happens when one of them is killed; and the real
daemon, automation on, that lives with a library that changes.

Does not belong here: `dagster dev`, which starts both and ends with either (`test_dagster_dev`), and
conditions evaluated week by week (`orchestration/test_living`).
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import psutil
import pytest

from bioicons_pipeline.orchestration.instance import shared_instance
from bioicons_pipeline.settings import Settings
from bioicons_pipeline.store import Store
from bioicons_pipeline_tests.conftest import REPOSITORY
from bioicons_pipeline_tests.end_to_end.test_dagster_dev import Dev
from bioicons_pipeline_tests.orchestration.conftest import CATEGORIES, Place, write_library

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
MODULES = {"daemon": "dagster._daemon", "webserver": "dagster_webserver"}
CHEAP = ("icon_manifest", "rasterized_icons", "icon_captions", "icon_dataset")


class Server(Dev):
    """The two programs on a data folder that a command line has made; `settings`: their environment."""

    def __init__(self, place: Path, **settings: str) -> None:
        super().__init__(place)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("BIOICONS_")}
        home = Settings(data_dir=place / "data").dagster_dir
        data = {"BIOICONS_DATA_DIR": str(place / "data"), "DAGSTER_HOME": str(home)}
        self.environment = {**kept, **data, "BIOICONS_RENDER_SIZE": "64", **settings}
        shutil.copy(REPOSITORY / "workspace.yaml", place / "workspace.yaml")
        self.running: dict[str, subprocess.Popen] = {}

    def start(self, *names: str) -> None:
        """Start these of the two; returns once the webserver answers, if it is one of them."""
        for name in names:
            how = {"daemon": ["run"], "webserver": ["--host", "127.0.0.1", "--port", str(self.port)]}[name]
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", MODULES[name], *how, "-w", "workspace.yaml"],
                cwd=self.place,
                env=self.environment,
                stdout=(self.place / f"{name}.log").open("a"),
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if "webserver" in names:
            self.wait(lambda: self.asset_names() or None)

    def kill(self, name: str) -> None:
        """SIGKILL that one program, and nothing that it started."""
        self.running[name].send_signal(signal.SIGKILL)
        self.running.pop(name).wait()

    def stop(self) -> None:
        """SIGTERM to both and, if something of theirs is left, SIGKILL to their sessions."""
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            left = psutil.Process(process.pid).children(recursive=True)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
            for child in psutil.wait_procs(left, timeout=30)[1]:
                child.kill()


def build(data: Path, *categories: str, source: str) -> None:
    """Snapshot and datasets of these categories, and every input observed once; with the history of that."""
    place = Place(data)
    with shared_instance(Settings(data_dir=data)) as place.instance:
        assert place.run("refresh_library", source=source).success
        assert place.run("build_datasets", *categories, source=source).success
        assert place.run("observe_upstream", source=source).success


def train(server: Server, seed: int) -> str:
    """Start a training of Animals that takes a while; the run's id."""
    config = {
        "resources": {"base": {"config": {"name": "flux-tiny"}}},
        "ops": {"lora_weights": {"config": {"steps": 120, "seed": seed, "overrides": '{"eval_every": 0}'}}},
    }
    return server.launch("train_category", "Animals", config, ["lora_weights"])


def is_training(server: Server) -> bool | None:
    """Whether a training is at work on the data folder; None if not."""
    data = str(server.place / "data")
    for process in psutil.process_iter(["cmdline"]):
        if (process.info["cmdline"] or [])[1:3] == ["-m", "bioicons_pipeline.training"]:
            try:
                if process.environ().get("BIOICONS_DATA_DIR") == data:
                    return True
            except psutil.Error:
                continue
    return None


def test_a_run_outlives_the_daemon_and_the_webserver(tmp_path):
    """Each is killed alone while a training is at work: it ends well and its LoRA is the current one; who is
    started again finds it, and goes on with what waits."""
    data = tmp_path / "data"
    build(data, "Animals", source="starter")
    server = Server(tmp_path, BIOICONS_SOURCE="starter")
    store = Store(data / "store")
    try:
        server.start("daemon", "webserver")
        with shared_instance(Settings(data_dir=data)) as instance:

            def ended(run_id: str) -> bool | None:
                run = instance.get_run_by_id(run_id)
                return True if run and run.is_finished else None

            def made_by(run_id: str) -> str:
                """The version that this run, and no other in its place, made current."""
                assert instance.get_run_by_id(run_id).status == dg.DagsterRunStatus.SUCCESS
                latest = instance.fetch_materializations(dg.AssetKey("lora_weights"), limit=1).records[0]
                assert latest.run_id == run_id
                version = store.get_ref("lora_weights", partition="Animals", base="flux-tiny").version_id
                assert latest.asset_materialization.metadata["version"].value == version
                assert not store.verify(version)
                return version

            first = train(server, seed=1)
            server.wait(lambda: is_training(server), every=0.1)
            server.kill("daemon")
            assert server.finished(first) is None and server.asset_names()
            server.wait(lambda: ended(first))
            version = made_by(first)

            second = train(server, seed=2)  # nobody is there to take it out of the queue
            assert instance.get_run_by_id(second).status == dg.DagsterRunStatus.QUEUED
            server.start("daemon")
            server.wait(lambda: is_training(server), every=0.1)
            server.kill("webserver")
            assert not ended(second)
            server.wait(lambda: ended(second))
            assert made_by(second) != version
            assert server.running["daemon"].poll() is None
            server.start("webserver")
            assert server.finished(first) == server.finished(second) == "SUCCESS"
    finally:
        server.stop()


def test_the_daemon_rebuilds_the_category_that_changed_and_no_other(tmp_path):
    """Schedule, sensors and run queue as they are; upstream is looked at each minute, and an icon changes."""
    data, icons = tmp_path / "data", tmp_path / "icons"
    write_library(icons)
    build(data, *CATEGORIES, source=str(icons))
    store = Store(data / "store")
    before = {
        (asset, category): store.get_ref(asset, partition=category).version_id
        for asset in CHEAP
        for category in CATEGORIES
    }
    server = Server(
        tmp_path,
        BIOICONS_SOURCE=str(icons),
        BIOICONS_BASE="flux-tiny",
        BIOICONS_AUTOMATION="true",
        BIOICONS_OBSERVE_CRON="* * * * *",
    )
    with shared_instance(Settings(data_dir=data)) as instance:

        def observations() -> list[str]:
            """Versions of upstream, as it was observed, the newest first."""
            records = instance.fetch_observations(dg.AssetKey("bioicons_upstream"), limit=100).records
            return [record.asset_observation.tags["dagster/data_version"] for record in records]

        def rebuilt() -> bool | None:
            ref = store.get_ref("icon_dataset", partition="Good")
            return True if ref.version_id != before["icon_dataset", "Good"] else None

        try:
            server.start("daemon")
            server.wait(lambda: len(observations()) > 1 or None)
            changed_at = time.time()
            icon = icons / "static/icons/cc-0/Good/Ann/Good-0.svg"
            icon.write_text(icon.read_text().replace("#c33", "#0c3"))
            server.wait(lambda: len(set(observations())) > 1 or None)
            server.wait(rebuilt, seconds=1200.0)
        finally:
            server.stop()
        made = {asset: set[str | None]() for asset in CHEAP}
        for asset, partitions in made.items():
            for record in instance.fetch_materializations(dg.AssetKey(asset), limit=100).records:
                run = instance.get_run_by_id(record.run_id)
                if record.timestamp >= changed_at:
                    assert run.tags["bioicons/asked_by"] == "automation"
                    partitions.add(record.partition_key)
    assert made == {asset: set(CATEGORIES) if asset == "icon_manifest" else {"Good"} for asset in CHEAP}
    for asset in ("icon_manifest", "rasterized_icons", "icon_dataset"):
        assert store.get_ref(asset, partition="Bad").version_id == before[asset, "Bad"]
        assert store.get_ref(asset, partition="Good").version_id != before[asset, "Good"]
