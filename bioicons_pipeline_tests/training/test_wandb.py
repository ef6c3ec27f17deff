"""Weights & Biases: nothing unless asked, what a run is told, and what it is asked not to tell.

With a fake of the module down to its calls: the real one was run offline by hand.
"""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from bioicons_pipeline.training import run, wandb_log
from bioicons_pipeline.training.config import TrainingConfig
from bioicons_pipeline.training.errors import TrainingError
from bioicons_pipeline_tests.training.test_resume import at_step, killed_run


class FakeWandb:
    """The calls of the module that a training makes; `begun` are the arguments of init, `said` the logs."""

    class Error(Exception):
        """wandb.Error."""

    def __init__(self) -> None:
        self.begun, self.said, self.finished = [], [], 0
        self.api = SimpleNamespace(api_key="key")
        self.refusal: Exception | None = None

    def init(self, **given):
        if self.refusal:
            raise self.refusal
        self.begun.append(given)
        return self

    def Settings(self, **given):
        return given

    def Image(self, path):
        assert Path(path).is_file()
        return path

    def log(self, values, step):
        self.said.append((step, values))

    def finish(self):
        self.finished += 1


@pytest.fixture
def fake(monkeypatch):
    made = FakeWandb()
    monkeypatch.setattr(wandb_log, "require", lambda *_, **__: made)
    monkeypatch.setattr(run, "check_extras", lambda *_: None)
    return made


def test_off_by_default_and_not_even_imported(make_request):
    assert TrainingConfig().wandb == "off"
    code = (
        "import sys; import bioicons_pipeline.training.run; "
        "sys.exit('wandb' in sys.modules or 'tensorboard' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_run_is_told_what_tensorboard_is_told(fake, make_request):
    request = make_request(
        wandb="offline", wandb_project="icons", validation_every=5, validation_steps=1,
        validation_prompts=("a cell",),
    )  # fmt: skip
    run.train(request, quiet=True)
    (begun,) = fake.begun
    assert begun["mode"] == "offline" and begun["project"] == "icons" and fake.finished == 1
    assert Path(begun["dir"]).name == begun["id"] and begun["config"]["base"] == request.base.rsplit("/")[-1]
    by_name = {}
    for step, values in fake.said:
        for name, value in values.items():
            by_name.setdefault(name, []).append((step, value))
    assert [step for step, _ in by_name["train/loss"]] == list(range(1, 11))
    assert [step for step, _ in by_name["fixed_noise/heldout"]] == [0, 5, 10]
    assert [step for step, _ in by_name["validation/00"]] == [0, 5, 10]
    assert set(by_name) == {
        "train/loss", "train/gradient_norm", "train/learning_rate", "fixed_noise/train",
        "fixed_noise/heldout", "validation/00",
    }  # fmt: skip


def test_it_is_asked_to_keep_the_machine_to_itself(fake, make_request):
    run.train(make_request(wandb="offline", steps=2, warmup_steps=0), quiet=True)
    settings = fake.begun[0]["settings"]
    assert settings["console"] == "off" and settings["save_code"] is False
    assert all(settings[name] for name in settings if name.startswith(("disable_", "x_disable_")))


def test_a_killed_run_goes_on_in_the_same_one_and_trains_the_same(fake, make_request):
    plain = run.train(make_request(), quiet=True)
    request = make_request(work="watched", wandb="offline")
    killed_run(request, at_step(5))
    outcome = run.train(request, quiet=True)
    assert outcome.version_id == plain.version_id, "whether it is watched is no part of the run"
    begun, (folder,) = fake.begun[-1], (Path(request.work_dir) / "runs").iterdir()
    assert outcome.resumed_from == 4 and begun["id"] == folder.name and begun["resume"] == "allow"


def test_online_without_a_key_does_not_wait_for_one(fake, make_request):
    fake.api.api_key = None
    with pytest.raises(TrainingError, match=r"no key for wandb online: run `wandb login`"):
        run.train(make_request(wandb="online"), quiet=True)
    assert fake.begun == []


def test_a_refusal_is_one_sentence(fake, make_request):
    fake.refusal = fake.Error("permission denied\nand a traceback")
    with pytest.raises(TrainingError, match=r"does not begin a run \(permission denied\): mend it") as caught:
        run.train(make_request(wandb="online"), quiet=True)
    assert "\n" not in str(caught.value)
