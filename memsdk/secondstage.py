"""The second stage of a recall: a reranker's scores blended into those of fusion and signals.

Whatever goes wrong with a reranker, the recall is served in the first stage's order, and says so.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

from memsdk.errors import RerankerError
from memsdk.ports import Reranker
from memsdk.ranking import Candidate

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondStage:
    """A reranker and how far its word goes.

    Attributes:
        candidates: how many of the best it is shown.
        weight: its share of a score, 0 to 1.
    """

    reranker: Reranker
    candidates: int
    weight: float

    def order(self, candidates: Sequence[Candidate], *, query: str, texts: Sequence[str]) -> list[Candidate]:
        """The candidates, best first, with the reranker's part in their scores.

        An exception of the reranker, and scores that are too few, too many or no finite numbers, are logged as a warning and
        named in each candidate's `reranker_error`; the order is then the given one.

        Args:
            candidates: best first.
            texts: what the reranker reads of each.
        """
        if not candidates:
            return []
        try:
            scores = _checked(self.reranker.score(query, texts), count=len(texts))
        except Exception as error:  # noqa: BLE001 -- anybody's code, a model or a server: a recall must not fail by it
            trouble = f"{type(error).__name__}: {error}"[:300]
            logger.warning("the reranker failed, and had no say in this recall: %s", trouble)
            for candidate in candidates:
                candidate.reranker_error = trouble
            return list(candidates)
        return blend(candidates, scores, weight=self.weight)


def blend(candidates: Sequence[Candidate], scores: Sequence[float], *, weight: float) -> list[Candidate]:
    """The candidates in their new order, best first; no score leaves the range that they had.

    The reranker's scores are stretched to the range of the first stage's, so that both spread alike whatever scale they are
    on, and what is behind these candidates stays behind:
    `(1 - weight) * first + weight * (low + (high - low) * (score - least) / (most - least))`. The part named `reranker` is
    by how much that moved a candidate. Where the reranker finds all alike, nothing changes; where the first stage does, the reranker decides.

    Args:
        candidates: one or more, best first, scores 0 to 1.
        scores: of the reranker, finite, on any scale.
        weight: the reranker's share, 0 to 1.
    """
    low, high = (bound(candidate.score for candidate in candidates) for bound in (min, max))
    least, most = min(scores), max(scores)
    for candidate, score in zip(candidates, scores, strict=True):
        candidate.reranker_score = score
        if most > least:
            place = (score - least) / (most - least)
            stretched = low + (high - low) * place
            candidate.add({"reranker": weight * (stretched - candidate.score)})
    return sorted(candidates, key=attrgetter("score", "reranker_score"), reverse=True)


def _checked(scores: Sequence[float], *, count: int) -> list[float]:
    found = [float(score) for score in scores]
    if len(found) != count:
        raise RerankerError(f"{len(found)} scores for {count} texts; a reranker gives each text one")
    if not all(map(math.isfinite, found)):
        raise RerankerError("scores that are not finite; a reranker gives finite numbers")
    return found
