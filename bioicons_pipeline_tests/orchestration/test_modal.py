"""Training on Modal: the same rows as on ECS, with real processes that share nothing but S3 with Dagster."""

import json
import re

import dagster as dg
import pytest

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.orchestration.backends import ModalTraining, training_backend
from bioicons_pipeline.orchestration.backends.modal import LOCK, PACKAGE
from bioicons_pipeline.settings import Settings, SettingsError
from bioicons_pipeline.store.s3 import S3Backend
from bioicons_pipeline_tests.orchestration import test_ecs
from bioicons_pipeline_tests.orchestration.backend_rows import Rows, failure, materialized
from bioicons_pipeline_tests.orchestration.fake_modal import SECRET, FakeModal

image, undisturbed = test_ecs.image, test_ecs.undisturbed  # fixtures


class Cloud(test_ecs.Cloud):
    """The same hosts, rented by way of Modal."""

    modal: FakeModal

    @property
    def asked(self) -> list:
        return self.modal.asked


@pytest.fixture
def cloud(s3_root, tmp_path, image, monkeypatch):
    """Function (*faults) → a bucket, a Modal with planted faults, and an asset that trains there."""

    def make(*faults, secrets=f"{SECRET}, hub"):
        made = Cloud(s3_root, tmp_path, image, monkeypatch, list(faults))
        made.modal = FakeModal(made.ecs)
        monkeypatch.setattr(ModalTraining, "_modal", lambda _: made.modal)
        how = {"messages": f"{s3_root}/pipes", "poll_seconds": 0, "retries": 2, "retry_pause_seconds": 0}
        made.backend = ModalTraining(secrets=secrets, **how)
        return made

    return make


@pytest.mark.parametrize(
    ("fault", "resumed"),
    [
        pytest.param("", 0, marks=pytest.mark.slow),
        ("spot warning at 4", 4),
        pytest.param("no exit code, kill at 5", 4, marks=pytest.mark.slow),
    ],
)
def test_a_training_comes_to_the_version_that_this_machine_gives(
    cloud, undisturbed, fault, resumed, tmp_path, monkeypatch
):
    planted = {"AWS_SECRET_ACCESS_KEY": "planted-aws-secret", "HF_TOKEN": "planted-hub-token"}
    for name, value in planted.items():
        monkeypatch.setenv(name, value)
    made = cloud(fault)
    result = made.train(dg.DagsterInstance.ephemeral())
    assert result.success, made.ecs.logs()
    assert materialized(result) == (undisturbed, resumed)
    assert len(made.modal.asked) == (2 if fault else 1)
    assert list(S3Backend(made.root).keys("pipes")) == []
    command, options = made.modal.asked[-1]
    said = json.dumps([command, options["env"], options["secrets"], options["tags"]])
    assert str(tmp_path) not in said and SECRET in said
    for value in planted.values():
        assert value not in said


class TestModal(Rows):
    refusal = r"Modal does not start the training \(no such GPU is free\)"
    lost = "lost its host: Modal ended the sandbox"


def test_a_secret_that_is_missing_is_named(cloud):
    result = cloud(secrets="hub").train(dg.DagsterInstance.ephemeral())
    assert re.search("Modal does not start.*secrets hub exist", failure(result))


def test_without_a_checkout_an_image_is_asked_for(cloud, monkeypatch, tmp_path):
    made = cloud()
    monkeypatch.setattr("bioicons_pipeline.orchestration.backends.modal.LOCK", tmp_path / "not-there")
    with pytest.raises(BioiconsError, match="set BIOICONS_MODAL_IMAGE"):
        made.backend._image(made.modal)


def test_sandboxes_of_a_dead_orchestrator_are_ended_first(cloud):
    made = cloud()
    request = made.backend.request_for_host(made.request)
    asleep = made.backend.model_copy()
    object.__setattr__(asleep, "command", lambda: ["sleep", "600"])
    first = asleep._start(made.modal, request, {})
    second = asleep._start(made.modal, request, {})
    assert first.poll() is not None and second.poll() is None
    other = asleep._start(made.modal, request.model_copy(update={"checkpoint_ref": "other"}), {})
    assert second.poll() is None
    for one in (second, other):
        one.terminate(wait=True)


def test_a_run_that_is_stopped_stops_the_training(cloud):
    made = cloud()
    asleep = made.backend.model_copy()
    object.__setattr__(asleep, "command", lambda: ["sleep", "600"])
    sandbox = asleep._start(made.modal, made.backend.request_for_host(made.request), {})
    polls = iter([None, None])

    class Stopped:
        def __getattr__(self, name):
            return getattr(sandbox, name)

        def poll(self):
            for one in polls:
                return one
            raise dg.DagsterExecutionInterruptedError

    with pytest.raises(dg.DagsterExecutionInterruptedError):
        made.backend._followed(made.modal, Stopped())
    sandbox.wait(raise_on_termination=False)
    assert sandbox.poll() is not None


def test_what_is_asked_of_modal(cloud):
    """The image is made of the lock, every file by its hash; GPUs as many as processes."""
    made = cloud()
    several = made.backend.model_copy(update={"num_processes": 2})
    several._start(made.modal, several.request_for_host(made.request), {"A": "b"}).terminate(wait=True)
    command, options = made.modal.asked[-1]
    assert command[:3] == ("python", "-m", "accelerate.commands.launch")
    assert (
        options["gpu"] == "L40S:2" and options["secrets"] == [SECRET, "hub"] and options["env"] == {"A": "b"}
    )
    assert options["timeout"] == 24 * 3600  # not Modal's default of five minutes
    steps = {name: (values, how) for name, values, how in options["image"].steps}
    assert steps["debian_slim"] == ((), {"python_version": "3.11"})
    values, how = steps["pip_install_from_requirements"]
    assert values == (str(LOCK),) and LOCK.is_file() and "--require-hashes" in how["extra_options"]
    assert steps["add_local_dir"][0] == (str(PACKAGE), "/opt/bioicons/bioicons_pipeline")
    ready = several.model_copy(update={"image": "a/b:1"})._image(made.modal)
    assert ready.steps == (("from_registry", ("a/b:1",), {}),)


def test_it_is_a_setting(monkeypatch):
    monkeypatch.setenv("BIOICONS_DEPLOYMENT", "modal")
    monkeypatch.setenv("BIOICONS_STORE_ROOT", "s3://bucket/prefix")
    with pytest.raises(SettingsError, match="DEPLOYMENT=modal needs BIOICONS_MODAL_SECRETS: set"):
        training_backend(Settings())
    monkeypatch.setenv("BIOICONS_MODAL_SECRETS", "bioicons")
    made = training_backend(Settings())
    assert isinstance(made, ModalTraining) and made.messages == "s3://bucket/prefix/pipes" and made.elsewhere
    monkeypatch.setenv("BIOICONS_STORE_ROOT", "here")
    with pytest.raises(SettingsError, match="BIOICONS_STORE_ROOT is not on S3"):
        training_backend(Settings())
