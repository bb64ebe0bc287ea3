"""Cached gradients (GradCache, Gao et al., arXiv 2101.06983): a loss over a whole batch in the memory of one chunk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

Chunk = TypeVar("Chunk")


def cached_backward(
    chunks: Sequence[Chunk],
    *,
    encode: Callable[[Chunk], Tensor],
    loss: Callable[[Tensor], Tensor],
    scale: float = 1.0,
) -> float:
    """Add the gradients of loss(vectors of all chunks) to the encoder's parameters; returns the loss.

    Each chunk is encoded twice: once without a graph, for the loss and its gradient with respect to the vectors, and
    once with one, to hand that gradient on. Dropout draws the same numbers both times.

    Args:
        chunks: what `encode` takes, in order; each gives vectors [n, d].
        loss: of all vectors [sum n, d]; a scalar.
        scale: what the gradients are multiplied by, such as 1 / accumulation steps.
    """
    states: list[Tensor] = []
    vectors: list[Tensor] = []
    with torch.no_grad():
        for chunk in chunks:
            states.append(_random_state())
            vectors.append(encode(chunk))
    sizes = [len(some) for some in vectors]
    whole = torch.cat(vectors).requires_grad_()
    value = loss(whole)
    (gradient,) = torch.autograd.grad(value, whole)
    after = _random_state()
    for chunk, state, part in zip(chunks, states, torch.split(gradient, sizes), strict=True):
        _set_random_state(state)
        torch.autograd.backward(encode(chunk), part * scale)
    _set_random_state(after)
    return float(value.detach())


def _random_state() -> Tensor:
    return torch.cuda.get_rng_state() if torch.cuda.is_available() else torch.get_rng_state()


def _set_random_state(state: Tensor) -> None:
    if torch.cuda.is_available():
        torch.cuda.set_rng_state(state)
    else:
        torch.set_rng_state(state)
