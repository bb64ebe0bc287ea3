"""A query amid its conversation: how much the turns before it count. Pure: turns and vectors in, vectors and weights out.

The last turn counts whole, each one before it `DECAY` of the next, whoever said it; the same for the vectors, which are
added, and for the words, of which each counts by the latest turn that says it. Joined into one text instead, old turns
drown the last one; left out, "their bathrooms" has no owner. The figures are in docs/ranking.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from memsdk.models import SparseVector

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float32]

DECAY = 0.5
"""What a turn counts of the one after it."""

MOST_TURNS = 6
"""Earlier turns count less than a hundredth."""

MOST_TURN_CHARS = 1_000
"""How much of a turn before the query is read: its end. Each is embedded, in one batch with the query."""


def considered(history: Sequence[str]) -> tuple[str, ...]:
    """The turns that count, the latest first, each by its end."""
    return tuple(turn[-MOST_TURN_CHARS:] for turn in reversed(history[-MOST_TURNS:]))


def weights(count: int) -> list[float]:
    """What the query and `count` turns before it, the latest first, count: 1, .5, .25, ..."""
    return [DECAY**age for age in range(count + 1)]


def mixed(vectors: NDArray[np.float32]) -> Vector:
    """One query vector [d], unit length, of those [n, d] of the query and the turns before it, the latest first."""
    shares = np.asarray(weights(len(vectors) - 1), dtype=np.float32)
    total = shares @ vectors
    return (total / np.linalg.norm(total)).astype(np.float32)


def mixed_terms(terms: Sequence[SparseVector]) -> SparseVector:
    """One lexical query of those of the query and the turns before it: a word counts by the latest turn that says it."""
    if len(terms) == 1:
        return terms[0]
    found: dict[int, float] = {}
    for share, vector in zip(weights(len(terms) - 1), terms, strict=True):
        for index, value in zip(vector.indices, vector.values, strict=True):
            found.setdefault(index, share * value)
    ordered = sorted(found)
    return SparseVector(ordered, [found[index] for index in ordered])
