"""The optimizers: which one a config gets, 8-bit moments, and their state through a checkpoint."""

import pytest
import torch

from bioicons_pipeline.training import extras
from bioicons_pipeline.training.config import LoopConfig, TrainingConfig, parse_config
from bioicons_pipeline.training.errors import TrainingError
from bioicons_pipeline.training.optimizers import (
    PRODIGY_STATE,
    load_optimizer,
    make_optimizer,
    optimizer_tensors,
)

CPU = torch.device("cpu")
NAMES = ["a", "b"]
PRODIGY = pytest.param("prodigy", marks=pytest.mark.prodigyopt)
KINDS = ["adamw", "adamw8bit", PRODIGY]
RATES = {"prodigy": 1.0}


def start():
    generator = torch.Generator().manual_seed(0)
    # bitsandbytes keeps fewer than 4,096 values in 32 bits: one of each kind
    return [torch.nn.Parameter(torch.randn(size, generator=generator)) for size in ((128, 64), (8, 8))]


def go(optimizer, parameters, steps):
    for _ in range(steps):
        sum((value**2).sum() for value in parameters).backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("kind", KINDS)
def test_its_state_goes_through_a_checkpoint_bit_by_bit(kind):
    config = LoopConfig(optimizer=kind, learning_rate=RATES.get(kind, 1e-2))
    whole, halves = start(), start()
    optimizer = make_optimizer(config, whole, CPU)
    go(optimizer, whole, 6)
    first = make_optimizer(config, halves, CPU)
    go(first, halves, 3)
    saved = optimizer_tensors(first, NAMES)
    assert all(isinstance(value, torch.Tensor) and value.is_contiguous() for value in saved.values())
    second = make_optimizer(config, halves, CPU)
    load_optimizer(second, NAMES, saved)
    go(second, halves, 3)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(whole, halves, strict=True))
    theirs = optimizer_tensors(second, NAMES)
    ours = optimizer_tensors(optimizer, NAMES)
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)
    without = make_optimizer(config, start(), CPU)  # the state is what makes it equal
    go(without, list(without.param_groups[0]["params"]), 3)
    assert any(not torch.equal(a, b) for a, b in zip(whole, without.param_groups[0]["params"], strict=True))


def test_eight_bit_moments_take_a_quarter_and_end_near():
    sizes, ends = {}, {}
    for kind in ("adamw", "adamw8bit"):
        parameters = start()
        optimizer = make_optimizer(LoopConfig(optimizer=kind, learning_rate=1e-2), parameters, CPU)
        go(optimizer, parameters, 20)
        state = optimizer_tensors(optimizer, NAMES)
        sizes[kind] = sum(value.nbytes for key, value in state.items() if key.startswith("a|"))
        ends[kind] = parameters[0].detach()
    assert sizes["adamw8bit"] < 0.35 * sizes["adamw"]
    moved = (ends["adamw"] - start()[0]).norm()
    assert 0 < (ends["adamw"] - ends["adamw8bit"]).norm() < 0.1 * moved


@pytest.mark.parametrize(
    ("fields", "device", "message"),
    [
        ({"optimizer": "adamw8bit"}, "cpu", r"needs bitsandbytes, which is not installed.*low-memory.*adamw"),
        ({"optimizer": "prodigy", "learning_rate": 1}, "cpu", r"needs prodigyopt.*\[prodigy\].*to adamw"),
        ({"wandb": "offline"}, "cpu", r"needs wandb.*\[wandb\].*set wandb to off"),
        ({"quantize": "int8"}, "cpu", r"needs torchao, which is not installed.*or set quantize to none"),
        ({"quantize": "fp8"}, "cpu", r"fp8 needs torchao, which is not installed.*or set quantize to none"),
        ({"quantize": "nf4"}, "cuda", r"needs bitsandbytes.*or set quantize to int8"),
        ({"quantize": "nf4"}, "cpu", r"nf4 needs a CUDA GPU, and this training runs on cpu"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_loaded(fields, device, message, monkeypatch):
    monkeypatch.setattr(extras.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(TrainingError, match=message) as caught:
        extras.check_extras(TrainingConfig(**fields), device)
    assert "\n" not in str(caught.value)
    extras.check_extras(TrainingConfig(), device)


def test_a_library_that_does_not_load_is_one_sentence(monkeypatch, tmp_path):
    (tmp_path / "brokenlibrary.py").write_text("raise RuntimeError('built for another CUDA')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(TrainingError, match=r"does not load here \(built for another CUDA\).*or walk"):
        extras.require("brokenlibrary", "this", "walk")


def test_a_run_asks_before_it_begins(make_request, monkeypatch):
    from bioicons_pipeline.training import run

    monkeypatch.setattr(extras.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(run, "checkout_dataset", lambda *a: pytest.fail("began"))
    with pytest.raises(TrainingError, match="bitsandbytes"):
        run.train(make_request(optimizer="adamw8bit"), quiet=True)


def test_a_run_with_8_bit_moments_resumes_bitwise(make_request):
    from bioicons_pipeline.training import run
    from bioicons_pipeline_tests.training.test_resume import (
        assert_same_run,
        at_step,
        killed_run,
        last_checkpoint,
    )

    options = {"optimizer": "adamw8bit", "rank": 64, "alpha": 64.0}  # so large that matrices get 8 bits
    whole, other = make_request(work="eight-a", **options), make_request(work="eight-b", **options)
    run.train(whole, quiet=True)
    killed_run(other, at_step(5))
    assert run.train(other, quiet=True).resumed_from == 4
    ours = last_checkpoint(whole)
    assert any(value.dtype == torch.uint8 for value in ours.optimizer.values())
    assert_same_run(ours, last_checkpoint(other))


@pytest.mark.prodigyopt
def test_prodigys_estimate_is_kept_in_double_precision_and_quietly(capsys):
    """Its estimate is one number for all parameters: a rounded one would be another run."""
    config = LoopConfig(optimizer="prodigy", learning_rate=1.0)
    parameters = start()
    optimizer = make_optimizer(config, parameters, CPU)
    go(optimizer, parameters, 40)
    assert capsys.readouterr().out == "", "stdout is for the result"
    group = optimizer.param_groups[0]
    assert group["d"] > group["d0"], "it has found a larger one"
    other = make_optimizer(config, parameters, CPU)
    load_optimizer(other, NAMES, optimizer_tensors(optimizer, NAMES))
    for entry in PRODIGY_STATE:
        found, kept = other.param_groups[0][entry], group[entry]
        assert found == kept and type(found) is type(kept), entry
    assert optimizer_tensors(optimizer, NAMES)["a|group.d_numerator"].dtype == torch.float64
    before = [value.detach().clone() for value in parameters]
    go(optimizer, parameters, 5)
    ends = [value.detach().clone() for value in parameters]
    with torch.no_grad():
        for value, kept in zip(parameters, before, strict=True):
            value.copy_(kept)
    go(other, parameters, 5)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(parameters, ends, strict=True))


def test_prodigy_with_a_learning_rate_for_adamw_is_refused():
    with pytest.raises(TrainingError, match=r"multiplies the one that prodigy finds: set it to 1"):
        parse_config({"optimizer": "prodigy"})


@pytest.mark.prodigyopt
def test_a_run_with_prodigy_learns_and_resumes_bitwise(make_request):
    from bioicons_pipeline.training import run
    from bioicons_pipeline_tests.training.test_resume import (
        assert_same_run,
        at_step,
        killed_run,
        last_checkpoint,
    )

    options = {"optimizer": "prodigy", "learning_rate": 1.0}
    whole, other = make_request(work="prodigy-a", **options), make_request(work="prodigy-b", **options)
    run.train(whole, quiet=True)
    killed_run(other, at_step(5))
    assert run.train(other, quiet=True).resumed_from == 4
    ours = last_checkpoint(whole)
    assert any(key.endswith("|group.d") for key in ours.optimizer)
    assert_same_run(ours, last_checkpoint(other))
