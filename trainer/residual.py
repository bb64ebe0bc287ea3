"""T0: a linear residual map on the query vector, q' = norm(q + A q), fitted in seconds on stored vectors.

A starts at zero, so that the map starts as the identity; the penalty on A pulls it back there; and the step and the
strength that did best on queries kept aside are the ones that are used, the identity among them.
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

from memsdk.trainer.loop import rate_at
from memsdk.trainer.losses.graded import graded_distillation
from memsdk.trainer.losses.kl import kl_distillation
from memsdk.trainer.problem import Problem
from memsdk.trainer.tiers import Keep, Loss, Negatives, ResidualSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from memsdk.trainer.problem import Places

    Vectors = NDArray[np.float32]

ASIDE = 0.15
"""The share of the right answers that are kept aside, with their queries, to choose the best step on.

Aside are answers and not queries alone: what is asked next is mostly about records that no feedback has named yet.
"""
FEWEST_ASIDE = 5
"""Queries; with fewer nothing is kept aside."""
FEWEST_GROUPS = 3
"""Of queries that share answers; with fewer single queries are kept aside."""
MOST_ASIDE = 400
"""Queries: more would not choose better, and each pass is measured on them."""
PATIENCE = 8
"""Passes without a better figure before it ends."""
STRENGTHS = (1.0, 0.5)
"""Shares of the learnt change that are tried after each pass: half of it often holds better for new answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualMap:
    """The map in two factors, as it is stored, and how it was found.

    Attributes:
        down: V, [r, d].
        up: U, [d, r]; A = U V.
        curve: of each pass of the first map, its mean loss and nDCG on the queries kept aside; the first is the identity's.
        passes: the most passes that a map's chosen step had; 0 is the identity.
    """

    down: Vectors
    up: Vectors
    curve: tuple[tuple[float, float], ...]
    passes: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fit:
    """One map: A [d, d], and how it was found."""

    weight: Tensor
    curve: tuple[tuple[float, float], ...]
    passes: int


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
    weight = torch.stack([each.weight for each in maps]).mean(0).numpy()
    return ResidualMap(
        down=np.eye(len(weight), dtype=np.float32),
        up=weight,
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
) -> _Fit:
    """One map, with its own answers kept aside."""
    generator = torch.Generator().manual_seed(settings.seed)
    dims = problem.queries.shape[1]
    learnt, aside = split(problem, seed=settings.seed, keep=settings.keep)
    weight = torch.zeros(dims, dims, requires_grad=True)
    optimizer = torch.optim.Adam([weight], lr=settings.learning_rate)
    size = max(8, min(settings.batch, len(learnt) // 12))
    steps = max(1, min(len(learnt), settings.most_queries) // size)  # a pass
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: rate_at(step, steps=max(1, settings.passes) * steps, warm_up=settings.warm_up)
    )
    judge = problem.part(aside or learnt)
    best = (_quality(judge, weight), 0, weight.detach().clone())
    curve = [(float("nan"), best[0])]
    places = negative_places(problem, learnt, negatives=settings.negatives)
    for number in range(1, settings.passes + 1):
        order = torch.randperm(len(learnt), generator=generator).tolist()
        loss = 0.0
        for step in range(steps):
            numbers = [learnt[at] for at in order[step * size : (step + 1) * size]]
            drawn = draw_places(places, most=settings.most_keys, generator=generator)
            loss += _step(
                problem, numbers, weight=weight, optimizer=optimizer, places=drawn, settings=settings
            )
            schedule.step()
        tried = [(_quality(judge, share * weight), share) for share in STRENGTHS]
        quality, share = tried[0] if settings.keep == "last" else max(tried)
        curve.append((loss / steps, quality))
        if quality > best[0] or settings.keep == "last":
            best = (quality, number, share * weight.detach())
        if progress is not None:
            progress(
                f"pass {number}: loss {loss / steps:.4f}, nDCG aside {quality:.4f} (identity {curve[0][1]:.4f})"
            )
        if number - best[1] >= PATIENCE or (deadline is not None and time.monotonic() > deadline):
            break
    return _Fit(weight=best[2], curve=tuple(curve), passes=best[1])


def split(problem: Problem, *, seed: int, keep: Keep = "best") -> tuple[list[int], list[int]]:
    """The queries to learn from and those kept aside, which share no answer with them; none where they are too few.

    Queries that share answers go together, however long the chain from one to the other. Where there are but a few such
    groups, one of them says little of the others: then single queries are kept aside, whose answers may be learnt.
    Where the last weights are kept anyway, nothing is kept aside.
    """
    everything = list(range(len(problem.examples)))
    most = min(round(len(everything) * ASIDE), MOST_ASIDE)
    if keep == "last" or most < FEWEST_ASIDE:
        return everything, []
    drawn = np.random.default_rng(seed)
    groups = _linked([example.relevant for example in problem.examples])
    chosen: list[list[int]] = []
    for at in drawn.permutation(len(groups)).tolist():
        if sum(map(len, chosen)) + len(groups[at]) <= most:
            chosen.append(groups[at])
    aside = {number for group in chosen for number in group}
    if len(chosen) < FEWEST_GROUPS or len(aside) < FEWEST_ASIDE:
        aside = set(drawn.permutation(len(everything))[:most].tolist())
    return [number for number in everything if number not in aside], sorted(aside)


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
    places: Places,
    temperature: float,
    reward_temperature: float,
    loss: Loss = "graded",
) -> Tensor:
    """The loss of these queries against their own candidates and other keys; see `losses.graded` and `losses.kl`.

    A query's own candidates, the right ones among them, are never others of it; nor are keys that it may not find.

    Args:
        queries: [b, d] unit vectors, with gradients.
        numbers: which of the problem's queries they are.
        keys: [m', d] the negatives.
        places: [m'] which keys of the problem these are, each once.
    """
    device = queries.device
    own = [problem.examples[number].candidates for number in numbers]
    sizes = [len(each) for each in own]
    offsets = torch.tensor([0, *np.cumsum(sizes).tolist()])
    columns = torch.from_numpy(problem.keys[np.concatenate(own)]).to(device)
    scores = torch.cat([queries @ columns.T, queries @ keys.T], dim=1) / temperature
    seen = problem.visible(numbers, places)
    column_of = np.full(len(problem.keys), -1)
    column_of[places] = np.arange(len(places))
    mine = column_of[np.concatenate(own)]
    seen[np.repeat(np.arange(len(own)), sizes)[mine >= 0], mine[mine >= 0]] = False
    rows = torch.arange(len(own))[:, None]
    is_own = torch.repeat_interleave(torch.arange(len(own)), torch.tensor(sizes))[None] == rows
    rewards = torch.from_numpy(np.concatenate([problem.examples[number].rewards for number in numbers]))
    distil = kl_distillation if loss == "kl" else graded_distillation
    return distil(
        scores,
        rewards.to(device),
        offsets.to(device),
        reward_temperature=reward_temperature,
        mask=~torch.cat([is_own, torch.from_numpy(seen)], dim=1).to(device),
    )


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


def negative_places(problem: Problem, learnt: Sequence[int], *, negatives: Negatives) -> Places:
    """The keys that may serve as negatives of the learnt queries; never the answers of those kept aside."""
    aside: set[int] = set().union(*(example.relevant for example in problem.examples))
    aside -= set().union(*(problem.examples[number].relevant for number in learnt))
    named = (
        set(range(len(problem.keys)))
        if negatives == "all"
        else set().union(*(problem.examples[number].candidates.tolist() for number in learnt))
    )
    return np.array(sorted(named - aside), np.int64)


def draw_places(places: Places, *, most: int, generator: torch.Generator) -> Places:
    """At most so many of the places."""
    if len(places) <= most:
        return places
    return np.sort(places[torch.randperm(len(places), generator=generator)[:most].numpy()])


def apply(queries: Tensor, weight: Tensor) -> Tensor:
    """The map: [n, d] unit vectors to [n, d] unit vectors."""
    moved: Tensor = normalize(queries + queries @ weight.T, dim=1)
    return moved


def _step(
    problem: Problem,
    numbers: Sequence[int],
    *,
    weight: Tensor,
    optimizer: torch.optim.Optimizer,
    places: Places,
    settings: ResidualSettings,
) -> float:
    """One step of the optimizer; returns the loss without the penalty."""
    loss = batch_loss(
        apply(torch.from_numpy(problem.queries[numbers]), weight), problem, numbers,
        keys=torch.from_numpy(problem.keys[places]), places=places, temperature=settings.temperature,
        reward_temperature=settings.reward_temperature, loss=settings.loss,
    )  # fmt: skip
    optimizer.zero_grad()
    (loss + settings.penalty * weight.square().sum()).backward()  # type: ignore[no-untyped-call]  # torch
    optimizer.step()
    return float(loss.detach())


def _quality(problem: Problem, weight: Tensor) -> float:
    with torch.inference_mode():
        moved = apply(torch.from_numpy(problem.queries), weight.detach())
    return whole_quality(moved.numpy(), problem)
