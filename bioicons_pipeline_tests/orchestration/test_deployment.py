"""The deployment is a setting: what it needs, which backend it gives, and that no secret shows in it."""

import json
import os
import subprocess
import sys
from typing import Literal

import pytest

from bioicons_pipeline.orchestration.backends import EcsTraining, LocalTraining, training_backend
from bioicons_pipeline.settings import Settings, SettingsError

AWS = {
    "BIOICONS_DEPLOYMENT": "aws",
    "BIOICONS_STORE_ROOT": "s3://bucket/prefix",
    "BIOICONS_ECS_CLUSTER": "a-cluster",
    "BIOICONS_ECS_TASK_DEFINITION": "trainer:3",
    "BIOICONS_ECS_CAPACITY_PROVIDER": "gpu-spot",
}


@pytest.fixture
def aws(monkeypatch):
    for name, value in AWS.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_another_place_needs_nothing_of_ecs():
    """A name in `Settings.deployment` and a branch in `training_backend`: docs/training_backends.md."""

    class Wider(Settings):
        deployment: Literal["local", "aws", "modal", "slurm"] = "local"

    Wider(deployment="slurm").check_deployment()
    with pytest.raises(SettingsError, match="BIOICONS_ECS_CLUSTER"):
        Wider(deployment="aws").check_deployment()


def test_local_is_the_default():
    made = training_backend(Settings(training_processes=2))
    assert isinstance(made, LocalTraining) and made.num_processes == 2


def test_aws(aws):
    aws.setenv("BIOICONS_TRAINING_PROCESSES", "4")
    aws.setenv("BIOICONS_ECS_SUBNETS", "subnet-1, subnet-2")
    made = training_backend(Settings())
    assert isinstance(made, EcsTraining) and made.messages == "s3://bucket/prefix/pipes"
    request = made.request_for_host(_request())
    params = made.task_params(request)
    (container,) = params["overrides"]["containerOverrides"]
    assert container["command"][:6] == ["python", "-m", "accelerate.commands.launch", "--num_processes", "4",
                                        "--num_machines"]  # fmt: skip
    assert {"name": "TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "value": "110"} in container["environment"]
    assert container["resourceRequirements"] == [{"type": "GPU", "value": "4"}]
    assert params["networkConfiguration"]["awsvpcConfiguration"]["subnets"] == ["subnet-1", "subnet-2"]
    assert params["startedBy"] == f"bioicons-{request.checkpoint_ref}" and len(params["startedBy"]) <= 36
    assert request.work_dir == "work" and request.cache_dir is None
    # what is another training has another name, what is the same has the same
    again = made.request_for_host(_request())
    assert again == request
    longer = _request().model_copy(update={"dataset_version": "1" * 64})
    assert made.request_for_host(longer).checkpoint_ref != request.checkpoint_ref
    aws.setenv("BIOICONS_TRAINING_PROCESSES", "1")
    alone = training_backend(Settings()).task_params(request)["overrides"]["containerOverrides"][0]
    assert alone["command"] == ["python", "-m", "bioicons_pipeline.training"]


@pytest.mark.parametrize("change", [{"input_key": "another base, or other code"}, {"partition": "Plants"}])
def test_what_the_adapter_depends_on_is_in_the_name_of_its_checkpoints(aws, change):
    made = training_backend(Settings())
    names = {made.request_for_host(one).checkpoint_ref for one in (_request(), _changed(change))}
    assert len(names) == 2
    assert made.request_for_host(_changed({"force": True})).checkpoint_ref in names  # to go on from a retry


def _changed(change):
    return _request().model_copy(update=change)


def _request():
    from bioicons_pipeline.training.request import TrainingRequest

    return TrainingRequest(
        store_root="s3://bucket/prefix",
        dataset_version="0" * 64,
        base="flux-tiny",
        partition="Animals",
        work_dir="/here/work",
        cache_dir="/here/cache",
    )


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("BIOICONS_ECS_CLUSTER", "", "needs BIOICONS_ECS_CLUSTER: set"),
        ("BIOICONS_ECS_CAPACITY_PROVIDER", "", "needs BIOICONS_ECS_CAPACITY_PROVIDER: set"),
        ("BIOICONS_STORE_ROOT", "/a/folder", "BIOICONS_STORE_ROOT is not on S3: set it to s3://"),
        ("BIOICONS_ECS_MESSAGES", "here", "BIOICONS_ECS_MESSAGES is not on S3"),
    ],
)
def test_what_is_lacking_is_named(aws, name, value, sentence):
    aws.setenv(name, value)
    with pytest.raises(SettingsError, match=sentence):
        training_backend(Settings())


def test_the_code_location_shows_the_deployment_and_no_secret():
    """What the UI, and whoever reads its database, gets to see of the definitions."""
    planted = {"AWS_ACCESS_KEY_ID": "planted-id", "AWS_SECRET_ACCESS_KEY": "planted-secret"}
    planted |= {"AWS_SESSION_TOKEN": "planted-session", "HF_TOKEN": "planted-hub-token"}
    program = (
        "import sys\n"
        "from bioicons_pipeline.definitions import defs\n"
        "from dagster._core.remote_representation.external_data import RepositorySnap\n"
        "from dagster_shared.serdes import serialize_value\n"
        "print(serialize_value(RepositorySnap.from_def(defs.get_repository_def())))\n"
        "print([n for n in ('boto3', 'dagster_aws', 'torch') if n in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env={**os.environ, **AWS, **planted},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "a-cluster" in done.stdout and len(json.loads(done.stdout)) > 1  # the search finds what is there
    for value in planted.values():
        assert value not in done.stdout
    assert done.stderr.strip().endswith("[]")


@pytest.mark.parametrize(
    "source", ["https://user:planted-token@host/icons.git", "https://planted-token@host/icons"]
)
def test_a_source_with_a_secret_is_refused_before_anything_keeps_it(source, tmp_path):
    """The source is in the code location's snapshot and in the config of every run."""
    environment = {**os.environ, "BIOICONS_SOURCE": source, "BIOICONS_DATA_DIR": str(tmp_path)}
    program = "from bioicons_pipeline.definitions import defs; print(defs)"
    loaded = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    ran = subprocess.run(
        [sys.executable, "-m", "bioicons_pipeline.cli", "run", "--until", "svg_snapshot"],
        env=environment, capture_output=True, text=True,
    )  # fmt: skip
    for done in (loaded, ran):
        assert done.returncode != 0 and "credential helper" in done.stderr
        assert "planted-token" not in done.stdout + done.stderr
    assert b"planted-token" not in b"".join(
        file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()
    )


@pytest.mark.parametrize(
    "source", ["ssh://git@host/icons.git", "git@host:icons.git", "/a/folder@home", "starter"]
)
def test_a_source_without_a_secret_passes(source):
    from bioicons_pipeline.library.source import refuse_credentials

    refuse_credentials(source)
