"""The benchmarks of training run, at a size for tests: what they measure is not judged here."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def load(name):
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", BENCHMARKS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_step_of_the_scaled_down_flux_dev():
    """Time, operations and estimate of two variants; checkpointing is more work by formula."""
    flux = load("flux_dev_gpu")
    assert {"512 px", "1024 px", "1024 px, checkpointing, compile", "512 px, nf4, checkpointing"} <= set(
        flux.VARIANTS
    )
    found = {
        name: flux.measure(flux.VARIANTS[name], small=True, steps=2, warmup=1)
        for name in ("512 px", "512 px, checkpointing")
    }
    assert all(one["ms"] > 0 and one["estimated_gib"] > 0 for one in found.values())
    assert found["512 px, checkpointing"]["tflop"] > 1.3 * found["512 px"]["tflop"]
    text = flux.table({**found, "1024 px": {"failed": "CUDA out of memory"}}, 0.1)
    assert text.count("\n") == 3 and "not run: CUDA out of memory" in text


@pytest.mark.parametrize(
    "name",
    ["512 px, int8, checkpointing", "512 px, fp8, checkpointing", "512 px, nf4, checkpointing, adamw8bit"],
)
def test_a_step_on_a_quantized_scaled_down_flux_dev(name):
    flux = load("flux_dev_gpu")
    assert flux.measure(flux.VARIANTS[name], small=True, steps=1, warmup=1)["ms"] > 0


@pytest.mark.slow
def test_the_gpu_benchmark_as_a_program(tmp_path):
    """A process a variant, a table, a JSON that says where it ran; full size is refused without a GPU."""
    program = [sys.executable, str(BENCHMARKS / "flux_dev_gpu.py"), "--out", str(tmp_path / "r.json")]
    brief = ["--scaled-down", "--steps", "1", "--warmup", "1", "--only", "512 px", "1024 px, checkpointing"]
    done = subprocess.run([*program, *brief], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "r.json").read_text())
    assert set(written["results"]) == {"512 px", "1024 px, checkpointing"} and written["scaled_down"]
    assert all("failed" not in found for found in written["results"].values())
    import torch

    if not torch.cuda.is_available():
        done = subprocess.run(program, capture_output=True, text=True, timeout=300)
        assert done.returncode == 2 and "there is no GPU here" in done.stderr


@pytest.mark.slow
def test_the_training_benchmark_as_a_program(tmp_path):
    program = [sys.executable, str(BENCHMARKS / "training.py"), "--out", str(tmp_path / "r.json")]
    brief = ["--blocks", "1", "--block", "1", "--icons", "8", "--steps", "1"]
    done = subprocess.run([*program, *brief], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "r.json").read_text())
    assert set(written["side_by_side"]["step_ms"]) == {"bare", "ours", "plain"}
    assert all(value > 0 for value in written["side_by_side"]["step_ms"].values())
    assert "peak memory, 8 icons" in done.stdout
