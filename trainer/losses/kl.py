"""KL distillation within a query's own candidates (LLM-Embedder's loss for chat and lrlm in its released code)."""

from __future__ import annotations

import torch
from torch import Tensor

from memsdk.trainer.losses.groups import grouped, lowest


def kl_distillation(
    scores: Tensor,
    rewards: Tensor,
    offsets: Tensor,
    *,
    reward_temperature: float = 1.0,
    mask: Tensor | None = None,
) -> Tensor:
    """KL(softmax(rewards / T) || softmax(scores)) over the own candidates; other columns have no say.

    A query needs two candidates: a softmax over one is constant, and so is its loss. Arguments and errors as
    `graded_distillation`; the mean is over the queries that have at least two.
    """
    groups = grouped(scores, rewards, offsets, mask)
    least = lowest(scores)
    enough = groups.there.sum(dim=1, keepdim=True) > 1
    there = groups.there & enough
    wanted = (groups.rewards / reward_temperature).masked_fill(~there, least).log_softmax(dim=1)
    given = groups.scores.masked_fill(~there, least).log_softmax(dim=1)
    terms = torch.where(there, wanted.exp() * (wanted - given), 0.0)
    return terms.sum() / enough.sum().clamp(min=1)
