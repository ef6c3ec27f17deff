"""The loop itself, on a model of one number: its running mean against a plain recomputation."""

import pickle
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from bioicons_pipeline.training import checkpoint as checkpoints
from bioicons_pipeline.training.config import LoopConfig
from bioicons_pipeline.training.loop import Loop, batches


class OneNumber(Loop):
    """Learns to be 3; the mean and the number itself are kept of every step."""

    def trained(self):
        return {"value": self.model}

    def losses(self, batch):
        return (self.model - 3).square().expand(2)

    def blame(self, batch, bad):
        return [], []

    def evaluate_splits(self):
        return {"train": None, "heldout": {"loss": float((self.model - 3).square().detach())}}


def made(tmp_path, main=True, **fields):
    accelerator = SimpleNamespace(
        device=torch.device("cpu"),
        num_processes=1,
        is_main_process=main,
        no_sync=lambda model: nullcontext(),
        backward=lambda loss: loss.backward(),
        wait_for_everyone=lambda: None,
    )
    return OneNumber(
        config=LoopConfig(steps=8, learning_rate=0.5, weight_decay=0, eval_every=4, **fields),
        model=torch.nn.Parameter(torch.zeros(())),
        accelerator=accelerator,
        source=list(range(8)),
        checkpoint_dir=tmp_path / "checkpoints",
        identity={},
    )


def test_a_stop_comes_before_what_takes_long_and_that_is_made_up_for(tmp_path):
    """At step 4 an evaluation and images are due: a host that goes leaves them to its successor."""
    whole = made(tmp_path / "whole", keep_checkpoints=9)
    whole.fit()
    first, settled = made(tmp_path / "stopped"), []
    first.on_settled = lambda state: settled.append(state.step)
    first.stop_asked = lambda: first.state.step == 4
    chances = []
    first.on_saved = chances.append
    with pytest.raises(KeyboardInterrupt):
        first.fit()
    assert settled == [0, 1, 2, 3] and [item["step"] for item in first.state.evaluations] == [0]
    assert chances[-1] is True
    second = made(tmp_path / "stopped")
    second.resume(checkpoints.checkpoints(second.checkpoint_dir)[-1])
    second.on_settled = lambda state: settled.append(state.step)
    second.fit()
    assert settled == list(range(9))
    assert second.state.evaluations == whole.state.evaluations
    assert second.state.best_step == whole.state.best_step
    assert second.state.losses == whole.state.losses


def test_what_is_best_is_said_by_the_main_process(tmp_path, monkeypatch):
    """Another card's last digits must not make one process save where the other goes on."""
    loop = made(tmp_path)
    loop.accelerator.num_processes = 2
    loop.accelerator.reduce = lambda value, reduction: value
    theirs = {"train": None, "heldout": {"loss": 0.125}}
    monkeypatch.setattr("accelerate.utils.broadcast_object_list", lambda values: [theirs])
    loop.state.step = 1
    assert loop.evaluate() and loop.state.best_loss == 0.125
    assert loop.state.evaluations[-1] == {"step": 1, **theirs}


def test_batches_can_be_read_ahead_where_python_does_not_fork():
    source = torch.utils.data.TensorDataset(torch.arange(3))
    loader = batches(source, 0, 3, workers=0)
    assert pickle.loads(pickle.dumps(loader._collate_fn)) is loader._collate_fn


def test_one_process_that_is_asked_to_stop_stops_all(tmp_path):
    """Another process of the two was asked: this one hears of it when they add up."""
    loop, asked = made(tmp_path), []
    loop.accelerator.num_processes = 2

    def reduce(value, reduction):
        if reduction != "sum":
            return value
        asked.append(float(value))
        return value + (len(asked) == 3)

    loop.accelerator.reduce = reduce
    loop.stop_asked = lambda: False
    with pytest.raises(KeyboardInterrupt):
        loop.fit()
    assert asked == [0, 0, 0] and loop.state.step == 3
    assert checkpoints.checkpoints(loop.checkpoint_dir)[-1].name == "step-00000003"


def trained(tmp_path, **fields):
    loop = made(tmp_path, **fields)
    seen = []
    loop.on_step = lambda state, rate: seen.append(float(loop.model.detach()))
    loop.fit()
    return loop, seen


def test_the_mean_is_the_one_of_its_definition_and_is_what_is_evaluated(tmp_path):
    loop, seen = trained(tmp_path, ema_decay=0.5)
    mean = 0.0
    for step, value in enumerate(seen):
        decay = min(0.5, (1 + step) / (10 + step))
        mean = decay * mean + (1 - decay) * value
    assert float(loop.mean["value"]) == pytest.approx(mean, abs=1e-6)
    assert loop.state.evaluations[-1]["heldout"]["loss"] == pytest.approx((mean - 3) ** 2, abs=1e-5)
    assert (
        float(loop.model.detach()) == seen[-1] != pytest.approx(mean, abs=1e-3)
    )  # the weights are back in place


def test_without_a_mean_the_weights_are_evaluated(tmp_path):
    loop, seen = trained(tmp_path)
    assert loop.mean is None
    assert loop.state.evaluations[-1]["heldout"]["loss"] == pytest.approx((seen[-1] - 3) ** 2)


def test_the_main_process_alone_writes_checkpoints(tmp_path):
    made(tmp_path / "other", main=False).fit()
    made(tmp_path / "main", main=True).fit()
    assert len(list((tmp_path / "main" / "checkpoints").iterdir())) == 2
    assert not (tmp_path / "other").exists()
