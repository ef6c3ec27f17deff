"""A LoRA step of FLUX.1-dev on a GPU: time, memory and TFLOP/s of every way to take it.

    python benchmarks/flux_dev_gpu.py [--only NAME …] [--steps N]    # on a GPU
    python benchmarks/flux_dev_gpu.py --scaled-down                  # anywhere: the same code, a tiny shape

Ways: 512 and 1024 px, with and without checkpointing, compile and a quantized base. The transformer has
FLUX.1-dev's own configuration (11.9 B parameters) and random weights: the same arithmetic, nothing to
download. Adapter, objective and optimizer are the trainer's. Every variant runs in a process of its own, so
that its peak memory is its own and one that does not fit fails alone. A step is timed between two device
events; on a CPU by the clock. Operations of a step are counted by formula (training/shape.py), the ceiling is
a large bf16 matrix product on the same device in the same run. Writes benchmarks/results/flux_dev_gpu.json.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from bioicons_pipeline.training.adapter import equipped, trainable
from bioicons_pipeline.training.config import TrainingConfig
from bioicons_pipeline.training.encoders import quantization
from bioicons_pipeline.training.extras import require
from bioicons_pipeline.training.memory import Pieces, estimate
from bioicons_pipeline.training.objective import Conditioning, flow_matching_loss
from bioicons_pipeline.training.optimizers import make_optimizer
from bioicons_pipeline.training.shape import FluxShape

RESULT = Path("benchmarks/results/flux_dev_gpu.json")
SMALL = FluxShape(layers=1, single_layers=2, heads=2, head_dim=32, text_dim=64, pooled_dim=32)
VARIANTS: dict[str, dict[str, Any]] = {
    f"{resolution} px{', ' if name else ''}{name}": {"resolution": resolution, **fields}
    for resolution in (512, 1024)
    for name, fields in {
        "": {},
        "compile": {"compile_blocks": True},
        "checkpointing": {"gradient_checkpointing": True},
        "checkpointing, compile": {"gradient_checkpointing": True, "compile_blocks": True},
        "int8, checkpointing": {"quantize": "int8", "gradient_checkpointing": True},
        "fp8, checkpointing": {"quantize": "fp8", "gradient_checkpointing": True},
        "nf4, checkpointing": {"quantize": "nf4", "gradient_checkpointing": True},
        "nf4, checkpointing, adamw8bit": {
            "quantize": "nf4",
            "gradient_checkpointing": True,
            "optimizer": "adamw8bit",
        },
    }.items()
}


def build(shape: FluxShape, config: TrainingConfig, device: torch.device, dtype: torch.dtype) -> Any:
    """The transformer with random weights, quantized as `config` says, with its adapter."""
    from diffusers import FluxTransformer2DModel

    axes = (16, 56, 56) if shape.head_dim == 128 else (8, 12, 12)
    torch.set_default_dtype(dtype)
    with torch.device(device):
        model = FluxTransformer2DModel(
            num_layers=shape.layers,
            num_single_layers=shape.single_layers,
            num_attention_heads=shape.heads,
            attention_head_dim=shape.head_dim,
            joint_attention_dim=shape.text_dim,
            pooled_projection_dim=shape.pooled_dim,
            guidance_embeds=shape.guidance,
            axes_dims_rope=axes,
        )
    torch.set_default_dtype(torch.float32)
    model.eval().requires_grad_(False)
    if config.quantize in ("int8", "fp8"):
        torchao = require("torchao.quantization", config.quantize, "leave these variants out")
        torchao.quantize_(model, quantization(config.quantize, dtype).quant_type)
    elif config.quantize == "nf4":
        _four_bits(model, device, dtype)
    return equipped(model, config)


def _four_bits(model: Any, device: torch.device, dtype: torch.dtype) -> None:
    """Every linear layer in NF4, one after the other, as diffusers does while it reads a file."""
    bitsandbytes = require("bitsandbytes", "nf4", "leave these variants out")
    for name, layer in list(model.named_modules()):
        if not isinstance(layer, torch.nn.Linear):
            continue
        four = bitsandbytes.nn.Linear4bit(
            layer.in_features,
            layer.out_features,
            compute_dtype=dtype,
            quant_type="nf4",
            compress_statistics=True,
            device="meta",
        )
        four.weight = bitsandbytes.nn.Params4bit(
            layer.weight.detach().cpu(), requires_grad=False, quant_type="nf4", compress_statistics=True
        )
        four.bias = layer.bias
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, four.to(device))


class Clock:
    """Milliseconds of a call: between two device events on a GPU, by the clock elsewhere."""

    def __init__(self, device: torch.device) -> None:
        self.cuda = device.type == "cuda"

    def time(self, work: Any) -> float:
        if not self.cuda:
            started = time.perf_counter()
            work()
            return 1e3 * (time.perf_counter() - started)
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record()
        work()
        last.record()
        torch.cuda.synchronize()
        return first.elapsed_time(last)


def ceiling(device: torch.device, size: int, dtype: torch.dtype) -> float:
    """TFLOP/s of a square matrix product of `size`: what this device reaches where nothing else is done."""
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    clock = Clock(device)
    times = [clock.time(lambda: a @ b) for _ in range(12)][2:]
    return 2 * size**3 / (statistics.median(times) * 1e-3) / 1e12


def measure(fields: dict[str, Any], *, small: bool, steps: int, warmup: int) -> dict[str, Any]:
    """One variant: milliseconds of each step, peak memory, TFLOP/s, and what the trainer's estimate says."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    shape = SMALL if small else FluxShape()
    changes = {"resolution": fields["resolution"] // 8, "t5_length": 32} if small else {}
    config = TrainingConfig.model_validate({"gradient_checkpointing": False, **fields, **changes})
    side, count = config.resolution // 8, config.batch_size
    model = build(shape, config, device, dtype)
    parameters = list(trainable(model).values())
    optimizer = make_optimizer(config, parameters, device)
    x, noise = (torch.randn(count, 16, side, side, device=device) for _ in range(2))
    text = Conditioning(
        torch.randn(count, config.t5_length, shape.text_dim, device=device, dtype=dtype),
        torch.randn(count, shape.pooled_dim, device=device, dtype=dtype),
    )
    sigma = torch.rand(count, device=device)
    autocast = torch.autocast("cuda", dtype=torch.bfloat16) if device.type == "cuda" else nullcontext()

    def step() -> None:
        with autocast:
            loss = flow_matching_loss(model, x, noise, sigma, text, 1.0).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    clock = Clock(device)
    first = clock.time(step)
    for _ in range(warmup - 1):
        step()
    times = [clock.time(step) for _ in range(steps)]
    checkpointing = config.gradient_checkpointing is True
    flops = shape.step_flops(config, checkpointing=checkpointing)
    median = statistics.median(times)
    expected = estimate(
        Pieces(shape, 0, 0),
        config,
        checkpointing=checkpointing,
        half=dtype == torch.bfloat16,
        bf16=dtype == torch.bfloat16,
        device=device.type,
    )
    return {
        "ms": round(median, 2),
        "ms_min": round(min(times), 2),
        "ms_max": round(max(times), 2),
        "first_step_ms": round(first, 1),
        "tflop": flops / 1e12,
        "tflop_per_s": flops / 1e12 / (median * 1e-3),
        "peak_gib": torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else None,
        "reserved_gib": torch.cuda.max_memory_reserved() / 2**30 if device.type == "cuda" else None,
        "estimated_gib": expected.training / 2**30,
    }


def machine() -> dict[str, Any]:
    """What it ran on, with the driver and the versions."""
    told: dict[str, Any] = {"platform": platform.platform(), "python": platform.python_version()}
    told |= {name: version(name) for name in ("torch", "diffusers", "peft")}
    for name in ("bitsandbytes", "torchao"):
        try:
            told[name] = version(name)
        except ImportError:
            told[name] = None
    if torch.cuda.is_available():
        told |= {"gpu": torch.cuda.get_device_name(), "cuda": torch.version.cuda}
        asked = ["nvidia-smi", "--query-gpu=driver_version,power.limit,memory.total", "--format=csv,noheader"]
        told["driver, power, memory"] = subprocess.run(asked, capture_output=True, text=True).stdout.strip()
    return told


def in_its_own_process(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measure one variant in a fresh process; `{"failed": …}` where it does not run here."""
    command = [sys.executable, __file__, "--child", name, "--steps", str(options.steps)]
    command += ["--warmup", str(options.warmup), *(["--scaled-down"] if options.scaled_down else [])]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return {"failed": last[:300]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def table(results: dict[str, dict[str, Any]], most: float) -> str:
    """The results for people; share is of the measured matrix product."""
    lines = [f"{'variant':<40}{'ms/step':>10}{'peak GiB':>10}{'estimate':>10}{'TFLOP/s':>9}{'share':>7}"]
    for name, found in results.items():
        if "failed" in found:
            lines.append(f"{name:<40}  not run: {found['failed'][:60]}")
            continue
        peak = "" if found["peak_gib"] is None else f"{found['peak_gib']:.1f}"
        lines.append(
            f"{name:<40}{found['ms']:>10.1f}{peak:>10}{found['estimated_gib']:>10.1f}"
            f"{found['tflop_per_s']:>9.3g}{found['tflop_per_s'] / most:>7.0%}"
        )
    return "\n".join(lines)


def main() -> None:
    """Run the variants, print the table, write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", default=list(VARIANTS), choices=VARIANTS, metavar="NAME")
    parser.add_argument("--scaled-down", action="store_true", help="a tiny shape, on whatever there is")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--warmup", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--child", choices=VARIANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        found = measure(
            VARIANTS[options.child], small=options.scaled_down, steps=options.steps, warmup=options.warmup
        )
        print(json.dumps(found))
        return
    if not (torch.cuda.is_available() or options.scaled_down):
        parser.error("there is no GPU here: the full size needs one; --scaled-down runs anywhere")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    half = torch.bfloat16 if device.type == "cuda" else torch.float32
    most = ceiling(device, 8192 if device.type == "cuda" else 512, half)
    results = {name: in_its_own_process(name, options) for name in options.only}
    print(f"matrix product: {most:.3g} TFLOP/s\n{table(results, most)}")
    written = {
        "scaled_down": options.scaled_down,
        "timed_by": "device events" if device.type == "cuda" else "clock",
        "matmul_tflop_per_s": most,
        "steps": options.steps,
        "machine": machine(),
        "results": results,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(written, indent=1) + "\n")


if __name__ == "__main__":
    main()
