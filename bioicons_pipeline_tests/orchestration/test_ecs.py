"""Training on ECS: every way a task can end, with real processes that share nothing but S3 with Dagster."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import dagster as dg
import pytest

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.orchestration.backends import EcsTraining, TrainingBackend
from bioicons_pipeline.orchestration.backends.ecs import judged
from bioicons_pipeline.orchestration.backends.ecs_session import EcsSession
from bioicons_pipeline.orchestration.reporting import user_errors
from bioicons_pipeline.store import Store, leases
from bioicons_pipeline.store.s3 import S3Backend
from bioicons_pipeline.training.presets import preset
from bioicons_pipeline.training.request import TrainingRequest
from bioicons_pipeline_tests.orchestration.backend_rows import Rows, failure, materialized
from bioicons_pipeline_tests.orchestration.fake_ecs import FakeEcs, refused
from bioicons_pipeline_tests.training.making import commit_dataset, make_rows

CONFIG = preset(
    "tiny",
    resolution=32,
    rank=4,
    alpha=6.0,
    steps=8,
    batch_size=2,
    warmup_steps=2,
    t5_length=40,
    eval_every=4,
    eval_icons=3,
    eval_sigmas=(0.5,),
    checkpoint_every=2,
    caption_dropout=0.2,
    tensorboard=False,
    workers=0,
)


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Path:
    """What is in the container: a base model in its working folder."""
    from bioicons_pipeline.training.tiny_base import build_tiny_base
    from bioicons_pipeline_tests.training.conftest import MINI

    built = build_tiny_base(tmp_path_factory.mktemp("built"), MINI)
    image = tmp_path_factory.mktemp("image")
    shutil.copytree(built, image / "base")
    return image


def dataset_in(root: str) -> str:
    return commit_dataset(Store(root), make_rows(12, size=32), make_rows(3, size=32, start=12))


def request_for(root: str, base: str, work: str) -> TrainingRequest:
    return TrainingRequest(
        store_root=root,
        dataset_version=dataset_in(root),
        base=base,
        config=CONFIG,
        partition="Cell_types",
        work_dir=work,
        provenance={"licence_mix": {"CC0-1.0": 15}, "trigger": "bioicons style"},
    )


@pytest.fixture(scope="module")
def undisturbed(image, tmp_path_factory) -> str:
    """The version that the same request gives on this machine, with a local store."""
    from bioicons_pipeline.training.run import train

    root = tmp_path_factory.mktemp("local")
    return train(
        request_for(str(root / "store"), str(image / "base"), str(root / "work")), quiet=True
    ).version_id


class Cloud:
    """A bucket, an ECS with planted faults, and an asset that trains there."""

    def __init__(self, root: str, folder: Path, image: Path, monkeypatch, faults: list[str]) -> None:
        self.root = root
        self.ecs = FakeEcs(folder / "hosts", image, _environment(), faults)
        self.ecs.folder.mkdir(exist_ok=True)
        monkeypatch.setattr(EcsTraining, "_ecs", lambda _: self.ecs)
        # how long the Pipes client waits for messages of a process that said no farewell, s
        monkeypatch.setattr("dagster._core.pipes.utils.WAIT_FOR_LOGS_AFTER_EXECUTION_INTERVAL", 1)
        self.request = request_for(root, "base", str(folder / "not-there"))
        self.backend = backend_for(root)

    @property
    def asked(self) -> list:
        """What was asked of the service, one a host."""
        return self.ecs.asked

    def train(self, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
        @dg.asset
        def trained(context: dg.AssetExecutionContext, training_backend: TrainingBackend):
            store = Store(self.request.store_root)
            with user_errors(), leases.held(store.backend, "trained", holder=context.run.run_id) as lease:
                version, summary = training_backend.train(context, self.request, lease)
            facts = {"resumed_from": summary["resumed_from"] or 0}
            return dg.MaterializeResult(data_version=dg.DataVersion(version), metadata=facts)

        resources = {"training_backend": self.backend}
        return dg.materialize([trained], instance=instance, resources=resources, raise_on_error=False)


def backend_for(root: str) -> EcsTraining:
    return EcsTraining(
        cluster="c",
        task_definition="trainer:1",
        capacity_provider="gpus",
        messages=f"{root}/pipes",
        subnets="subnet-1, subnet-2",
        poll_seconds=0,
        retries=2,
        retry_pause_seconds=0,
    )


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(("AWS_", "HF_"))}


@pytest.fixture
def cloud(s3_root, tmp_path, image, monkeypatch):
    """Function (*faults) → Cloud."""
    return lambda *faults: Cloud(s3_root, tmp_path, image, monkeypatch, list(faults))


@pytest.mark.parametrize(
    ("fault", "resumed"),
    [
        ("spot warning at 4", 4),
        pytest.param("", 0, marks=pytest.mark.slow),
        pytest.param("no exit code, kill at 5", 4, marks=pytest.mark.slow),
    ],
)
def test_a_training_comes_to_the_version_that_this_machine_gives(
    cloud, undisturbed, fault, resumed, tmp_path, monkeypatch
):
    """Also when its first host is taken away; and no secret is anywhere that Dagster or the store keeps."""
    planted = {"AWS_SECRET_ACCESS_KEY": "planted-aws-secret", "AWS_SESSION_TOKEN": "planted-session"}
    planted |= {"HF_TOKEN": "planted-hub-token"}
    for name, value in planted.items():
        monkeypatch.setenv(name, value)
    made = cloud(fault)
    home = tmp_path / "dagster"
    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        result = made.train(instance)
    assert result.success, made.ecs.logs()
    assert materialized(result) == (undisturbed, resumed)
    assert len(made.ecs.asked) == (2 if fault else 1)

    backend = S3Backend(made.root)
    assert list(backend.keys("pipes")) == []  # neither context nor messages are left
    again = made.train(dg.DagsterInstance.ephemeral())  # remembered: no host is rented to say it again
    assert materialized(again) == (undisturbed, resumed) and len(made.ecs.asked) == (2 if fault else 1)
    asked = made.ecs.asked[-1]
    told = json.dumps([asked, made.ecs.contexts], default=str)
    assert made.request.dataset_version in told  # what the task is told is looked at
    assert str(tmp_path) not in told  # no path of this machine
    kept = [file.read_bytes() for file in home.rglob("*") if file.is_file()]
    kept += [backend.open(key).read() for key in backend.keys("refs")]
    kept += [backend.open(key).read() for key in [*backend.keys("blobs"), *backend.keys("versions")]]
    kept += [told.encode(), made.ecs.logs().encode()]
    everything = b"\0".join(kept)
    assert undisturbed.encode() in everything  # the search finds what is there
    (host, *_) = made.ecs.folder.glob("*/about.json")
    for value in planted.values():
        assert value.encode() not in everything
        assert value in host.read_text()  # the task had it


class TestEcs(Rows):
    refusal = r"ECS does not start the training \(RESOURCE:GPU\)"
    lost = "lost its host: ECS knows no exit code (Host EC2"


def test_tasks_of_a_dead_orchestrator_are_stopped_first(cloud):
    made = cloud()
    params = made.backend.task_params(made.backend.request_for_host(made.request))
    params["overrides"]["containerOverrides"][0]["command"] = ["sleep", "600"]
    made.ecs.run_task(**params)
    other = {**params, "startedBy": "bioicons-other"}
    made.ecs.run_task(**other)
    session = EcsSession(made.ecs, made.backend.conversation("run"), 0)
    session.stop_orphans("c", params["startedBy"])
    assert made.ecs.list_tasks(cluster="c", startedBy=params["startedBy"])["taskArns"] == []
    (left,) = made.ecs.list_tasks(cluster="c", startedBy="bioicons-other")["taskArns"]
    made.ecs.stop_task(cluster="c", task=left)


def test_a_task_that_was_told_to_stop_and_has_not_is_waited_for(cloud):
    made = cloud()
    params = made.backend.task_params(made.backend.request_for_host(made.request))
    slow = "trap 'sleep 1; exit 0' TERM; echo ready; while :; do sleep 0.1; done"
    params["overrides"]["containerOverrides"][0]["command"] = ["sh", "-c", slow]
    task = made.ecs.run_task(**params)["tasks"][0]["taskArn"]
    while "ready" not in made.ecs.logs():
        time.sleep(0.02)
    made.ecs.stop_task(cluster="c", task=task)
    EcsSession(made.ecs, made.backend.conversation("run"), 0).stop_orphans("c", params["startedBy"])
    (stopped,) = made.ecs.describe_tasks(cluster="c", tasks=[task])["tasks"]
    assert stopped["lastStatus"] == "STOPPED"


def test_what_differs_in_its_inputs_or_is_forced_is_trained_anew(cloud):
    """The base's content and the code are in the input key alone: the request names the base."""
    made = cloud(*["commit"] * 4)
    instance = dg.DagsterInstance.ephemeral()
    seen = []
    for change in ({"input_key": "a"}, {}, {"input_key": "b"}, {"force": True}, {"force": False}):
        made.request = made.request.model_copy(update=change)
        seen.append(materialized(made.train(instance))[0])
    assert len(made.ecs.asked) == 3
    assert seen[0] == seen[1] and seen[3] == seen[4] and len(set(seen)) == 3


def test_what_is_published_is_forgotten(cloud):
    made = cloud("commit", "commit")
    instance = dg.DagsterInstance.ephemeral()
    made.train(instance)
    assert len(Store(made.root).list_refs("checkpoints")) == 1
    made.backend.forget(made.request)
    assert Store(made.root).list_refs("checkpoints") == {}


def test_a_final_message_that_is_lost_costs_nothing(cloud):
    made = cloud("commit and lose the message")
    result = made.train(dg.DagsterInstance.ephemeral())
    assert result.success, failure(result)
    (ref,) = Store(made.root).list_refs("checkpoints").values()
    assert materialized(result)[0] == ref.version_id and len(made.ecs.asked) == 1


def test_a_task_out_of_sight_is_stopped_and_begun_again(cloud):
    """One call that ECS throttles must neither fail the training nor leave a task that nobody waits for."""
    made = cloud("sleep", "commit")
    made.ecs.wait_faults.append(refused("ThrottlingException", "DescribeTasks"))
    result = made.train(dg.DagsterInstance.ephemeral())
    assert result.success, failure(result)
    assert len(made.ecs.asked) == 2
    done, stopped = sorted(int(file.read_text()) for file in made.ecs.folder.glob("*/exit"))
    assert done == 0 and stopped in (130, 143)


def test_a_stopped_run_stops_its_task(cloud):
    made = cloud("sleep")
    made.ecs.wait_faults.append(dg.DagsterExecutionInterruptedError())
    with suppress(dg.DagsterExecutionInterruptedError):
        assert not made.train(dg.DagsterInstance.ephemeral()).success
    (task,) = made.ecs.folder.glob("*/about.json")
    deadline = time.monotonic() + 60
    while not (task.parent / "exit").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (task.parent / "told").exists() and (task.parent / "exit").read_text() in ("130", "143")


@pytest.mark.parametrize(
    ("stop", "code", "lost"),
    [
        ("SpotInterruption", None, True),
        ("InfrastructureHealth", 137, True),
        ("EssentialContainerExited", None, True),
        ("EssentialContainerExited", 130, True),
        ("EssentialContainerExited", 1, False),
        ("UserInitiated", 130, False),
    ],
)
def test_who_is_to_blame(stop, code, lost):
    container = {"name": "trainer"} | ({} if code is None else {"exitCode": code})
    task = {"lastStatus": "STOPPED", "stopCode": stop, "containers": [container]}
    assert judged(task, "trainer", None, []).lost == lost


def test_a_profile_that_is_not_there_is_said(monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    with pytest.raises(BioiconsError, match=r"no-such-profile.*correct the AWS settings"):
        backend_for("s3://b/p")._ecs()


@pytest.mark.slow
def test_a_killed_orchestrator_loses_neither_the_task_nor_its_work(
    cloud, s3_root, image, tmp_path, undisturbed
):
    arguments = [s3_root, str(tmp_path), str(image), "hang at 4"]
    killed = subprocess.Popen([sys.executable, "-m", __name__, *arguments])
    made = cloud("hang at 4")
    deadline = time.monotonic() + 500
    while not Store(s3_root).list_refs("checkpoints"):
        assert time.monotonic() < deadline and killed.poll() is None, made.ecs.logs()
        time.sleep(0.2)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    started = f"bioicons-{made.backend.request_for_host(made.request).checkpoint_ref}"
    running = made.ecs.list_tasks(cluster="c", startedBy=started)
    assert len(running["taskArns"]) == 1  # it outlives whoever asked for it
    result = made.train(dg.DagsterInstance.ephemeral())
    assert result.success, made.ecs.logs()
    version, resumed = materialized(result)
    assert version == undisturbed and resumed >= 2
    ended = made.ecs.describe_tasks(cluster="c", tasks=running["taskArns"])["tasks"][0]
    assert ended["containers"][0]["exitCode"] == 130


if __name__ == "__main__":  # an orchestrator to kill
    root, folder, image_folder, planted_fault = sys.argv[1:]
    doomed = Cloud(root, Path(folder), Path(image_folder), pytest.MonkeyPatch(), [planted_fault])
    doomed.train(dg.DagsterInstance.ephemeral())
