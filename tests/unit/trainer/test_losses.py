"""The losses against their definitions, written out term by term; permutations, ties, masks, gradients."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from memsdk.errors import InvalidInputError
from memsdk.trainer.losses.anchor import anchor
from memsdk.trainer.losses.cached import cached_backward
from memsdk.trainer.losses.contrastive import contrastive
from memsdk.trainer.losses.graded import graded_distillation
from memsdk.trainer.losses.kl import kl_distillation
from memsdk.trainer.losses.masks import duplicates, false_negatives

Loss = Callable[..., Tensor]


@dataclass
class Problem:
    """Ragged groups of 4, 1, 6, 0 and 3 candidates, with ties, and five columns that are nobody's."""

    scores: Tensor
    rewards: Tensor
    offsets: Tensor
    mask: Tensor


@pytest.fixture(params=range(4))
def problem(request: pytest.FixtureRequest) -> Problem:
    """Another one for each seed."""
    generator = torch.Generator().manual_seed(request.param)
    offsets = torch.tensor([0, 4, 5, 11, 11, 14])
    rewards = torch.randn(14, generator=generator, dtype=torch.float64).round(decimals=0)  # many ties
    scores = 8 * torch.randn(5, 19, generator=generator, dtype=torch.float64)
    mask = torch.rand(5, 19, generator=generator) < 0.15
    mask[:, 0] = False
    return Problem(scores=scores, rewards=rewards, offsets=offsets, mask=mask)


def slow_graded(p: Problem, *, temperature: float = 1.0) -> float:
    """The definition, a term at a time."""
    losses = []
    for row in range(len(p.scores)):
        start, end = int(p.offsets[row]), int(p.offsets[row + 1])
        own = [column for column in range(start, end) if not p.mask[row, column]]
        if not own:
            continue
        others = [
            column for column in range(p.scores.shape[1])
            if not start <= column < end and not p.mask[row, column]
        ]  # fmt: skip
        whole = sum(math.exp(float(p.rewards[column]) / temperature) for column in own)
        loss = 0.0
        for column in own:
            lower = [other for other in own if p.rewards[other] < p.rewards[column]]
            exponentials = [math.exp(float(p.scores[row, other])) for other in [column, *lower, *others]]
            weight = math.exp(float(p.rewards[column]) / temperature) / whole
            loss -= weight * math.log(exponentials[0] / sum(exponentials))
        losses.append(loss)
    return sum(losses) / len(losses)


def slow_kl(p: Problem, *, temperature: float = 1.0) -> float:
    """The definition, a query at a time."""
    losses = []
    for row in range(len(p.scores)):
        own = [c for c in range(int(p.offsets[row]), int(p.offsets[row + 1])) if not p.mask[row, c]]
        if len(own) < 2:
            continue
        wanted = torch.softmax(p.rewards[own] / temperature, 0)
        given = torch.softmax(p.scores[row, own], 0)
        losses.append(sum(float(w * (w / g).log()) for w, g in zip(wanted, given, strict=True)))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 5.0])
def test_graded_is_its_definition(problem: Problem, temperature: float) -> None:
    """A vectorised loss that is nearly right trains towards something else, and nobody sees it."""
    found = graded_distillation(
        problem.scores, problem.rewards, problem.offsets, reward_temperature=temperature, mask=problem.mask
    )
    assert float(found) == pytest.approx(slow_graded(problem, temperature=temperature), abs=1e-10, rel=0)


@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_kl_is_its_definition(problem: Problem, temperature: float) -> None:
    """As above."""
    found = kl_distillation(
        problem.scores, problem.rewards, problem.offsets, reward_temperature=temperature, mask=problem.mask
    )
    assert float(found) == pytest.approx(slow_kl(problem, temperature=temperature), abs=1e-10)


def test_contrastive_is_its_definition() -> None:
    """As above; and a positive that a mask names stays in."""
    scores = torch.tensor([[1.0, 2.0, 3.0], [0.5, -1.0, 2.0]], dtype=torch.float64)
    mask = torch.tensor([[True, False, True], [False, False, False]])
    found = contrastive(scores, torch.tensor([0, 2]), mask=mask)
    first = -math.log(math.exp(1) / (math.exp(1) + math.exp(2)))
    second = -math.log(math.exp(2) / (math.exp(0.5) + math.exp(-1) + math.exp(2)))
    assert float(found) == pytest.approx((first + second) / 2, abs=1e-12)


@pytest.mark.parametrize("loss", [graded_distillation, kl_distillation])
def test_gradients_are_those_of_the_loss(problem: Problem, loss: Loss) -> None:
    """A minus infinity in the wrong place gives the right loss and a NaN for a gradient."""
    scores = (problem.scores / 8).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda given: loss(given, problem.rewards, problem.offsets, mask=problem.mask), [scores]
    )


@pytest.mark.parametrize("loss", [graded_distillation, kl_distillation])
def test_the_order_of_candidates_does_not_matter(problem: Problem, loss: Loss) -> None:
    """Files hold candidates in any order: a loss that trusts it learns the file's order."""
    order = torch.cat(
        [
            start + torch.randperm(int(end - start), generator=torch.Generator().manual_seed(9))
            for start, end in zip(problem.offsets[:-1], problem.offsets[1:], strict=True)
        ]
        + [torch.arange(14, 19)]
    )
    before = loss(problem.scores, problem.rewards, problem.offsets, mask=problem.mask)
    after = loss(
        problem.scores[:, order], problem.rewards[order[:14]], problem.offsets, mask=problem.mask[:, order]
    )
    assert float(after) == pytest.approx(float(before), abs=1e-12)


def test_tied_candidates_do_not_push_each_other() -> None:
    """With ties in a chance order, each epoch would pull equally good texts apart another way."""
    rewards, offsets = torch.zeros(2, dtype=torch.float64), torch.tensor([0, 2])
    scores = torch.tensor([[3.0, -3.0]], dtype=torch.float64, requires_grad=True)
    graded_distillation(scores, rewards, offsets).backward()  # type: ignore[no-untyped-call]  # torch
    assert scores.grad is not None
    assert scores.grad.abs().max() < 1e-12


def test_the_reward_rules_over_the_label() -> None:
    """The first column is the labelled positive here, the teacher likes the second: the second is pulled up."""
    scores = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    graded_distillation(scores, torch.tensor([0.0, 4.0, -1.0]), torch.tensor([0, 3])).backward()  # type: ignore[no-untyped-call]  # torch
    assert scores.grad is not None
    assert scores.grad[0].argmin() == 1  # the steepest way up


def test_flat_rewards_still_teach_their_order_where_kl_teaches_nothing() -> None:
    """It is why graded distillation is the default."""
    rewards, offsets = torch.tensor([0.02, 0.01, 0.0], dtype=torch.float64), torch.tensor([0, 3])
    gradients = []
    for loss in (graded_distillation, kl_distillation):
        scores = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
        loss(scores, rewards, offsets).backward()  # type: ignore[no-untyped-call]  # torch
        assert scores.grad is not None
        gradients.append(float(scores.grad.norm()))
    assert gradients[0] > 20 * gradients[1]


@pytest.mark.parametrize("loss", [graded_distillation, kl_distillation])
def test_nothing_to_learn_is_zero_and_not_nan(loss: Loss) -> None:
    """One batch of empty groups would turn all weights into NaN."""
    scores = torch.randn(2, 3, requires_grad=True)
    value = loss(scores, torch.zeros(0), torch.zeros(3, dtype=torch.int64))
    torch.autograd.backward(value)
    assert float(value.detach()) == 0
    assert scores.grad is None or bool(scores.grad.isfinite().all())


@pytest.mark.parametrize(
    ("rewards", "offsets"),
    [(torch.zeros(3), [0, 2, 4]), (torch.zeros(4), [1, 2, 4]), (torch.zeros(4), [0, 5, 4])],
)
def test_shapes_that_do_not_fit_are_refused(rewards: Tensor, offsets: list[int]) -> None:
    """Broadcasting would hide it."""
    with pytest.raises(InvalidInputError):
        graded_distillation(torch.zeros(2, 6), rewards, torch.tensor(offsets))


def test_a_text_that_is_right_is_never_a_negative() -> None:
    """In tool data a fifth of a batch's positives are right for other requests too."""
    keys, offsets = [7, 8, 7, 9, 5], [0, 2, 4]
    found = duplicates(keys, [{5}, set()], offsets)
    assert found.tolist() == [[False, False, True, False, True], [True, False, False, False, False]]


def test_what_a_guide_finds_nearly_as_good_is_left_out() -> None:
    """Own candidates never are: their rewards say what they are worth."""
    guide = torch.tensor([[0.8, 0.79, 0.77, 0.2], [0.1, 0.2, 0.5, 0.49]])
    found = false_negatives(guide, torch.tensor([0, 2]), torch.tensor([0, 2, 4]))
    assert found.tolist() == [[False, False, True, False], [False, False, False, False]]


def test_the_anchor_is_the_squared_distance() -> None:
    """2 (1 - cosine) of unit vectors."""
    new, old = torch.tensor([[1.0, 0.0], [0.6, 0.8]]), torch.tensor([[0.0, 1.0], [0.6, 0.8]])
    assert float(anchor(new, old)) == pytest.approx((2 * (1 - 0) + 0) / 2)
    with pytest.raises(InvalidInputError):
        anchor(new, old[:1])


def test_cached_gradients_are_the_plain_ones_dropout_included() -> None:
    """The second pass must see the dropout of the first, or the gradient is of another network."""
    torch.manual_seed(3)
    net = torch.nn.Sequential(torch.nn.Linear(6, 12), torch.nn.Dropout(0.3), torch.nn.Linear(12, 4)).double()
    chunks = [torch.randn(n, 6, dtype=torch.float64) for n in (3, 5, 1)]

    def loss(vectors: Tensor) -> Tensor:
        return graded_distillation(
            vectors[:3] @ vectors[3:].T, torch.arange(6.0), torch.tensor([0, 2, 4, 6]), reward_temperature=2.0
        )

    torch.manual_seed(11)
    plain = loss(torch.cat([net(chunk) for chunk in chunks]))
    plain.backward()  # type: ignore[no-untyped-call]  # torch
    expected = [parameter.grad.clone() for parameter in net.parameters() if parameter.grad is not None]
    net.zero_grad()
    torch.manual_seed(11)
    cached = cached_backward(chunks, encode=net, loss=loss)
    assert cached == pytest.approx(float(plain.detach()), abs=1e-12)
    for parameter, gradient in zip(net.parameters(), expected, strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-10, atol=1e-12)
