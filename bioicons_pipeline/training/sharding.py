"""A base that does not fit one card: its frozen weights are spread over the processes of a training.

Belongs here: sharding the base, and what several processes must then do together. Does not belong here: the
adapter. It is whole in every process and stays out of the sharding, so optimizer, running mean, checkpoint
and export are those of any other training; a LoRA is a thousandth of the base. The sharding is torch's FSDP2
(https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html).

A forward pass gathers each block from all processes: a pass that one of them makes alone waits for ever.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from bioicons_pipeline.training.memory import Machine


def sharded(make: Callable[[], nn.Module], accelerator: Any) -> nn.Module:
    """The transformer that `make` returns on the CPU, with its adapter: now on the devices of all processes,
    the base's weights shared out among them. All processes call this.

    One process of a machine makes and shards at a time, block by block, and the whole is freed before the
    next one's turn. So at most a block is whole on a GPU. The main memory of a machine holds one base whole
    at its peak, and no base where there is a GPU afterwards; where the processes run on the CPU, their shares
    are in it too.
    """
    from torch.distributed.device_mesh import init_device_mesh

    # of the two streams that a block returns each is a view of one tensor; nothing here writes into them
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view", category=UserWarning)
    # made by all together, so before they take turns
    mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
    transformer = None
    for turn in range(accelerator.num_processes):
        if turn == accelerator.local_process_index:
            transformer = make()
            _shard(transformer, mesh, accelerator)
        accelerator.wait_for_everyone()
    assert transformer is not None
    return transformer


def _shard(transformer: Any, mesh: Any, accelerator: Any) -> None:
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    adapter = {value for value in transformer.parameters() if value.requires_grad}
    for value in adapter:
        value.data = value.data.to(accelerator.device)
    policy = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if accelerator.mixed_precision == "bf16" else None,
        # sigma and position ids stay fp32; autocast does the rest, as without sharding
        cast_forward_inputs=False,
    )
    for block in (*transformer.transformer_blocks, *transformer.single_transformer_blocks):
        fully_shard(block, mesh=mesh, mp_policy=policy, ignored_params=adapter)
    fully_shard(transformer, mesh=mesh, mp_policy=policy, ignored_params=adapter)


def average_gradients(parameters: Iterable[nn.Parameter], accelerator: Any) -> None:
    """Replace each gradient by its mean over all processes, in one exchange; DDP does this elsewhere."""
    gradients = [value.grad for value in parameters if value.grad is not None]
    mean = accelerator.reduce(torch.cat([value.flatten() for value in gradients]), reduction="mean")
    parts = mean.split([value.numel() for value in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


def poorest(machine: Machine, accelerator: Any) -> Machine:
    """`machine` with the memory of the process that has least: what follows from it (checkpointing) must be
    the same for all that gather blocks together."""
    available: Tensor = accelerator.gather(torch.tensor([machine.available], device=accelerator.device))
    return replace(machine, available=int(available.min()))
