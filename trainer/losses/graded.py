"""Graded distillation (LLM-Embedder, arXiv 2310.07554 v1 section 3.2; ACL 2024 long.194 equation 4)."""

from __future__ import annotations

import torch
from torch import Tensor

from memsdk.trainer.losses.groups import grouped, lowest


def graded_distillation(
    scores: Tensor,
    rewards: Tensor,
    offsets: Tensor,
    *,
    reward_temperature: float = 1.0,
    mask: Tensor | None = None,
) -> Tensor:
    """Contrast each candidate with those of lower reward and with all other columns, weighed by softmax(rewards / T).

    For a query with own candidates i, scores s, rewards R and weights w = softmax(R / T):

        loss = -sum_i w_i log( exp(s_i) / (exp(s_i) + sum_{j: R_j < R_i} exp(s_j) + sum_{others} exp(s)) )

    Rewards may come in any order; ties do not push against each other. Where the reward contradicts a label, the
    reward rules: give a known positive the highest reward if the label is to rule. Polarised rewards make it the
    contrastive loss, flat ones still give a gradient by their order, where KL gives almost none.

    Args:
        scores: [B, C] similarities of every query to every candidate, divided by the temperature; columns beyond
            offsets[-1] belong to no query and are negatives of all.
        rewards: [C_own] on any scale; higher is better.
        offsets: [B + 1] query b's own candidates are the columns from offsets[b] to before offsets[b + 1].
        reward_temperature: T; the lower, the more the best candidate alone counts.
        mask: [B, C] bool; True leaves that column out of that row altogether (duplicates, false negatives).

    Returns:
        The mean over the queries that have a candidate; 0 where none has.

    Raises:
        InvalidInputError: the shapes do not fit.
    """
    groups = grouped(scores, rewards, offsets, mask)
    least = lowest(scores)
    ranked_rewards, order = groups.rewards.sort(dim=1, descending=True)
    there = groups.there.gather(1, order)
    ranked = groups.scores.gather(1, order).masked_fill(~there, least)
    below = _strictly_below(ranked, ranked_rewards, least=least)
    others = groups.others.logsumexp(dim=1, keepdim=True)
    contrast = torch.logaddexp(torch.logaddexp(ranked, below), others)
    weights = (ranked_rewards / reward_temperature).masked_fill(~there, least).softmax(dim=1)
    terms = torch.where(there, weights * (contrast - ranked), 0.0)
    return terms.sum() / there.any(dim=1).sum().clamp(min=1)


def _strictly_below(ranked: Tensor, rewards: Tensor, *, least: float) -> Tensor:
    """[B, N] log-sum-exp of the scores of lower reward, from scores and rewards [B, N] in falling order of reward."""
    tails = ranked.flip(1).logcumsumexp(1).flip(1)  # each candidate and all after it
    tails = torch.cat([tails, tails.new_full((len(tails), 1), least)], dim=1)
    after_ties = torch.searchsorted(-rewards, -rewards, right=True)  # the first place with a lower reward
    return tails.gather(1, after_ties)
