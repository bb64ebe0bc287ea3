"""Metrics of one ranked list, and what may be said of the difference between two systems. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 4_000


def recall_at(ranked: Sequence[object], relevant: Collection[object], *, k: int) -> float:
    """The share of the relevant ones among the first k, 0 to 1."""
    return sum(item in relevant for item in ranked[:k]) / len(relevant)


def ndcg_at(ranked: Sequence[object], relevant: Collection[object], *, k: int) -> float:
    """Normalised discounted cumulative gain with binary gains (Järvelin & Kekäläinen 2002), 0 to 1."""
    gained = sum(1 / math.log2(place + 2) for place, item in enumerate(ranked[:k]) if item in relevant)
    ideal = sum(1 / math.log2(place + 2) for place in range(min(k, len(relevant))))
    return gained / ideal


def reciprocal_rank(ranked: Sequence[object], relevant: Collection[object]) -> float:
    """1 over the place of the first relevant one; 0 where there is none."""
    return next((1 / place for place, item in enumerate(ranked, 1) if item in relevant), 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """A paired difference of two systems over the same queries, with its bootstrap interval."""

    mean: float
    low: float
    high: float
    queries: int


def paired_gain(
    ours: Sequence[float],
    theirs: Sequence[float],
    *,
    clusters: Sequence[object] | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> Gain:
    """The mean of ours - theirs, and its percentile bootstrap interval (Efron 1979; Koehn 2004 for paired systems).

    Args:
        clusters: what is drawn together, such as a query's user; queries of one user are not independent.
        confidence: of the two-sided interval.

    Raises:
        ValueError: the lengths differ, or there is nothing to compare.
    """
    if len(ours) != len(theirs) or not ours:
        raise ValueError(f"paired figures of equal number are compared, not {len(ours)} and {len(theirs)}")
    differences = np.asarray(ours, float) - np.asarray(theirs, float)
    names = list(range(len(ours))) if clusters is None else list(clusters)
    order = {name: number for number, name in enumerate(dict.fromkeys(names))}
    group = np.array([order[name] for name in names])
    sums = np.bincount(group, weights=differences, minlength=len(order))
    counts = np.bincount(group, minlength=len(order))
    draws = np.random.default_rng(seed).integers(0, len(order), size=(RESAMPLES, len(order)))
    means = sums[draws].sum(1) / counts[draws].sum(1)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Gain(mean=float(differences.mean()), low=float(low), high=float(high), queries=len(ours))
