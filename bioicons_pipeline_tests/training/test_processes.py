"""Several processes (DDP over gloo, on flux-tiny): the same as one with the doubled batch, and resumable."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from bioicons_pipeline.store import Store
from bioicons_pipeline.training import __main__ as entry
from bioicons_pipeline.training import run

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
OPTIONS = {"steps": 6, "eval_every": 3, "rank": 4, "checkpoint_every": 2, "learning_rate": 1e-3}

STOPPED = """
import runpy, sys
from bioicons_pipeline.training import progress
original = progress.Display.step
def step(self, state, rate):
    original(self, state, rate)
    if state.step == 3:
        raise KeyboardInterrupt
progress.Display.step = step
sys.argv = ["-m", *sys.argv[1:]]
runpy.run_module("bioicons_pipeline.training", run_name="__main__")
"""
"""The trainer, stopped in every process after its third step."""

WARNED = """
import os, runpy, signal, sys
from bioicons_pipeline.training import progress
original = progress.Display.step
def step(self, state, rate):
    original(self, state, rate)
    if state.step == 3 and os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGTERM)
progress.Display.step = step
sys.argv = ["-m", *sys.argv[1:]]
runpy.run_module("bioicons_pipeline.training", run_name="__main__")
"""
"""The trainer, whose second process is warned after its third step."""


def launched(request, folder: Path, *program: str) -> subprocess.CompletedProcess:
    """The trainer in two processes, as `accelerate launch` starts it on two GPUs."""
    path = folder / "request.json"
    path.write_text(request.to_json())
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    program = program or ("-m", "bioicons_pipeline.training")
    return subprocess.run(
        [*launch, *program, "--request", str(path)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=280,
    )


def last(request):
    """(state, weights) of the last checkpoint of a run."""
    (found,) = Path(request.work_dir).glob("runs/*/checkpoints/step-00000006")
    return json.loads((found / "state.json").read_text())["state"], load_file(found / "weights.safetensors")


@pytest.fixture(scope="module")
def on_tiny(make_request, tmp_path_factory):
    """Function (**overrides) → request on flux-tiny, built once."""
    bases = tmp_path_factory.mktemp("tiny")

    def make(**config):
        request = make_request(**{**OPTIONS, **config})
        return request.model_copy(update={"base": "flux-tiny", "cache_dir": str(bases)})

    return make


@pytest.fixture(scope="module")
def in_two(on_tiny, tmp_path_factory):
    """(request, process) of a finished run in two processes of batch 2."""
    request = on_tiny(batch_size=2)
    done = launched(request, tmp_path_factory.mktemp("two"))
    assert done.returncode == 0, done.stderr
    return request, done


def test_two_processes_equal_one_with_the_doubled_batch(in_two, on_tiny):
    """The same samples in the same order, the same losses and the same adapter, within rounding."""
    request, done = in_two
    assert "2 process(es)" in done.stderr and done.stdout.count("version_id") == 1
    alone = on_tiny(batch_size=4)
    run.train(alone, quiet=True)
    (ours, our_weights), (theirs, their_weights) = last(request), last(alone)
    assert ours["losses"] == pytest.approx(theirs["losses"], abs=1e-5)
    assert ours["grad_norms"] == pytest.approx(theirs["grad_norms"], rel=1e-4)
    for split in ("train", "heldout"):
        assert [item[split]["loss"] for item in ours["evaluations"]] == pytest.approx(
            [item[split]["loss"] for item in theirs["evaluations"]], abs=1e-5
        )
    for name, value in their_weights.items():
        assert (our_weights[name] - value).norm() <= 1e-3 * value.norm() + 1e-6, name


def test_two_processes_are_not_one_with_the_single_batch(in_two, on_tiny):
    """The tolerances above can tell: half the samples give other losses."""
    single = on_tiny(batch_size=2)
    run.train(single, quiet=True)
    assert last(in_two[0])[0]["losses"] != pytest.approx(last(single)[0]["losses"], abs=1e-5)


@pytest.mark.slow
def test_stopped_in_two_processes_and_started_again(in_two, on_tiny, tmp_path):
    """Ends bit by bit where the undisturbed run does."""
    whole, _ = in_two
    request = on_tiny(batch_size=2)
    program = tmp_path / "stopped.py"
    program.write_text(STOPPED)
    assert launched(request, tmp_path, str(program)).returncode != 0
    (checkpoints,) = Path(request.work_dir).glob("runs/*/checkpoints")
    assert [path.name for path in checkpoints.iterdir()] == ["step-00000002"]
    done = launched(request, tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.strip().splitlines()[-1])["resumed_from"] == 2
    (ours, our_weights), (theirs, their_weights) = last(request), last(whole)
    assert ours["losses"] == theirs["losses"] and ours["evaluations"] == theirs["evaluations"]
    assert all(torch.equal(our_weights[name], value) for name, value in their_weights.items())


def test_a_host_that_goes_stops_both_processes_in_one_step(in_two, on_tiny, tmp_path):
    """SIGTERM reaches the second process alone, while the first may be a step ahead: both end, with a
    checkpoint in the store, and another host ends bit by bit where the undisturbed run does."""
    whole, _ = in_two
    request = on_tiny(batch_size=2, checkpoint_every=100).model_copy(update={"checkpoint_ref": "name"})
    program = tmp_path / "warned.py"
    program.write_text(WARNED)
    done = launched(request, tmp_path, str(program))
    assert done.returncode != 0 and "interrupted: run the same request" in done.stderr, done.stderr
    (ref,) = Store(request.store_root).list_refs("checkpoints").values()
    assert ref.info == {"newest": "step-00000003"}  # where an evaluation is due, which had to wait
    elsewhere = request.model_copy(update={"work_dir": str(tmp_path / "elsewhere")})
    done = launched(elsewhere, tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.strip().splitlines()[-1])["resumed_from"] == 3
    (ours, our_weights), (theirs, their_weights) = last(elsewhere), last(whole)
    assert ours["losses"] == theirs["losses"] and ours["evaluations"] == theirs["evaluations"]
    assert all(torch.equal(our_weights[name], value) for name, value in their_weights.items())


def test_all_processes_get_the_request_and_one_speaks_to_dagster(make_request, monkeypatch, tmp_path):
    """Under Pipes the request comes with the launch; a second voice would open the session twice."""
    from dagster_pipes import PipesContext, encode_param

    request = make_request()
    messages = tmp_path / "messages"
    context = {"asset_keys": ["lora_weights"], "run_id": "r", "retry_number": 0, "job_name": "j"}
    context |= {"code_version_by_asset_key": {}, "provenance_by_asset_key": {}, "partition_key": None}
    context |= {"partition_key_range": None, "partition_time_window": None}
    context["extras"] = {"request": request.model_dump(mode="json")}
    monkeypatch.setenv("DAGSTER_PIPES_CONTEXT", encode_param({"data": context}))
    monkeypatch.setenv("DAGSTER_PIPES_MESSAGES", encode_param({"path": str(messages)}))
    for rank, speaks in (("1", False), ("0", True)):
        monkeypatch.setenv("RANK", rank)
        with entry._Pipes() as pipes:
            assert entry.parse_request(pipes.request) == request
        assert messages.exists() == speaks
    assert not PipesContext.is_initialized() or PipesContext.get().is_closed
