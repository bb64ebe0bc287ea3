"""One vector a text from one a token, as sentence-transformers does it: over tensors, and the same over arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Vectors = NDArray[np.float32]

_TINY = 1e-9  # instead of dividing by zero where a text has no token


def pool(states: Tensor, mask: Tensor, *, modes: Sequence[str]) -> Tensor:
    """Several modes are put side by side.

    Args:
        states: [B, T, d] float32, the last hidden states.
        mask: [B, T], 1 where a token is and 0 where padding is, which is on the right.
        modes: any of POOLINGS.
    """
    import torch

    weights = mask.unsqueeze(-1).to(states.dtype)
    count = weights.sum(1).clamp(min=_TINY)
    pooled = []
    for mode in modes:
        match mode:
            case "cls":
                pooled.append(states[:, 0])
            case "lasttoken":
                last = (mask.sum(1) - 1).clamp(min=0)
                pooled.append(states[torch.arange(len(states), device=states.device), last])
            case "max":
                pooled.append(states.masked_fill(weights == 0, -1e9).amax(1))
            case "weightedmean":
                places = weights * torch.arange(1, states.shape[1] + 1, device=states.device)[None, :, None]
                pooled.append((states * places).sum(1) / places.sum(1).clamp(min=_TINY))
            case "mean_sqrt_len_tokens":
                pooled.append((states * weights).sum(1) / count.sqrt())
            case _:
                pooled.append((states * weights).sum(1) / count)
    return torch.cat(pooled, dim=1)


def pool_arrays(states: Vectors, lengths: Sequence[int], *, modes: Sequence[str]) -> Vectors:
    """The same without torch: [B, T, d] states to [B, d x modes], text by text, which needs no mask.

    >>> states = np.array([[[1.0, 5.0], [3.0, 1.0], [9.0, 9.0]]], np.float32)
    >>> pool_arrays(states, [2], modes=("mean", "max")).tolist()
    [[2.0, 3.0, 3.0, 5.0]]
    """
    pooled = [
        np.concatenate([_pooled(one[: max(1, length)], mode=mode) for mode in modes])
        for one, length in zip(states, lengths, strict=True)
    ]
    return np.stack(pooled).astype(np.float32, copy=False)


def _pooled(tokens: Vectors, *, mode: str) -> Vectors:
    """Of one text's tokens, [t, d], the vector [d]."""
    match mode:
        case "cls":
            vector = tokens[0]
        case "lasttoken":
            vector = tokens[-1]
        case "max":
            vector = tokens.max(0)
        case "weightedmean":
            places = np.arange(1, len(tokens) + 1, dtype=np.float32)
            vector = places @ tokens / places.sum()
        case "mean_sqrt_len_tokens":
            vector = tokens.sum(0) / np.float32(len(tokens) ** 0.5)
        case _:
            vector = tokens.mean(0)
    return np.asarray(vector, np.float32)
