"""N steps equal k steps, a kill, and the rest: bit by bit. A checkpoint is complete or absent.

Runs are killed for real, with SIGKILL, in a forked child: nothing of it gets to tidy up.
"""

import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bioicons_pipeline.training import checkpoint as checkpoints
from bioicons_pipeline.training import guards, progress, run
from bioicons_pipeline.training.checkpoint import Checkpoint, RunState, load_checkpoint, save_checkpoint
from bioicons_pipeline.training.errors import CheckpointMismatchError, TrainingError
from bioicons_pipeline_tests.training.making import commit_dataset, make_rows


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def killed_run(request, arrange):
    """Run `request` in a child process that `arrange` has prepared to kill itself; assert that it did."""
    child = os.fork()
    if child == 0:
        try:
            arrange()
            run.train(request, quiet=True)
        finally:
            os._exit(3)  # finished or raised: not what the test wants
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def at_step(k):
    """Kill right after the optimizer step `k`, before its checkpoint."""

    def arrange():
        original = progress.Display.step

        def step(self, state, rate):
            original(self, state, rate)
            if state.step == k:
                die()

        progress.Display.step = step

    return arrange


def in_checkpoint(k, call):
    """Kill at the `call`-th fsync of writing the checkpoint of step `k`."""

    def arrange():
        original_save, original_sync, seen = checkpoints.save_checkpoint, os.fsync, []

        def save(root, identity, made, *, keep):
            if made.state.step == k:

                def sync(handle):
                    seen.append(handle)
                    if len(seen) == call:
                        die()
                    original_sync(handle)

                checkpoints.os.fsync = sync
            return original_save(root, identity, made, keep=keep)

        checkpoints.save_checkpoint = save

    return arrange


def run_dir(request) -> Path:
    (found,) = (Path(request.work_dir) / "runs").iterdir()
    return found


def last_checkpoint(request) -> Checkpoint:
    folder = run_dir(request)
    identity = json.loads((folder / "identity.json").read_bytes())
    return load_checkpoint(checkpoints.checkpoints(folder / "checkpoints")[-1], identity)


def assert_same_run(a: Checkpoint, b: Checkpoint):
    for name in ("weights", "mean", "optimizer", "rng"):
        ours, theirs = getattr(a, name), getattr(b, name)
        assert ours.keys() == theirs.keys() and (len(ours) or name == "mean")
        for key in ours:
            assert ours[key].dtype == theirs[key].dtype and torch.equal(ours[key], theirs[key]), (name, key)
    assert a.state.step == b.state.step
    assert a.state.losses == b.state.losses
    assert a.state.grad_norms == b.state.grad_norms
    assert a.state.evaluations == b.state.evaluations
    assert (a.state.best_step, a.state.best_loss) == (b.state.best_step, b.state.best_loss)


@pytest.fixture(scope="module")
def uninterrupted(make_request):
    """(request, outcome) of the run that nobody killed, in a work folder of its own."""
    request = make_request(work="whole")
    return request, run.train(request, quiet=True)


def test_killed_at_several_steps_and_resumed(uninterrupted, make_request):
    """Kills before the first checkpoint, on, just after and between checkpoints; several in one run."""
    whole_request, whole_outcome = uninterrupted
    assert len(last_checkpoint(whole_request).state.losses) == 10
    for kills in [(1,), (2, 3), (5,), (7, 8, 9)]:
        request = make_request(work=f"killed-{kills[0]}")
        for k in kills:
            killed_run(request, at_step(k))
        outcome = run.train(request, quiet=True)
        assert_same_run(last_checkpoint(whole_request), last_checkpoint(request))
        assert outcome.version_id == whole_outcome.version_id
        expected = {1: None, 3: 2, 5: 4, 9: 8}[kills[-1]]
        assert outcome.resumed_from == expected


@pytest.mark.parametrize("call", [1, 3, 5, 6])
def test_killed_while_writing_a_checkpoint(call, uninterrupted, make_request):
    """At the first file, in the middle, before and after the rename: the run goes on all the same."""
    request = make_request(work=f"writing-{call}")
    killed_run(request, in_checkpoint(4, call))
    root = run_dir(request) / "checkpoints"
    steps = [int(path.name.removeprefix("step-")) for path in checkpoints.checkpoints(root)]
    assert steps == ([2, 4] if call == 6 else [2])  # the sixth sync is of the parent, after the rename
    outcome = run.train(request, quiet=True)
    assert outcome.resumed_from == steps[-1]
    assert_same_run(last_checkpoint(uninterrupted[0]), last_checkpoint(request))
    assert not [path for path in root.iterdir() if path.name.startswith(".")]


def test_with_accumulation_and_workers(make_request):
    """The data position counts forward passes; readers ahead of the kill do not count."""
    options = {"accumulation": 2, "workers": 1, "steps": 6, "warmup_steps": 1, "eval_every": 0}
    request, other = make_request(work="a", **options), make_request(work="b", **options)
    run.train(request, quiet=True)
    killed_run(other, at_step(5))
    assert run.train(other, quiet=True).resumed_from == 4
    assert_same_run(last_checkpoint(request), last_checkpoint(other))


def test_a_running_mean_of_the_weights_is_resumed_and_exported(make_request):
    """It goes through a kill bit by bit, differs from the last step's weights, and is what is published."""
    options = {"ema_decay": 0.9, "export": "last"}
    request, other = make_request(work="mean-a", **options), make_request(work="mean-b", **options)
    outcome = run.train(request, quiet=True)
    killed_run(other, at_step(5))
    again = run.train(other, quiet=True)
    ours, theirs = last_checkpoint(request), last_checkpoint(other)
    assert_same_run(ours, theirs)
    assert again.version_id == outcome.version_id
    names = {key.replace(".default.", "."): key for key in ours.mean}
    assert names.keys() == ours.weights.keys()
    assert any(not torch.equal(ours.weights[name], ours.mean[key]) for name, key in names.items())
    plain = run.train(make_request(work="mean-c", export="last"), quiet=True)
    assert plain.heldout_loss_before == outcome.heldout_loss_before
    assert plain.heldout_loss_after != outcome.heldout_loss_after


def test_a_finished_run_is_not_trained_again(uninterrupted, monkeypatch):
    request, outcome = uninterrupted
    monkeypatch.setattr(run.Trainer, "train_step", lambda *a: pytest.fail("trained again"))
    again = run.train(request, quiet=True)
    assert again.version_id == outcome.version_id and again.resumed_from == 10


def test_a_forced_training_trains_a_finished_run_anew(make_request, monkeypatch):
    """Its checkpoints made it export the same bytes, and an adapter that was refused stayed refused."""
    request = make_request()
    first = run.train(request, quiet=True)
    folder = run_dir(request)
    (folder / "validation").mkdir(exist_ok=True)
    (folder / "validation" / "stale.png").write_bytes(b"of the run before")
    seen, original = [], run.Trainer.train_step
    monkeypatch.setattr(run.Trainer, "train_step", lambda *a: seen.append(1) or original(*a))
    again = run.train(request.model_copy(update={"force": True}), quiet=True)
    assert again.resumed_from is None and len(seen) == 10
    assert again.version_id == first.version_id  # on a CPU the same request gives the same bits
    assert not (folder / "validation" / "stale.png").exists()
    assert run.train(request, quiet=True).resumed_from == 10


def test_a_forced_training_that_was_killed_goes_on(make_request):
    request = make_request().model_copy(update={"force": True})
    run.train(request, quiet=True)
    killed_run(request, at_step(7))
    assert run.train(request, quiet=True).resumed_from == 6


def test_newest_and_best_are_kept(make_request):
    request = make_request(keep_checkpoints=1, checkpoint_every=1, eval_every=2)
    run.train(request, quiet=True)
    state = last_checkpoint(request).state
    kept = {path.name for path in checkpoints.checkpoints(run_dir(request) / "checkpoints")}
    assert kept == {"step-00000010", f"step-{state.best_step:08d}"}
    losses = {item["step"]: item["heldout"]["loss"] for item in state.evaluations if item["step"]}
    assert state.best_step == min(losses, key=losses.get) and state.best_loss == min(losses.values())


def test_another_dataset_base_or_config_is_refused_by_name(
    uninterrupted, make_request, mini_folder, tmp_path
):
    request, _ = uninterrupted
    path = str(checkpoints.checkpoints(run_dir(request) / "checkpoints")[-1])

    with pytest.raises(
        CheckpointMismatchError, match=r"config\.learning_rate: 0\.005 there, 0\.001 here"
    ) as caught:
        run.train(
            make_request(work="x", learning_rate=1e-3).model_copy(update={"resume_from": path}), quiet=True
        )
    assert "rank" not in str(caught.value)

    from bioicons_pipeline.store import Store

    other = commit_dataset(Store(request.store_root), make_rows(5, size=32))
    foreign = request.model_copy(update={"dataset_version": other, "resume_from": path})
    with pytest.raises(
        CheckpointMismatchError, match=f"dataset_version: {request.dataset_version} there, {other} here"
    ):
        run.train(foreign, quiet=True)

    base = tmp_path / "another-base"
    shutil.copytree(mini_folder, base)
    (base / "vae" / "other.json").write_text("{}")
    with pytest.raises(CheckpointMismatchError, match=r"base: .* there, another-base here; base_fingerprint"):
        run.train(request.model_copy(update={"base": str(base), "resume_from": path}), quiet=True)


def test_fields_that_change_nothing_may_change(uninterrupted, make_request):
    request, _ = uninterrupted
    folder = run_dir(request)
    changed = make_request(work="whole", checkpoint_every=7, keep_checkpoints=5, workers=0, tensorboard=False)
    run.train(changed, quiet=True)
    assert run_dir(changed) == folder


def test_resume_from_a_folder_that_is_no_checkpoint(make_request, tmp_path):
    with pytest.raises(TrainingError, match="no checkpoint in"):
        run.train(make_request().model_copy(update={"resume_from": str(tmp_path)}), quiet=True)


@pytest.fixture(scope="module")
def best_before_the_end(make_request):
    """(request, outcome, its checkpoints) of a run that learns too fast, so that its best step is 5 of 10."""
    request = make_request(work="fast", learning_rate=0.5, schedule="constant", max_grad_norm=0)
    outcome = run.train(request, quiet=True)
    assert outcome.exported_step == 5
    return request, outcome, run_dir(request) / "checkpoints"


@pytest.mark.parametrize("step", [5, 8, 10])
def test_going_on_elsewhere_takes_the_best_checkpoint_along(step, best_before_the_end, tmp_path):
    """Else the run crashed after its last step, when the best was to be exported."""
    request, outcome, root = best_before_the_end
    path = checkpoints.checkpoint_of(root, step)
    moved = request.model_copy(update={"resume_from": str(path), "work_dir": str(tmp_path)})
    assert run.train(moved, quiet=True).version_id == outcome.version_id


def test_going_on_without_the_best_checkpoint_is_refused_at_once(best_before_the_end, tmp_path, monkeypatch):
    request, _, root = best_before_the_end
    shutil.copytree(checkpoints.checkpoint_of(root, 8), tmp_path / "step-00000008")
    monkeypatch.setattr(run, "prepare", lambda *a: pytest.fail("began"))
    moved = {"resume_from": str(tmp_path / "step-00000008"), "work_dir": str(tmp_path / "work")}
    with pytest.raises(TrainingError, match=r"step 5 was the best so far, and .*step-00000005 is not there"):
        run.train(request.model_copy(update=moved), quiet=True)


def test_the_same_run_twice_at_once_is_refused(uninterrupted, monkeypatch):
    monkeypatch.setattr(guards, "PATIENCE_S", 0.3)
    request, _ = uninterrupted
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with guards.only_one(run_dir(request)):
            os.write(writer, b"locked")
            signal.pause()
    try:
        assert os.read(reader, 6) == b"locked"
        with pytest.raises(TrainingError, match="this very run"):
            run.train(request, quiet=True)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    run.train(request, quiet=True)


# --- the checkpoint itself ---


def small(step, best=None):
    return Checkpoint(
        state=RunState(step=step, losses=[0.1] * step, best_step=best),
        mean={},
        weights={"a": torch.randn(2, 3)},
        optimizer={"a|exp_avg": torch.randn(2, 3), "a|step": torch.tensor(3.0)},
        rng=checkpoints.rng_tensors(),
    )


def test_round_trip(tmp_path):
    made = small(3)
    made.state.losses = [0.1, 1 / 3, 1e-300]
    kept = replace(small(4), mean={"a": torch.randn(2, 3)})
    assert_same_run(kept, load_checkpoint(save_checkpoint(tmp_path / "mean", {}, kept, keep=2), {}))
    read = load_checkpoint(save_checkpoint(tmp_path, {"x": 1}, made, keep=2), {"x": 1})
    assert_same_run(made, read)
    assert {path.name for path in (tmp_path / "step-00000003").iterdir()} == {
        "weights.safetensors",
        "optimizer.safetensors",
        "rng.safetensors",
        "state.json",
    }


def test_a_damaged_file_is_refused(tmp_path):
    path = save_checkpoint(tmp_path, {}, small(3), keep=2)
    file = path / "optimizer.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(TrainingError, match=r"optimizer\.safetensors is damaged"):
        load_checkpoint(path, {})


def test_writing_the_same_step_again_replaces_it(tmp_path):
    save_checkpoint(tmp_path, {}, small(3), keep=2)
    made = small(3)
    assert_same_run(load_checkpoint(save_checkpoint(tmp_path, {}, made, keep=2), {}), made)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000003"]


def test_pruning(tmp_path):
    for step in (1, 2, 3, 4, 5):
        save_checkpoint(tmp_path, {}, small(step, best=2), keep=2)
    assert [path.name for path in checkpoints.checkpoints(tmp_path)] == [
        "step-00000002",
        "step-00000004",
        "step-00000005",
    ]


def test_differences_name_every_leaf():
    theirs = {"a": {"b": 1, "c": [1, 2]}, "d": 1}
    ours = {"a": {"b": 2, "c": [1, 2]}, "e": 1}
    assert checkpoints.describe_differences(theirs, ours) == [
        "a.b: 1 there, 2 here",
        "d: 1 there, None here",
        "e: None there, 1 here",
    ]
