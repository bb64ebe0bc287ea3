"""Graded distillation in one pass, beside its definition and beside one masked cross-entropy a candidate."""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from memsdk.trainer.losses.graded import graded_distillation

QUERIES, GROUP = 100, 8


def main(arguments: list[str]) -> dict[str, object]:
    """Compare; returns the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks losses", description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args(arguments)
    generator = torch.Generator().manual_seed(0)
    scores = 5 * torch.randn(QUERIES, QUERIES * GROUP, generator=generator, dtype=torch.float64)
    rewards = torch.randn(QUERIES * GROUP, generator=generator, dtype=torch.float64).round(
        decimals=1
    )  # with ties
    offsets = torch.arange(0, QUERIES * GROUP + 1, GROUP)
    one_pass = float(graded_distillation(scores, rewards, offsets))
    difference = max(
        abs(one_pass - term_by_term(scores, rewards, offsets)),
        abs(one_pass - float(cross_entropies(scores, rewards))),
    )
    single = scores.float()
    ratios, ours, theirs = [], [], []
    for _ in range(options.rounds):  # interleaved, as the machine's load changes
        ours.append(seconds(lambda given: graded_distillation(given, rewards.float(), offsets), single))
        theirs.append(seconds(lambda given: cross_entropies(given, rewards.float()), single))
        ratios.append(theirs[-1] / ours[-1])
    ratio = statistics.median(ratios)
    print(f"{QUERIES} queries x {GROUP} candidates, forward and backward, CPU milliseconds (median):")
    print(f"  one pass {1e3 * statistics.median(ours):.2f}, a cross-entropy a candidate {1e3 * statistics.median(theirs):.2f},"
          f" {ratio:.1f} times (target 3); difference from the definition {difference:.1e} (target 1e-10)")  # fmt: skip
    return {
        "one_pass_ms": 1e3 * statistics.median(ours), "cross_entropies_ms": 1e3 * statistics.median(theirs),
        "ratio": ratio, "difference": difference, "met": ratio >= 3 and difference <= 1e-10,
    }  # fmt: skip


def seconds(loss: Callable[[Tensor], Tensor], scores: Tensor) -> float:
    """CPU time of the loss and its gradient."""
    given = scores.clone().requires_grad_()
    began = time.process_time()
    loss(given).backward()  # type: ignore[no-untyped-call]  # torch
    return time.process_time() - began


def cross_entropies(scores: Tensor, rewards: Tensor) -> Tensor:
    """The usual way: for each place in the group a cross-entropy over a row from which what it may not see is masked."""
    own = rewards.view(QUERIES, GROUP)
    weights = own.softmax(dim=1)
    columns = torch.arange(QUERIES)[:, None] * GROUP + torch.arange(GROUP)
    total = scores.new_zeros(())
    for place in range(GROUP):
        hidden = own >= own[:, place : place + 1]
        hidden[:, place] = False
        mask = torch.zeros_like(scores, dtype=torch.bool).scatter(1, columns, hidden)
        terms = torch.nn.functional.cross_entropy(
            scores.masked_fill(mask, -1e9), columns[:, place], reduction="none"
        )
        total = total + (weights[:, place] * terms).sum()
    return total / QUERIES


def term_by_term(scores: Tensor, rewards: Tensor, offsets: Tensor) -> float:
    """The definition, in Python's own arithmetic."""
    total = 0.0
    for row, (start, end) in enumerate(zip(offsets.tolist()[:-1], offsets.tolist()[1:], strict=True)):
        line, given = scores[row].tolist(), rewards.tolist()
        others = math.fsum(math.exp(line[column]) for column in range(len(line)) if not start <= column < end)
        whole = math.fsum(math.exp(given[column]) for column in range(start, end))
        for one in range(start, end):
            lower = math.fsum(
                math.exp(line[column]) for column in range(start, end) if given[column] < given[one]
            )
            total -= (
                math.exp(given[one])
                / whole
                * math.log(math.exp(line[one]) / (math.exp(line[one]) + lower + others))
            )
    return total / QUERIES
