"""The best of the fused candidates put in order: signals, a second stage, recency, near-duplicates, diversity. Pure.

Only a pool of the best is looked at, as what ranking asks of a record has to be read. Those behind the pool stay behind.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta

from memsdk.errors import InvalidInputError
from memsdk.models import Kind, Traits
from memsdk.ranking import Candidate, Weights
from memsdk.signals import DEFAULT_SIGNALS, POOL, Signals, contributions, recency

DUPLICATE = 0.8
"""Texts that share so much of all their words say the same."""
SAME_PLACE = 0.3
"""How alike two texts are at least that stand in one session or one section."""
MOST_DAYS = 1_000_000.0

Look = Callable[[Sequence[Candidate]], list[Candidate]]
"""Orders candidates anew, which it is given best first. It may leave some out; no score leaves the range that they had."""
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordering:
    """How one recall orders what it found.

    Attributes:
        weights: of the legs by kind; None for the query version's own.
        signals: by kind.
        recency: after so long a record has lost half of what age can take from it; None where age is no matter.
        diversity: 0 to 1, how much a hit loses that is like those before it.
        collapse: whether of near-duplicates only the best is a hit.
    """

    weights: Mapping[Kind, Weights] | None = None
    signals: Mapping[Kind, Signals] | None = None
    recency: timedelta | None = None
    diversity: float = 0.0
    collapse: bool = False

    def signals_of(self, kind: Kind) -> Signals | None:
        """The signals that order this kind; None where it has none."""
        return (DEFAULT_SIGNALS if self.signals is None else self.signals).get(kind)

    def pool_of(self, kinds: Sequence[Kind]) -> int:
        """How many of the best candidates of these kinds are looked at, at least; 0 where nothing is to be read of any."""
        if self.recency is not None or self.diversity > 0 or self.collapse:
            return POOL
        ordered = map(self.signals_of, kinds)
        return max((signals.pool for signals in ordered if signals is not None), default=0)

    def needs_traits(self, kinds: Sequence[Kind]) -> bool:
        """Whether anything is to be read of the candidates of these kinds."""
        return self.pool_of(kinds) > 0


DEFAULT = Ordering()


def ordering_of(*, recency: timedelta | float | None, diversity: float, collapse: bool) -> Ordering:
    """What a caller asked for, checked; a number of `recency` is days.

    Raises:
        InvalidInputError: a half-life that is not above 0, a diversity outside 0..1.
    """
    if (recency, diversity, collapse) == (None, 0.0, False):
        return DEFAULT
    days = recency / timedelta(days=1) if isinstance(recency, timedelta) else recency
    if days is not None and (not _is_number(days) or not 0 < days <= MOST_DAYS):
        raise InvalidInputError(
            f"recency is {recency!r:.40}, expected a half-life above 0: a timedelta or a number of days"
        )
    if not _is_number(diversity) or not 0 <= diversity <= 1:
        raise InvalidInputError(f"diversity is {diversity!r:.40}, expected a number from 0 to 1")
    half_life = None if days is None else timedelta(days=days)
    return Ordering(recency=half_life, diversity=float(diversity), collapse=bool(collapse))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def rerank(
    candidates: Sequence[Candidate],
    traits: Mapping[str, Traits],
    *,
    ordering: Ordering,
    query: str,
    now: datetime,
    second: Look | None = None,
) -> list[Candidate]:
    """The candidates in order, best first; scores stay within 0..1 and are the sum of their parts.

    Args:
        candidates: best first, as fused.
        traits: of the first candidates, the pool, by their keys.
        now: the time that the recall is of.
        second: what looks at the pool once more, after the signals and before what a caller asks for.
    """
    pool, rest = list(candidates[: len(traits)]), list(candidates[len(traits) :])
    for kind in dict.fromkeys(traits[candidate.key].kind for candidate in pool):
        signals = ordering.signals_of(kind)
        if signals is not None:
            of_kind = [candidate for candidate in pool if traits[candidate.key].kind is kind]
            added = contributions(
                [candidate.score for candidate in of_kind],
                [traits[candidate.key] for candidate in of_kind],
                signals=signals,
                query=query,
                now=now,
            )
            for candidate, parts in zip(of_kind, added, strict=True):
                candidate.add(parts)
    if second is not None:
        pool.sort(key=lambda candidate: -candidate.score)
        pool = second(_scaled(pool, rest)[: len(pool)])
    if ordering.recency is not None:
        for candidate in pool:
            age = now - traits[candidate.key].occurred_at
            lost = recency(candidate.score, age=age, half_life=ordering.recency)
            candidate.add({"recency": lost})
    pool.sort(key=lambda candidate: -candidate.score)
    if ordering.collapse:
        pool = list(_without_duplicates(pool, traits))
    if ordering.diversity > 0:
        pool = _spread(pool, traits, diversity=ordering.diversity)
    return _scaled(pool, rest)


def _without_duplicates(pool: Sequence[Candidate], traits: Mapping[str, Traits]) -> Iterator[Candidate]:
    """Those that no better one says almost in the same words."""
    kept: list[frozenset[str]] = []
    for candidate in pool:
        words = _words(traits[candidate.key])
        if all(_overlap(words, other) < DUPLICATE for other in kept):
            kept.append(words)
            yield candidate


def _spread(pool: Sequence[Candidate], traits: Mapping[str, Traits], *, diversity: float) -> list[Candidate]:
    """Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998), likeness told by words and place.

    What a hit loses is a part of its score, so that the scores still order the list.
    """
    words = {candidate.key: _words(traits[candidate.key]) for candidate in pool}
    likest = dict.fromkeys(words, 0.0)
    left, chosen = list(pool), []
    while left:
        best = max(left, key=lambda candidate: candidate.score - diversity * likest[candidate.key])
        left.remove(best)
        if likest[best.key]:
            best.add({"diversity": -diversity * likest[best.key]})
        chosen.append(best)
        for other in left:
            alike = max(
                _overlap(words[best.key], words[other.key]),
                SAME_PLACE if _same_place(traits[best.key], traits[other.key]) else 0.0,
            )
            likest[other.key] = max(likest[other.key], alike)
    return chosen


def _scaled(pool: Sequence[Candidate], rest: Sequence[Candidate]) -> list[Candidate]:
    """All of them within 0..1, the rest not before the pool."""
    most = max((candidate.score for candidate in pool), default=1.0)
    if most > 1.0:
        for candidate in (*pool, *rest):
            candidate.scale(1.0 / most)
    least = 1.0
    for candidate in (*pool, *rest):
        score = candidate.score
        if score > least or score < 0.0:
            kept = max(0.0, min(score, least))
            candidate.add({"order": kept - score})
            candidate.score = kept  # the sum may be off by its last digit
        least = candidate.score
    return [*pool, *rest]


def _words(trait: Traits) -> frozenset[str]:
    return frozenset(_WORD.findall(trait.opening.casefold()))


def _overlap(one: AbstractSet[str], other: AbstractSet[str]) -> float:
    """The share of all their words that both have (Jaccard)."""
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared) if shared else 0.0


def _same_place(one: Traits, other: Traits) -> bool:
    if one.source_id is not None:
        return one.source_id == other.source_id
    return one.session_id is not None and one.session_id == other.session_id
