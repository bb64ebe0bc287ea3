"""Fusion of the legs' lists into one, and of the kinds' lists into one. Pure functions over scores.

Each leg's scores are scaled to 0..1 by the least and the greatest score of its own list (min-max), weighed and summed; a
record that a leg did not find has 0 there. Equal-weight reciprocal rank fusion was worse than BM25 alone (docs/ranking.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from memsdk.models import Kind, Why
from memsdk.payloads import RECORD, REVISION
from memsdk.ports import PointHit

DEPTH = 100
"""How many points each leg brings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """How much each leg counts for one kind. They sum to 1."""

    dense: float
    lexical: float


DEFAULT_WEIGHTS: Mapping[Kind, Weights] = {
    Kind.MEMORY: Weights(dense=0.4, lexical=0.6),
    Kind.DOCUMENT: Weights(dense=0.5, lexical=0.5),
    Kind.EXAMPLE: Weights(dense=0.5, lexical=0.5),
    Kind.TOOL: Weights(dense=0.5, lexical=0.5),
    Kind.PASSAGE: Weights(dense=0.5, lexical=0.5),
}
"""Chosen on LoCoMo (memories) and the four qa sets (documents); docs/ranking.md has the figures."""


@dataclass(slots=True, kw_only=True)
class Candidate:
    """A record that some leg found, with the places that made its score."""

    record: UUID
    revision: int
    score: float = 0.0
    legs: dict[str, tuple[int, float]] = field(default_factory=dict)  # leg -> (1-based rank, raw score)
    parts: dict[str, float] = field(default_factory=dict)  # leg -> contribution

    def why(self) -> Why:
        """The explanation of the score."""
        dense, lexical = self.legs.get("dense"), self.legs.get("bm25")
        return Why(
            dense_rank=dense[0] if dense else None,
            dense_score=dense[1] if dense else None,
            lexical_rank=lexical[0] if lexical else None,
            lexical_score=lexical[1] if lexical else None,
            parts=dict(self.parts),
        )


def fuse(legs: Mapping[str, Sequence[PointHit]], *, weights: Weights) -> list[Candidate]:
    """One list of records, best first, from the legs' lists of points. A record counts by its best point in each leg."""
    share = {"dense": weights.dense, "bm25": weights.lexical}
    if any(not hits for hits in legs.values()):  # a query of stopwords, or no words in common
        present = [name for name, hits in legs.items() if hits]
        share = {name: 1.0 / len(present) for name in present}
    found: dict[UUID, Candidate] = {}
    for name, hits in legs.items():
        if not hits:
            continue
        least, most = hits[-1].score, hits[0].score
        spread = most - least
        rank = 0
        for hit in hits:
            record = UUID(str(hit.payload[RECORD]))
            candidate = found.get(record)
            if candidate is None:
                candidate = found[record] = Candidate(record=record, revision=int(str(hit.payload[REVISION])))
            if name in candidate.legs:
                continue
            rank += 1
            scaled = (hit.score - least) / spread if spread > 0 else 1.0
            candidate.legs[name] = (rank, hit.score)
            candidate.parts[name] = share[name] * scaled
            candidate.score += share[name] * scaled
    return sorted(found.values(), key=lambda candidate: (-candidate.score, candidate.record.int))


def merge(by_kind: Mapping[Kind, Sequence[Candidate]]) -> list[tuple[Kind, Candidate]]:
    """The kinds' lists as one, by score: min-max scores of one query are comparable enough between kinds.

    Ties go to the kind named first.
    """
    order = {kind: number for number, kind in enumerate(by_kind)}
    pooled = [(kind, candidate) for kind, candidates in by_kind.items() for candidate in candidates]
    return sorted(pooled, key=lambda pair: (-pair[1].score, order[pair[0]]))
