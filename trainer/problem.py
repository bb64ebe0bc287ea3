"""What a query-side tier learns from: the queries of one task against all stored vectors. Values only.

With document vectors frozen, every stored record can be a negative at the price of one matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from memsdk.trainer.rows import Candidate, Row

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]
    Places = NDArray[np.int64]

SHARED = -1
"""The owner of keys that all users see."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One query's own candidates.

    Attributes:
        candidates: [c] places among the keys, each once.
        rewards: [c] float32, higher is better, on a scale where 1 is one standard deviation of the query's rewards.
        relevant: the places that count as right when recall is measured.
        owner: whose query it is; it sees this owner's keys and the shared ones.
    """

    candidates: Places
    rewards: Vectors
    relevant: frozenset[int]
    owner: int = SHARED


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Queries [n, d] with an example each, and the keys [m, d] that they search; all vectors of unit length."""

    queries: Vectors
    keys: Vectors
    owners: Places  # [m]
    examples: tuple[Example, ...]

    def part(self, numbers: Sequence[int]) -> Problem:
        """The same with these queries alone."""
        return Problem(
            queries=self.queries[list(numbers)],
            keys=self.keys,
            owners=self.owners,
            examples=tuple(self.examples[number] for number in numbers),
        )

    def visible(self, numbers: Sequence[int], places: Places | None = None) -> NDArray[np.bool_]:
        """[b, m]: which keys each of these queries may find; with places, [b, m'] for the keys there."""
        asking = np.array([self.examples[number].owner for number in numbers], np.int64)
        owners = self.owners if places is None else self.owners[places]
        seen: NDArray[np.bool_] = (owners[None, :] == SHARED) | (owners[None, :] == asking[:, None])
        return seen


def targets(row: Row) -> list[float] | None:
    """The row's rewards in standard deviations, a known positive never below the best; labels alone become 1 and 0.

    None where nothing can be learnt: all candidates are level.
    """
    rewards = [candidate.reward for candidate in row.candidates]
    scored = [reward for reward in rewards if reward is not None]
    if len(scored) < 2 or max(scored) - min(scored) < 1e-9:
        labels = [1.0 if candidate.positive else 0.0 for candidate in row.candidates]
        return _standard(labels) if any(labels) else None
    least = min(scored)
    standard = _standard([least if reward is None else reward for reward in rewards])
    best = max(standard)
    return [
        best if candidate.positive else value
        for candidate, value in zip(row.candidates, standard, strict=True)
    ]


def right_ones(row: Row) -> list[Candidate]:
    """The candidates that count as right: those known to be, else those that the language model rewarded most."""
    positive = [candidate for candidate in row.candidates if candidate.positive]
    if positive:
        return positive
    scored = [candidate for candidate in row.candidates if candidate.reward is not None]
    rewards = [candidate.reward or 0.0 for candidate in scored]
    if len(scored) < 2 or max(rewards) - min(rewards) < 1e-9:
        return []
    return [candidate for candidate in scored if candidate.reward == max(rewards)]


def _standard(values: Sequence[float]) -> list[float]:
    mean = sum(values) / len(values)
    spread = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
    return [(value - mean) / spread if spread > 0 else 0.0 for value in values]
