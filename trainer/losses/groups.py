"""Ragged groups of candidates as a padded table: where each query's own candidates lie among all of a batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from memsdk.errors import InvalidInputError


@dataclass(frozen=True, slots=True)
class Groups:
    """Each query's own candidates, cut out of a batch's scores.

    Attributes:
        scores: [B, N] the scores of the own candidates, padded to the largest group.
        rewards: [B, N] their rewards; padding bears the lowest number there is.
        there: [B, N] True where there is a candidate that counts.
        others: [B, C] the scores, with the lowest number in place of the own ones and of those that do not count.
    """

    scores: Tensor
    rewards: Tensor
    there: Tensor
    others: Tensor


def grouped(scores: Tensor, rewards: Tensor, offsets: Tensor, mask: Tensor | None) -> Groups:
    """Cut the own candidates out; see `Groups`.

    Args:
        scores: [B, C] similarities of every query to every candidate, divided by the temperature.
        rewards: [C_own] on any scale; higher is better.
        offsets: [B + 1] query b's own candidates are the columns from offsets[b] to before offsets[b + 1].
        mask: [B, C] bool; True leaves that column out of that row.

    Raises:
        InvalidInputError: the shapes do not fit: a narrower tensor would broadcast, and train towards nothing.
    """
    _check(scores, rewards, offsets, mask)
    starts, ends = offsets[:-1, None], offsets[1:, None]
    width = max(1, int((offsets[1:] - offsets[:-1]).max()))
    places = starts + torch.arange(width, device=scores.device)  # [B, N]
    inside = places < ends
    places = torch.minimum(places, ends - 1).clamp(
        min=0
    )  # padding points at the last own one, or at any for none
    there = inside if mask is None else inside & ~mask.gather(1, places)
    if len(rewards) == 0:
        rewards = scores.new_zeros(1)  # nobody's: it is only pointed at
    own = scores.gather(1, places)
    if mask is not None:
        scores = scores.masked_fill(mask, lowest(scores))
    return Groups(
        scores=own,
        rewards=rewards.to(scores.dtype)[places].masked_fill(~there, lowest(scores)),
        there=there,
        others=scores.scatter(1, places, torch.where(starts < ends, lowest(scores), own)),
    )


def lowest(scores: Tensor) -> float:
    """Stands for minus infinity: its exponential is 0, and unlike infinity it leaves no NaN in a gradient."""
    return float(torch.finfo(scores.dtype).min) / 4


def _check(scores: Tensor, rewards: Tensor, offsets: Tensor, mask: Tensor | None) -> None:
    if scores.ndim != 2 or offsets.shape != (scores.shape[0] + 1,):
        raise InvalidInputError(
            f"scores are [B, C] and offsets [B + 1], not {tuple(scores.shape)} and {tuple(offsets.shape)}"
        )
    own = int(offsets[-1])
    if rewards.shape != (own,) or own > scores.shape[1] or int(offsets[0]) != 0:
        raise InvalidInputError(
            f"offsets run from 0 to the {own} own candidates: that many rewards are needed and at least as many columns of"
            f" scores, not {tuple(rewards.shape)} and {tuple(scores.shape)}"
        )
    if bool((offsets[1:] < offsets[:-1]).any()):
        raise InvalidInputError("offsets never decrease")
    if mask is not None and mask.shape != scores.shape:
        raise InvalidInputError(
            f"the mask has the scores' shape {tuple(scores.shape)}, not {tuple(mask.shape)}"
        )
