"""From log-probabilities to rewards: likelihood, and the desired output's place among sampled ones. Pure.

The page with the paper's formula of the rank-aware reward (LLM-Embedder, ACL 2024 long.194) was not at hand; these
are readings of its text. `l` is an output's mean log-probability a token under a candidate's prompt;
r(C) = 1 + #{j : l(o_j|C) > l(o*|C)} is the desired output's place, 1 the best, N+1 the worst.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from itertools import combinations


class RewardKind(StrEnum):
    """Which reward is computed."""

    LIKELIHOOD = "likelihood"
    GAIN = "gain"
    RECIPROCAL = "reciprocal"
    SMOOTH = "smooth"


def place(desired: float, sampled: Sequence[float]) -> int:
    """r: 1 + how many samples are strictly likelier than the desired output."""
    return 1 + sum(value > desired for value in sampled)


def gain(desired: float, sampled: Sequence[float], *, without: int) -> float:
    """(a): (r0 - r) / N, the places won over the prompt without a candidate; -1 to 1."""
    return (without - place(desired, sampled)) / max(1, len(sampled))


def reciprocal(desired: float, sampled: Sequence[float], *, without: int) -> float:
    """(b): 1/r - 1/r0, which stresses the top; above -1, below 1."""
    return 1 / place(desired, sampled) - 1 / without


def smooth(desired: float, sampled: Sequence[float], *, temperature: float) -> float:
    """(c): -sum_j sigmoid((l(o_j) - l(o*)) / T): the place with ties broken by the margin; -N to 0.

    As T goes to 0 it becomes 1 - r.
    """
    return -math.fsum(_sigmoid((value - desired) / temperature) for value in sampled)


def _sigmoid(value: float) -> float:
    """Without overflow at either end."""
    if value >= 0:
        return 1 / (1 + math.exp(-value))
    grown = math.exp(value)
    return grown / (1 + grown)


def reward(
    kind: RewardKind, desired: float, sampled: Sequence[float], *, without: int, temperature: float
) -> float:
    """The reward of one candidate.

    Args:
        kind: which one; all but likelihood need samples.
        desired: l(o*|C).
        sampled: l(o_j|C), in any order.
        without: r0, the place without a candidate. It is the same for all candidates and cancels in a softmax.
        temperature: of the smooth place, in nats a token.
    """
    match kind:
        case RewardKind.LIKELIHOOD:
            return desired
        case RewardKind.GAIN:
            return gain(desired, sampled, without=without)
        case RewardKind.RECIPROCAL:
            return reciprocal(desired, sampled, without=without)
        case RewardKind.SMOOTH:
            return smooth(desired, sampled, temperature=temperature)


def tied_pairs(places: Sequence[int]) -> tuple[int, int]:
    """How many pairs of candidates have the same place, of how many pairs."""
    pairs = list(combinations(places, 2))
    return sum(one == other for one, other in pairs), len(pairs)


def saturated(places: Sequence[int], *, samples: int) -> int:
    """How many candidates' places are at an end, first or last: there the rank says nothing more."""
    return sum(each in (1, samples + 1) for each in places)


def spread(values: Sequence[float]) -> float:
    """The largest minus the smallest; 0 of nothing."""
    return max(values) - min(values) if values else 0.0


def rates(counts: Mapping[str, int]) -> dict[str, float]:
    """Tie and saturation rates of summed counts `tied`, `pairs`, `saturated`, `places`."""
    return {
        "tie_rate": counts["tied"] / max(1, counts["pairs"]),
        "saturation_rate": counts["saturated"] / max(1, counts["places"]),
    }
