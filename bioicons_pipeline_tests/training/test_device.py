"""Which precision `auto` means on a CPU."""

import pytest
import torch

from bioicons_pipeline.training import device
from bioicons_pipeline.training.config import LoopConfig


@pytest.fixture
def cpu(monkeypatch):
    """A CPU whose products in bf16 take `cpu.bf16` of the time of those in fp32."""

    class Cpu:
        bf16 = 1.0

        def seconds(self, dtype):
            return self.bf16 if dtype is torch.bfloat16 else 1.0

    made = Cpu()
    device.bf16_pays_on_cpu.cache_clear()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(device, "_product_seconds", made.seconds)
    yield made
    device.bf16_pays_on_cpu.cache_clear()


def precision(**how):
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state()
    try:
        return device.make_accelerator(LoopConfig(mixed_precision="auto"), **how).mixed_precision
    finally:
        AcceleratorState._reset_state()


@pytest.mark.parametrize(("share", "expected"), [(0.25, "bf16"), (0.9, "no"), (2.0, "no")])
def test_auto_is_bf16_on_a_cpu_only_where_that_is_clearly_faster(cpu, share, expected):
    """A Xeon that has the instructions multiplies at half the speed with them."""
    cpu.bf16 = share
    assert precision(bf16_on_cpu=True) == expected
    assert precision() == "no"


def test_the_time_of_a_product_is_measured():
    """In both precisions, also where the CPU has no instructions for one of them."""
    assert min(device._product_seconds(dtype) for dtype in (torch.float32, torch.bfloat16)) > 0
