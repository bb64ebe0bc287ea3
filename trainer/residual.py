"""T0: a residual map on the query vector, q' = norm(q + U V q), fitted in seconds on stored vectors.

U starts at zero, so that the map starts as the identity; the penalty on U and V pulls it back there; and the step that
did best on queries kept aside is the one that is used, the identity among them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from memsdk.trainer.losses.graded import graded_distillation
from memsdk.trainer.metrics import ndcg_at
from memsdk.trainer.problem import Problem
from memsdk.trainer.tiers import Negatives, ResidualSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

ASIDE = 0.15
"""The share of the right answers that are kept aside, with their queries, to choose the best step on.

Aside are answers and not queries alone: what is asked next is mostly about records that no feedback has named yet.
"""
FEWEST_ASIDE = 5
"""Queries; with fewer nothing is kept aside."""
PATIENCE = 8
"""Passes without a better figure before it ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualMap:
    """The two factors of the map, and how it was found.

    Attributes:
        down: V, [bags x r, d].
        up: U, [d, bags x r].
        curve: of each pass of the first map, its mean loss and nDCG on the queries kept aside; the first is the identity's.
        passes: the most passes that a map's chosen step had; 0 is the identity.
    """

    down: Vectors
    up: Vectors
    curve: tuple[tuple[float, float], ...]
    passes: int
    seconds: float


def fit_residual(
    problem: Problem,
    *,
    settings: ResidualSettings,
    budget_s: float | None = None,
    progress: Callable[[str], None] | None = None,
) -> ResidualMap:
    """Fit the map on these queries. The same input and settings give the same map.

    It is the mean of several maps, each fitted with other answers aside (bagging, Breiman 1996): the best step of one
    map is chosen on few queries, and its luck evens out.

    Args:
        budget_s: stop after so many seconds, with the best found by then.
        progress: told of each pass in a line.
    """
    began = time.monotonic()
    maps = []
    for number in range(settings.bags):
        until = None if budget_s is None else began + budget_s * (number + 1) / settings.bags
        own = replace(settings, seed=settings.seed + 1_000 * number)
        maps.append(_fit_one(problem, settings=own, deadline=until, progress=progress))
    return ResidualMap(
        down=np.concatenate([each.down for each in maps]),
        up=(np.concatenate([each.up for each in maps], axis=1) / len(maps)).astype(np.float32),
        curve=maps[0].curve,
        passes=max(each.passes for each in maps),
        seconds=time.monotonic() - began,
    )


def _fit_one(
    problem: Problem,
    *,
    settings: ResidualSettings,
    deadline: float | None,
    progress: Callable[[str], None] | None,
) -> ResidualMap:
    """One map, with its own answers kept aside."""
    began = time.monotonic()
    generator = torch.Generator().manual_seed(settings.seed)
    dims = problem.queries.shape[1]
    learnt, aside = split(problem, seed=settings.seed)
    down = torch.randn(settings.rank, dims, generator=generator) * dims**-0.5
    up = torch.zeros(dims, settings.rank)
    for factor in (down, up):
        factor.requires_grad_(True)
    optimizer = torch.optim.AdamW([down, up], lr=settings.learning_rate, weight_decay=0.0)
    judge = problem.part(aside or learnt)
    best = (_quality(judge, down, up), 0, down.detach().clone(), up.detach().clone())
    curve = [(float("nan"), best[0])]
    for number in range(1, settings.passes + 1):
        loss = _one_pass(
            problem, learnt, factors=(down, up), optimizer=optimizer, settings=settings, generator=generator
        )
        quality = _quality(judge, down, up)
        curve.append((loss, quality))
        if quality > best[0]:
            best = (quality, number, down.detach().clone(), up.detach().clone())
        if progress is not None:
            progress(f"pass {number}: loss {loss:.4f}, nDCG aside {quality:.4f} (identity {curve[0][1]:.4f})")
        if number - best[1] >= PATIENCE or (deadline is not None and time.monotonic() > deadline):
            break
    return ResidualMap(
        down=best[2].numpy(), up=best[3].numpy(), curve=tuple(curve), passes=best[1],
        seconds=time.monotonic() - began,
    )  # fmt: skip


def split(problem: Problem, *, seed: int) -> tuple[list[int], list[int]]:
    """The queries to learn from and those kept aside, which share no answer with them; none where they are too few.

    Queries that share answers go together, however long the chain from one to the other.
    """
    groups = _linked([example.relevant for example in problem.examples])
    most = round(len(problem.examples) * ASIDE)
    aside: list[int] = []
    for at in np.random.default_rng(seed).permutation(len(groups)).tolist():
        if len(aside) + len(groups[at]) <= most:
            aside += groups[at]
    kept = set(aside)
    learnt = [number for number in range(len(problem.examples)) if number not in kept]
    everything = list(range(len(problem.examples)))
    return (learnt, sorted(aside)) if len(aside) >= FEWEST_ASIDE and learnt else (everything, [])


def _linked(answers: Sequence[Collection[int]]) -> list[list[int]]:
    """The numbers of the queries in groups that have no answer in common with another group.

    >>> _linked([{1, 2}, {3}, {2, 4}, {5}])
    [[0, 2], [1], [3]]
    """
    parent = list(range(len(answers)))

    def root(number: int) -> int:
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    first: dict[int, int] = {}
    for number, some in enumerate(answers):
        for answer in some:
            parent[root(number)] = root(first.setdefault(answer, number))
    groups: dict[int, list[int]] = {}
    for number, some in enumerate(answers):
        if some:
            groups.setdefault(root(number), []).append(number)
    return list(groups.values())


def batch_loss(
    queries: Tensor,
    problem: Problem,
    numbers: Sequence[int],
    *,
    keys: Tensor,
    places: Sequence[int],
    temperature: float,
    reward_temperature: float,
) -> Tensor:
    """Graded distillation of these queries against their own candidates and all keys; see `losses.graded`.

    Args:
        queries: [b, d] unit vectors, with gradients.
        numbers: which of the problem's queries they are.
        keys: [m', d] the negatives.
        places: which keys of the problem these are.
    """
    own = [problem.examples[number].candidates for number in numbers]
    device = queries.device
    offsets = torch.tensor([0, *np.cumsum([len(each) for each in own]).tolist()])
    columns = torch.from_numpy(problem.keys[np.concatenate(own)]).to(device)
    scores = torch.cat([queries @ columns.T, queries @ keys.T], dim=1) / temperature
    seen = problem.visible(numbers)
    seen[np.repeat(np.arange(len(own)), [len(each) for each in own]), np.concatenate(own)] = False
    others = torch.from_numpy(seen[:, list(places)])
    mine = torch.zeros(len(own), int(offsets[-1]), dtype=torch.bool)
    for row in range(len(own)):
        mine[row, offsets[row] : offsets[row + 1]] = True  # others' candidates are among the keys already
    rewards = torch.from_numpy(np.concatenate([problem.examples[number].rewards for number in numbers]))
    return graded_distillation(
        scores,
        rewards.to(device),
        offsets.to(device),
        reward_temperature=reward_temperature,
        mask=~torch.cat([mine, others], dim=1).to(device),
    )


def ranking_quality(queries: Vectors, problem: Problem) -> list[float]:
    """nDCG@10 of each query by dense search alone, over the keys that it may find."""
    figures = []
    for start in range(0, len(queries), 256):
        numbers = range(start, min(start + 256, len(queries)))
        scores = queries[start : start + 256] @ problem.keys.T
        scores[~problem.visible(numbers)] = -np.inf
        top = np.argpartition(-scores, min(10, scores.shape[1] - 1), axis=1)[:, :10]
        for row, number in enumerate(numbers):
            ranked = top[row][np.argsort(-scores[row, top[row]], kind="stable")].tolist()
            figures.append(ndcg_at(ranked, problem.examples[number].relevant, k=10))
    return figures


def whole_quality(queries: Vectors, problem: Problem) -> float:
    """The mean nDCG by dense search over the whole ranking: it moves with every rank, where few are in the first ten."""
    figures = []
    for start in range(0, len(queries), 256):
        numbers = range(start, min(start + 256, len(queries)))
        scores = queries[start : start + 256] @ problem.keys.T
        scores[~problem.visible(numbers)] = -np.inf
        for row, number in enumerate(numbers):
            right = list(problem.examples[number].relevant)
            before = (scores[row][None, :] > scores[row, right][:, None]).sum(1)
            ideal = (1 / np.log2(np.arange(len(right)) + 2)).sum()
            figures.append(float((1 / np.log2(before + 2)).sum() / ideal))
    return float(np.mean(figures))


def _one_pass(
    problem: Problem,
    learnt: Sequence[int],
    *,
    factors: tuple[Tensor, Tensor],
    optimizer: torch.optim.Optimizer,
    settings: ResidualSettings,
    generator: torch.Generator,
) -> float:
    """Every query once, in random order; returns the mean loss."""
    down, up = factors
    order = [learnt[at] for at in torch.randperm(len(learnt), generator=generator).tolist()]
    places, keys = draw_keys(
        problem, learnt, negatives=settings.negatives, most=settings.most_keys, generator=generator
    )
    total = 0.0
    size = max(8, min(settings.batch, len(order) // 12))
    for start in range(0, len(order), size):
        numbers = order[start : start + size]
        moved = apply(torch.from_numpy(problem.queries[numbers]), down, up)
        loss = batch_loss(
            moved, problem, numbers, keys=keys, places=places, temperature=settings.temperature,
            reward_temperature=settings.reward_temperature,
        )  # fmt: skip
        total += float(loss.detach()) * len(numbers)
        optimizer.zero_grad()
        (loss + settings.penalty * (down.square().sum() + up.square().sum())).backward()  # type: ignore[no-untyped-call]  # torch
        optimizer.step()
    return total / len(order)


def draw_keys(
    problem: Problem, learnt: Sequence[int], *, negatives: Negatives, most: int, generator: torch.Generator
) -> tuple[list[int], Tensor]:
    """The keys that serve as negatives in one pass, at most so many, and their places."""
    aside: set[int] = set().union(*(example.relevant for example in problem.examples))
    aside -= set().union(*(problem.examples[number].relevant for number in learnt))
    if negatives == "all":
        wanted = [place for place in range(len(problem.keys)) if place not in aside]
    else:
        named = set().union(*(problem.examples[number].candidates.tolist() for number in learnt))
        wanted = sorted(named - aside)
    if len(wanted) > most:
        drawn = torch.randperm(len(wanted), generator=generator)[:most].tolist()
        wanted = [wanted[at] for at in sorted(drawn)]
    return wanted, torch.from_numpy(problem.keys[wanted])


def apply(queries: Tensor, down: Tensor, up: Tensor) -> Tensor:
    """The map: [n, d] unit vectors to [n, d] unit vectors."""
    moved: Tensor = normalize(queries + (queries @ down.T) @ up.T, dim=1)
    return moved


def _quality(problem: Problem, down: Tensor, up: Tensor) -> float:
    with torch.inference_mode():
        moved = apply(torch.from_numpy(problem.queries), down.detach(), up.detach())
    return whole_quality(moved.numpy(), problem)
