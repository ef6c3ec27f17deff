"""Several processes (over gloo, on flux-tiny): DDP is the same as one process with the doubled batch, and a
sharded base the same as a whole one; both are resumable."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from bioicons_pipeline.store import Store
from bioicons_pipeline.training import __main__ as entry
from bioicons_pipeline.training import checkpoint as checkpoints
from bioicons_pipeline.training import run
from bioicons_pipeline.training.adapter import adapter_tensors, add_adapter, set_adapter_tensors
from bioicons_pipeline.training.base_models import resolve_base
from bioicons_pipeline.training.encoders import load_transformer

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
DRAWN = {"validation_every": 3, "validation_steps": 2}
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


MEASURED = """
import os, runpy, sys
from bioicons_pipeline.training import loop
original = loop.Loop.fit
def held(name, module):
    base = [value for value in module.parameters() if not value.requires_grad]
    local = sum((value.to_local() if hasattr(value, "to_local") else value).numel() for value in base)
    share = local / sum(value.numel() for value in base)
    os.write(2, f"\\n{name} {share}\\n".encode())  # at once: the other process writes there too
def fit(self):
    held("share of the base", self.transformer)
    original(self)
    held("share of the blocks", self.transformer.single_transformer_blocks)
loop.Loop.fit = fit
sys.argv = ["-m", *sys.argv[1:]]
runpy.run_module("bioicons_pipeline.training", run_name="__main__")
"""
"""The trainer, every process of which says what it holds of the base before and after training."""


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
    """(request, process) of a finished run in two processes of batch 2, with validation images."""
    request = on_tiny(batch_size=2, **DRAWN)
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


@pytest.mark.parametrize("kind", ["int8", pytest.param("fp8", marks=pytest.mark.slow)])
def test_a_base_in_8_bits_is_trained_on_by_two_processes(on_tiny, tmp_path, kind):
    """torchao's weights cannot be sent from process to process, and need not: each has read them."""
    request = on_tiny(batch_size=2, quantize=kind)
    done = launched(request, tmp_path)
    assert done.returncode == 0, done.stderr
    losses = last(request)[0]["losses"]
    assert len(losses) == 6 and all(0 < loss < 10 for loss in losses)


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


# --- a sharded base ---


def assert_same(ours, theirs):
    """Two runs, as `last` gives them, are the same within rounding."""
    (ours, our_weights), (theirs, their_weights) = ours, theirs
    assert ours["losses"] == pytest.approx(theirs["losses"], abs=1e-6)
    assert ours["grad_norms"] == pytest.approx(theirs["grad_norms"], rel=1e-5)
    for split in ("train", "heldout"):
        assert [item[split]["loss"] for item in ours["evaluations"]] == pytest.approx(
            [item[split]["loss"] for item in theirs["evaluations"]], abs=1e-6
        )
    assert our_weights.keys() == their_weights.keys()
    for name, value in their_weights.items():
        assert (our_weights[name] - value).norm() <= 1e-4 * value.norm() + 1e-7, name


@pytest.fixture(scope="module")
def in_shards(on_tiny, tmp_path_factory):
    """(request, process) of the run of `in_two` with its base sharded."""
    request = on_tiny(batch_size=2, **DRAWN, shard_base=True)
    folder = tmp_path_factory.mktemp("shards")
    (folder / "measured.py").write_text(MEASURED)
    done = launched(request, folder, str(folder / "measured.py"))
    assert done.returncode == 0, done.stderr
    return request, done


def test_a_sharded_base_trains_the_same_adapter(in_shards, in_two):
    assert "shard_base = True" in in_shards[1].stderr and "FSDP2" not in in_shards[1].stderr
    assert_same(last(in_shards[0]), last(in_two[0]))


def test_each_process_holds_half_of_the_base(in_shards):
    for what in ("share of the base", "share of the blocks"):
        found = [float(line.split()[-1]) for line in in_shards[1].stderr.splitlines() if what in line]
        assert len(found) == 2 and found == pytest.approx([0.5, 0.5], abs=0.02), what


def test_validation_images_are_drawn_with_a_sharded_base(in_shards, in_two):
    """By both processes together, the same as the main process draws alone; one of them keeps them."""

    def images(request):
        (run_dir,) = Path(request.work_dir).glob("runs/*")
        return {path.relative_to(run_dir): path for path in run_dir.glob("validation/*/*.png")}

    ours, theirs = images(in_shards[0]), images(in_two[0])
    assert ours.keys() == theirs.keys() and len({path.parent for path in ours}) == 3
    for name, path in ours.items():
        drawn, expected = (
            torch.frombuffer(bytearray(Image.open(file).tobytes()), dtype=torch.uint8).int()
            for file in (path, theirs[name])
        )
        assert (drawn - expected).abs().max() <= 2, name


def test_a_checkpoint_of_a_sharded_base_is_like_any_other(in_shards, in_two):
    """A run without sharding reads it as its own, into a transformer that is whole."""
    (identity,) = Path(in_two[0].work_dir).glob("runs/*/identity.json")
    (path,) = Path(in_shards[0].work_dir).glob("runs/*/checkpoints/step-00000006")
    read = checkpoints.load_checkpoint(path, json.loads(identity.read_text()))
    base = resolve_base("flux-tiny", Path(in_two[0].cache_dir))
    transformer = load_transformer(base, torch.float32)
    add_adapter(transformer, in_two[0].config)
    set_adapter_tensors(transformer, read.weights)
    found = adapter_tensors(transformer)
    assert all(torch.equal(found[name], value) for name, value in read.weights.items())
    (other,) = Path(in_two[0].work_dir).glob("runs/*/checkpoints/step-00000006/optimizer.safetensors")
    assert {name: value.shape for name, value in read.optimizer.items()} == {
        name: value.shape for name, value in load_file(other).items()
    }


@pytest.mark.slow
def test_a_sharded_run_stopped_and_started_again(in_shards, on_tiny, tmp_path):
    """Ends bit by bit where the undisturbed run does."""
    request = on_tiny(batch_size=2, **DRAWN, shard_base=True)
    program = tmp_path / "stopped.py"
    program.write_text(STOPPED)
    assert launched(request, tmp_path, str(program)).returncode != 0
    done = launched(request, tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.strip().splitlines()[-1])["resumed_from"] == 2
    (ours, our_weights), (theirs, their_weights) = last(request), last(in_shards[0])
    assert ours["losses"] == theirs["losses"] and ours["evaluations"] == theirs["evaluations"]
    assert all(torch.equal(our_weights[name], value) for name, value in their_weights.items())


@pytest.mark.slow
@pytest.mark.parametrize(
    "fields",
    [
        {"gradient_checkpointing": True, "accumulation": 2, "ema_decay": 0.9},
        {"dora": True, "gradient_checkpointing": True},
    ],
    ids=["checkpointing", "dora"],
)
def test_what_a_sharded_base_goes_with(fields, on_tiny, tmp_path):
    runs = [on_tiny(batch_size=1, shard_base=shards, **fields) for shards in (False, True)]
    for request in runs:
        done = launched(request, tmp_path)
        assert done.returncode == 0, done.stderr
    assert_same(last(runs[1]), last(runs[0]))


@pytest.mark.slow
def test_a_sharded_base_in_bf16(on_tiny, tmp_path):
    """Gathered in bf16 it computes as autocast does, but for the norms, whose weights are rounded too."""
    runs = [on_tiny(batch_size=2, mixed_precision="bf16", shard_base=shards) for shards in (False, True)]
    for request in runs:
        done = launched(request, tmp_path)
        assert done.returncode == 0 and "precision bf16" in done.stderr, done.stderr
    (plain, _), (shards, weights) = (last(request) for request in runs)
    assert shards["losses"] == pytest.approx(plain["losses"], rel=0.01)
    assert shards["grad_norms"] == pytest.approx(plain["grad_norms"], rel=0.1)
    assert {value.dtype for value in weights.values()} == {torch.float32}


def test_one_process_shards_nothing_and_says_so(make_request):
    request = make_request(shard_base=True, steps=1, warmup_steps=0)
    said = []
    run.train(request, send=said.append, quiet=True)
    assert any("in this one the base is whole" in event.get("text", "") for event in said)


# --- under Dagster ---


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
