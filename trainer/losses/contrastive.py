"""The contrastive loss (InfoNCE, van den Oord et al., arXiv 1807.03748): labels alone, no rewards."""

from __future__ import annotations

import torch
from torch import Tensor

from memsdk.errors import InvalidInputError
from memsdk.trainer.losses.groups import lowest


def contrastive(scores: Tensor, positives: Tensor, *, mask: Tensor | None = None) -> Tensor:
    """Cross-entropy of each query's positive among all columns.

    Args:
        scores: [B, C] similarities of every query to every candidate, divided by the temperature.
        positives: [B] the column of each query's positive.
        mask: [B, C] bool; True leaves that column out of that row. A positive is never left out.

    Raises:
        InvalidInputError: the shapes do not fit.
    """
    if scores.ndim != 2 or positives.shape != scores.shape[:1]:
        raise InvalidInputError(
            f"scores are [B, C] and positives [B], not {tuple(scores.shape)} and {tuple(positives.shape)}"
        )
    if mask is not None:
        if mask.shape != scores.shape:
            raise InvalidInputError(
                f"the mask has the scores' shape {tuple(scores.shape)}, not {tuple(mask.shape)}"
            )
        left_out = mask.scatter(1, positives[:, None], value=False)
        scores = scores.masked_fill(left_out, lowest(scores))
    return torch.nn.functional.cross_entropy(scores, positives)
