"""The interval of a mean paired difference, by bootstrap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

ROUNDS = 10_000


def interval(ours: Sequence[float], theirs: Sequence[float], *, seed: int = 0) -> tuple[float, float]:
    """The 2.5th and 97.5th percentile of the mean of `ours - theirs`, resampled over the pairs."""
    differences = np.asarray(ours) - np.asarray(theirs)
    chance = np.random.default_rng(seed)
    drawn = chance.integers(0, len(differences), size=(ROUNDS, len(differences)))
    low, high = np.percentile(differences[drawn].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)
