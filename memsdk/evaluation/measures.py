"""Measures of one ranking, and what may be concluded from many of them. Pure functions.

recall@k: the share of the relevant items among the first k. nDCG@k: binary gain, discount log2(rank + 1) (Järvelin and
Kekäläinen, TOIS 2002). MRR: one over the rank of the first relevant item, 0 where none was found.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

CUTS = (1, 5, 10, 20)
DEPTH = max(CUTS)
"""How many hits a ranking needs."""
MEASURES = (*(f"recall@{cut}" for cut in CUTS), "ndcg@10", "mrr")
RESAMPLES = 1_000
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean over queries, and the interval that holds it with 95 % confidence."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A setting against another on the same queries.

    Attributes:
        difference: of the means; above 0 the first is better.
        p: how often resampled queries would show the other sign or none, two-sided.
    """

    difference: Estimate
    p: float

    @property
    def significant(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.difference.low > 0 or self.difference.high < 0


def measure(found: Sequence[str | None], relevant: AbstractSet[str]) -> dict[str, float]:
    """Every measure of one ranking, best first. `relevant` may not be empty; an item that comes twice counts once."""
    ranked = list(dict.fromkeys(found))
    gains = [item in relevant for item in ranked]
    values = {f"recall@{cut}": sum(gains[:cut]) / len(relevant) for cut in CUTS}
    gained = sum(1 / math.log2(rank + 2) for rank, gain in enumerate(gains[:10]) if gain)
    ideal = sum(1 / math.log2(rank + 2) for rank in range(min(10, len(relevant))))
    first = next((rank for rank, gain in enumerate(gains, 1) if gain), None)
    return {**values, "ndcg@10": gained / ideal, "mrr": 1 / first if first else 0.0}


def estimate(values: Sequence[float], *, seed: int = 0) -> Estimate:
    """The mean with its percentile bootstrap interval (Efron 1979), queries resampled `RESAMPLES` times."""
    means = _resampled_means(values, seed=seed)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(mean=float(np.mean(values)), low=float(low), high=float(high))


def compare(first: Sequence[float], second: Sequence[float], *, seed: int = 0) -> Comparison:
    """The paired bootstrap of the difference of two settings, query by query.

    Raises:
        ValueError: they are not of the same queries.
    """
    differences = [one - other for one, other in zip(first, second, strict=True)]
    means = _resampled_means(differences, seed=seed)
    tail = min(float(np.mean(means <= 0)), float(np.mean(means >= 0)))
    return Comparison(difference=estimate(differences, seed=seed), p=min(1.0, 2 * tail))


def quantiles(values: Sequence[float]) -> Mapping[str, float]:
    """The p50, p90 and p99."""
    points = np.quantile(values, [0.5, 0.9, 0.99])
    return {name: float(value) for name, value in zip(("p50", "p90", "p99"), points, strict=True)}


def _resampled_means(
    values: Sequence[float], *, seed: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    chance = np.random.default_rng(seed)
    data = np.asarray(values, dtype=np.float64)
    # one draw at a time: a thousand of ten thousand queries at once would take 80 MB
    return np.asarray([data[chance.integers(0, len(data), len(data))].mean() for _ in range(RESAMPLES)])
