"""Fusion of the legs' lists into one, and of the kinds' lists into one. Pure functions over scores.

Each leg's scores are divided by its best one, weighed and summed. A record that a leg did not find has that leg's last
score where the leg was cut off at its depth (it can't be more), else 0. Reciprocal rank fusion was worse than BM25 alone, and min-max scaling depends on the depth (docs/ranking.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import cast
from uuid import UUID

from memsdk.models import Kind, Why
from memsdk.payloads import RECORD, REVISION
from memsdk.ports import PointHit

DEPTH = 30
"""How many points each leg brings. With 60, 40 and 30, ten hits asked for, LoCoMo's R@10 / nDCG@10 are .829 / .661, .828 / .661
and .827 / .660, and icl/mixed's nDCG@10 .516 with 40 and .521 with 30: what the index is asked for is most of a recall."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """How much each leg counts for one kind. They sum to 1."""

    dense: float
    lexical: float

    def by_leg(self) -> dict[str, float]:
        """The weight of each leg, by the name of its vector."""
        return {"dense": self.dense, "bm25": self.lexical}


EVEN = Weights(dense=0.5, lexical=0.5)

DEFAULT_WEIGHTS: Mapping[Kind, Weights] = {
    **dict.fromkeys(Kind, EVEN),
    Kind.EXAMPLE: Weights(dense=0.8, lexical=0.2),
    Kind.PASSAGE: Weights(dense=0.4, lexical=0.6),
}
"""By kind. Even weights were best or level with the best on LoCoMo and on all four qa sets. What an example is an instance of
is seldom said in the same words: with even weights icl/mixed had half the nDCG@10 of the dense leg. What a text comes back to
it calls by the same names (docs/ranking.md)."""


@dataclass(slots=True)
class Candidate:
    """A record that some leg found, with the places that made its score."""

    key: str  # the record's id as 32 hex digits; most candidates are never read, so it is not parsed
    revision: int | None  # None: the one that is current
    least: Mapping[str, float]  # what each leg contributes at least
    legs: dict[str, tuple[int, float, float]]  # leg -> (1-based rank, raw score, contribution)
    score: float = 0.0
    added: Mapping[str, float] | None = None  # what reranking added to the legs' contributions
    scaled: float = 1.0  # what every part is multiplied with
    reranker_score: float | None = None
    reranker_error: str | None = None

    def add(self, parts: Mapping[str, float]) -> None:
        """Add named parts to the score."""
        self.score += sum(parts.values())
        if self.added is None and self.scaled == 1.0:  # as a rule; dozens are made for each recall
            self.added = parts
            return
        added = {} if self.added is None else dict(self.added)
        for name, part in parts.items():
            added[name] = added.get(name, 0.0) + part / self.scaled
        self.added = added

    def scale(self, factor: float) -> None:
        """Multiply the score and all its parts."""
        self.score *= factor
        self.scaled *= factor

    @property
    def record(self) -> UUID:
        """The record's id."""
        return UUID(self.key)

    def why(self) -> Why:
        """The explanation of the score."""
        dense, lexical = self.legs.get("dense"), self.legs.get("bm25")
        parts = {**self.least, **{leg: part for leg, (_, _, part) in self.legs.items()}, **(self.added or {})}
        return Why(
            dense_rank=dense[0] if dense else None,
            dense_score=dense[1] if dense else None,
            lexical_rank=lexical[0] if lexical else None,
            lexical_score=lexical[1] if lexical else None,
            parts={name: part * self.scaled for name, part in parts.items()},
            reranker_score=self.reranker_score,
            reranker_error=self.reranker_error,
        )


def best_scores(searches: Iterable[Mapping[str, Sequence[PointHit]]]) -> dict[str, float]:
    """The best score of each leg over several searches of one space, where it is above 0."""
    best: dict[str, float] = {}
    for legs in searches:
        for name, hits in legs.items():
            if hits and hits[0].score > best.get(name, 0.0):
                best[name] = hits[0].score
    return best


def fuse(
    legs: Mapping[str, Sequence[PointHit]],
    *,
    weights: Weights,
    depth: int = DEPTH,
    best: Mapping[str, float] | None = None,
) -> list[Candidate]:
    """One list of records, best first, from the legs' lists of points. A record counts by its best point in each leg.

    Scores lie in 0..1. A leg without any score above 0 has no say.

    Args:
        legs: points by leg name, best first.
        depth: how many points a leg was asked for.
        best: what to divide each leg's scores by; kinds that share a space share it, so that their scores compare.
    """
    best = best_scores([legs]) if best is None else best
    share = {name: weight for name, weight in weights.by_leg().items() if name in best and weight}
    total = sum(share.values())
    found: dict[str, Candidate] = {}
    scales = {name: (weight / total, best[name]) for name, weight in share.items()}
    least = {
        name: weight * (_least(legs.get(name, ()), depth=depth) / most)
        for name, (weight, most) in scales.items()
    }
    lowest = sum(least.values())
    for name, (weight, most) in scales.items():
        rank, known = 0, least[name]
        for point, score, payload in legs.get(name, ()):
            key, revision = point, None
            if payload:
                key = cast("str", payload.get(RECORD, point)).replace("-", "")
                revision = cast("int | None", payload.get(REVISION))
            candidate = found.get(key)
            if candidate is not None and name in candidate.legs:
                continue  # by another of its points, which was better
            rank += 1
            part = weight * (score / most) if score > 0 else 0.0
            if candidate is None:
                found[key] = Candidate(
                    key, revision, least, {name: (rank, score, part)}, lowest + part - known
                )
            else:
                candidate.legs[name] = (rank, score, part)
                candidate.score += part - known
    return sorted(found.values(), key=lambda candidate: (-candidate.score, candidate.key))


def _least(hits: Sequence[PointHit], *, depth: int) -> float:
    """The score that a point has at most which this leg did not bring: 0 where it brought all it found."""
    return max(0.0, hits[-1].score) if hits and len(hits) >= depth else 0.0


def merge(lists: Sequence[Sequence[Candidate]]) -> list[Candidate]:
    """Several fused lists as one, by score; ties go to the earlier list.

    Measured by the same best scores, kinds in one space compare: on a store of chats and documents the mixed list kept
    the quality of each kind searched alone (docs/ranking.md).
    """
    if len(lists) == 1:
        return list(lists[0])
    return sorted(chain.from_iterable(lists), key=lambda candidate: -candidate.score)
