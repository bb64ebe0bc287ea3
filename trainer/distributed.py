"""Several processes on one training, started by torchrun: gathered negatives and averaged gradients.

Each rank embeds its own queries and keys and contrasts its queries with the keys of all ranks. The gradient goes back
through the gathering, so that the sum over the ranks is the gradient of one process with the whole batch.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx


def rank() -> int:
    """This process's number; 0 where there is only one."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


@contextmanager
def process_group(device: str) -> Iterator[str]:
    """Join the group that torchrun started, if it did; gives this process's device."""
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        yield device
        return
    on_gpu = device.startswith("cuda")
    if on_gpu:
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()


def gather_others(own: Tensor) -> Tensor:
    """[m, ...] the rows of the other ranks' tensors, in rank order; ranks may have different numbers of rows.

    Gradients of what is returned reach the ranks that made the rows.
    """
    if world() == 1:
        return own[:0]
    sizes = [torch.zeros((), dtype=torch.int64, device=own.device) for _ in range(world())]
    dist.all_gather(sizes, torch.tensor(len(own), device=own.device))
    counts = [int(size) for size in sizes]
    padding = own.new_zeros(max(counts) - len(own), *own.shape[1:])
    gathered = _gather(torch.cat([own, padding]))
    return torch.cat(
        [
            part[:count]
            for number, (part, count) in enumerate(zip(gathered, counts, strict=True))
            if number != rank()
        ]
    )


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its mean over the ranks, in one message."""
    if world() == 1:
        return
    trained = [one for one in parameters if one.requires_grad]
    flat = torch.cat([(torch.zeros_like(one) if one.grad is None else one.grad).flatten() for one in trained])
    dist.all_reduce(flat)
    flat /= world()
    for one, part in zip(trained, torch.split(flat, [one.numel() for one in trained]), strict=True):
        one.grad = part.view_as(one).clone()


class _AllGather(torch.autograd.Function):
    """all_gather whose gradient is summed over the ranks and handed to the rank that made the rows."""

    @staticmethod
    def forward(_ctx: FunctionCtx, own: Tensor) -> Tensor:
        parts = [torch.empty_like(own) for _ in range(world())]
        dist.all_gather(parts, own.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(_ctx: FunctionCtx, *gradients: Tensor) -> Tensor:
        summed = gradients[0].contiguous()
        dist.all_reduce(summed)
        return summed[rank()]


def _gather(own: Tensor) -> Tensor:
    gathered: Tensor = _AllGather.apply(own)  # type: ignore[no-untyped-call]  # torch's own signature
    return gathered
