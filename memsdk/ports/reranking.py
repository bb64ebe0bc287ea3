"""A second look at what recall found: texts scored against the query, with more care than an index can afford."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Reranker(Protocol):
    """Scores a few dozen texts against one query. Thread-safe."""

    def score(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        """How well each text answers the query: finite numbers [n] on any scale, higher is better, in the order given.

        Equal arguments give equal scores. No texts give no scores, and a long text may be cut.

        Raises:
            InvalidInputError: something is not a text, or holds lone surrogates.
            RerankerError: the model can't be loaded or used.
        """
