"""Two processes on one batch learn what one process learns from the whole of it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn

from memsdk.models import Task
from memsdk.trainer.batches import Drawn, batch_loss
from memsdk.trainer.distributed import average_gradients, gather_others
from memsdk.trainer.losses.cached import cached_backward
from memsdk.trainer.tasks import PRESETS

CONFIG = PRESETS["default"][Task.QA]
SIZES = (3, 2, 4, 2)  # own candidates of four queries; the first two are rank 0's


def network() -> nn.Module:
    """The same weights in every process."""
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 6)).double()


def part(queries: range) -> tuple[Tensor, Tensor, Drawn]:
    """These queries of the whole batch, with their candidates."""
    generator = torch.Generator().manual_seed(2)
    asked, keys = (
        torch.randn(4, 8, generator=generator).double(),
        torch.randn(11, 8, generator=generator).double(),
    )
    rewards = torch.randn(11, generator=generator).double()
    numbers = torch.tensor([1, 2, 3, 4, 1, 5, 6, 7, 3, 8, 9])  # some texts come twice
    borders = torch.tensor([0, *SIZES]).cumsum(0)
    start, end = int(borders[queries.start]), int(borders[queries.stop])
    drawn = Drawn(
        queries=((),) * len(queries), keys=((),) * (end - start), numbers=numbers[start:end], rewards=rewards[start:end],
        offsets=borders[queries.start : queries.stop + 1] - start, known=tuple(frozenset({9}) for _ in queries),
    )  # fmt: skip
    return asked[queries.start : queries.stop], keys[start:end], drawn


def gradients(queries: range, *, cached: bool) -> list[Tensor]:
    """What one process ends up with for these queries."""
    net = network()
    asked, keys, drawn = part(queries)

    def loss(vectors: Tensor) -> Tensor:
        return batch_loss(vectors[: len(asked)], vectors[len(asked) :], drawn, config=CONFIG, temperature=0.5)

    if cached:
        cached_backward([asked, keys[:2], keys[2:]], encode=net, loss=loss)
    else:
        loss(torch.cat([net(asked), net(keys)])).backward()  # type: ignore[no-untyped-call]  # torch
    average_gradients(net.parameters())
    return [parameter.grad for parameter in net.parameters() if parameter.grad is not None]


def one_of_two(rank: int, port: int, folder: Path) -> None:
    """A process of the two."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    own = range(2) if rank == 0 else range(2, 4)
    others = gather_others(torch.full((rank + 1, 2), float(rank)))
    found = {name: gradients(own, cached=cached) for name, cached in (("plain", False), ("cached", True))}
    torch.save({**found, "others": others}, folder / f"{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_have_the_gradients_of_one(tmp_path: Path) -> None:
    """A gather that stops the gradient trains the queries alone, and the loss falls all the same."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    spawn(one_of_two, args=(port, tmp_path), nprocs=2)  # type: ignore[no-untyped-call]  # torch
    expected = gradients(range(4), cached=False)
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for name in ("plain", "cached"):
            for one, other in zip(found[name], expected, strict=True):
                torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
        assert found["others"].tolist() == [[float(1 - rank)] * 2] * (2 - rank)


def test_one_process_gathers_nothing() -> None:
    """The same code runs alone."""
    assert gather_others(torch.zeros(3, 2)).shape == (0, 2)
    assert len(gradients(range(4), cached=True)) == pytest.approx(4)
