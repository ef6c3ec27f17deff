"""Where a training runs: accelerate's view of this process, its memory, its precision.

Belongs here: devices, processes and autocast. Does not belong here: what is done there (run, loop).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from functools import cache
from typing import Any

import torch

from bioicons_pipeline.training.config import LoopConfig
from bioicons_pipeline.training.memory import Machine, host_memory

PATIENCE = timedelta(hours=6)
"""How long processes wait for each other. The first one downloads a base and encodes a library meanwhile, for
which NCCL's own ten minutes are too few."""


def make_accelerator(config: LoopConfig, *, bf16_on_cpu: bool = False) -> Any:
    """accelerate's view of this process: device, processes; threads are limited on a CPU.

    bf16_on_cpu: whether `auto` may mean bf16 on a CPU too, where it multiplies faster in bf16.
    """
    from accelerate import Accelerator
    from accelerate.utils import InitProcessGroupKwargs, set_seed

    bf16 = config.mixed_precision == "bf16" or (
        config.mixed_precision == "auto"
        and (
            torch.cuda.is_bf16_supported()
            if torch.cuda.is_available()
            else bf16_on_cpu and bf16_pays_on_cpu()
        )
    )
    accelerator = Accelerator(
        mixed_precision="bf16" if bf16 else "no", kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)]
    )
    if accelerator.device.type == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // accelerator.num_processes))
    set_seed(config.seed)
    return accelerator


@cache
def bf16_pays_on_cpu() -> bool:
    """Whether this CPU multiplies matrices faster in bf16 than in fp32: measured, in a tenth of a second.

    Its instructions do not tell: with AVX512-BF16 one kind of CPU takes a quarter of the time that fp32
    takes, another (a Xeon at 2.3 GHz whose guests do not see its AMX) twice the time; without them all are
    many times slower.
    """
    fp32, bf16 = (_product_seconds(dtype) for dtype in (torch.float32, torch.bfloat16))
    return bf16 < 0.8 * fp32


def _product_seconds(dtype: torch.dtype, times: int = 5) -> float:
    """The fastest of so many products, each as large as a layer's of a small base: what else runs here slows
    some of them."""
    left, right = torch.ones(1024, 256, dtype=dtype), torch.ones(256, 1024, dtype=dtype)
    left @ right  # the first one sets things up
    found = []
    for _ in range(times):
        started = time.perf_counter()
        left @ right
        found.append(time.perf_counter() - started)
    return min(found)


def machine_of(accelerator: Any) -> Machine:
    """What this process may take of the memory: a GPU's, or its share of the main memory."""
    bf16, device = accelerator.mixed_precision == "bf16", accelerator.device
    processes = accelerator.num_processes
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
        return Machine("cuda", free, half=bf16, bf16=bf16, processes=processes)
    return Machine("cpu", host_memory() // processes, half=False, bf16=bf16, processes=processes)


def any_says(said: bool, accelerator: Any) -> bool:
    """Whether one of the processes says so; all of them call this, and all hear the same."""
    if accelerator.num_processes == 1:
        return said
    vote = torch.tensor(float(said), device=accelerator.device)
    return float(accelerator.reduce(vote, reduction="sum")) > 0


def of_main_process(value: Any, accelerator: Any) -> Any:
    """What the main process has, in all of them; all of them call this. The value itself with one process."""
    if accelerator.num_processes == 1:
        return value
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([value])[0]


def autocast_of(accelerator: Any) -> Callable[[], AbstractContextManager[Any]]:
    """The context of a forward pass in this precision; a function, for each pass has its own."""
    if accelerator.mixed_precision != "bf16":
        return nullcontext
    return lambda: torch.autocast(accelerator.device.type, dtype=torch.bfloat16)
