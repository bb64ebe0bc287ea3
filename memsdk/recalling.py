"""Recall: the query embedded, every kind searched in its own space, the lists fused, the records read from SQL.

Where a second stage is asked for, it reads the texts of the best candidates: those only that SQL lets this caller see.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from memsdk import conversing
from memsdk.composing import compose
from memsdk.errors import MemsdkError
from memsdk.filters import Filter, matches
from memsdk.models import TASK_OF, Hit, Kind, Record, Scope, Side, SparseVector, Traits, Why
from memsdk.payload_filters import visible
from memsdk.payloads import RECORD, REVISION, Hasher, filterable
from memsdk.ports import (
    Clock,
    Index,
    Leg,
    LexicalEncoder,
    RecallEntry,
    Records,
    SearchRequest,
    SearchResult,
)
from memsdk.querying import QueryWay
from memsdk.ranking import DEPTH, Candidate, Weights, best_scores, fuse, merge
from memsdk.recalled import Recall
from memsdk.reranking import DEFAULT, Ordering, rerank
from memsdk.secondstage import SecondStage
from memsdk.spaces import DENSE, SPARSE, Serving, ServingSpaces

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float32]

FIELDS = (RECORD, REVISION)


class _SwitchedError(Exception):
    """Other spaces or query versions serve than those that were asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A checked recall.

    Attributes:
        second: looks again at the best candidates; None leaves the first stage's order.
    """

    query: str
    scope: Scope
    kinds: tuple[Kind, ...]
    k: int
    where: Filter | None = None
    as_of: datetime | None = None
    this_session: bool = False
    history: tuple[str, ...] = ()
    max_tokens: int | None = None
    explain: bool = False
    ordering: Ordering = DEFAULT
    second: SecondStage | None = None

    @property
    def turns(self) -> tuple[str, ...]:
        """What is searched for: the query, and the turns before it that count, the latest first."""
        return (self.query, *conversing.considered(self.history))


class _Ask(NamedTuple):
    """What some kinds are searched for in one collection: all but the vector of the query, which `query` names."""

    collection: str
    query: tuple[str, str]
    weights: Weights
    words: SparseVector
    filter: Filter


@dataclass(frozen=True, slots=True, kw_only=True)
class _Search:
    """What the legs found for some kinds in one collection, with one query vector.

    Attributes:
        scale: names the collection and the query vector: scores of equal scales compare.
    """

    scale: str
    weights: Weights
    legs: SearchResult


class Recaller:
    """Answers questions. What SQL says is deleted, expired or out of scope is dropped, whatever the index says."""

    def __init__(
        self,
        *,
        records: Records,
        index: Index,
        serving: ServingSpaces,
        lexical: LexicalEncoder,
        hasher: Hasher,
        clock: Clock,
        tokenizer: str,
        catch_up: Callable[[], None],
    ) -> None:
        """Args: `catch_up` indexes, before the first answer, what dead processes left."""
        self._records = records
        self._index = index
        self._serving = serving
        self._lexical = lexical
        self._hasher = hasher
        self._clock = clock
        self._tokenizer = tokenizer
        self._catch_up = catch_up

    def recall(
        self, question: Question, *, id: UUID, serving: Serving | None = None
    ) -> tuple[Recall, RecallEntry]:
        """The answer, and the entry to log of it; with `serving`, as if that served."""
        self._catch_up()
        began = time.perf_counter()
        if serving is None and question.ordering.needs_traits(question.kinds):
            known = self._serving.known()
            try:  # as if nothing had been switched since: what ranking reads tells, in the same query
                return self._answer(question, id=id, serving=known, began=began, epoch=known.epoch)
            except (MemsdkError, _SwitchedError):
                if (serving := self._serving.current()) is known:
                    raise
        return self._answer(question, id=id, serving=serving or self._serving.current(), began=began)

    def _answer(
        self, question: Question, *, id: UUID, serving: Serving, began: float, epoch: int | None = None
    ) -> tuple[Recall, RecallEntry]:
        """Raises _SwitchedError where the store is no longer in this epoch."""
        now = self._clock.now()
        ways = {
            kind: serving.way(kind, user_id=question.scope.user_id, amid=bool(question.history))
            for kind in question.kinds
        }
        # before the query is embedded, as the index host's processor then sleeps, the deeper the longer
        asks = self._asks(question, ways=ways, serving=serving, at=question.as_of or now)
        vectors, embed_s = self._embed(question, ways=ways)
        searches = self._search(question, asks, vectors=vectors)
        fused = merge(_fused(searches, depth=_depth(question.k)))
        ranked, traits = self._reranked(question, fused, at=question.as_of or now, epoch=epoch)
        hits = self._hits(question, ranked, traits, at=question.as_of or now)
        space = serving.spaces[TASK_OF[question.kinds[0]]]
        versions = ",".join(dict.fromkeys(way.version for way in ways.values()))
        recall = Recall(
            id=id,
            query=question.query,
            hits=tuple(hits),
            at=now,
            query_version=versions,
            max_tokens=question.max_tokens,
            tokenizer=self._tokenizer,
            embed_s=embed_s,
            total_s=time.perf_counter() - began,
        )
        return recall, self._entry(question, recall, ranked, fingerprint=space.fingerprint)

    def _embed(
        self, question: Question, *, ways: Mapping[Kind, QueryWay]
    ) -> tuple[dict[tuple[str, str], Vector], float]:
        """The query's vector by prefix and version, and the seconds that took."""
        began = time.perf_counter()
        vectors: dict[tuple[str, str], Vector] = {}
        for way in ways.values():
            if way.key not in vectors:
                turns = way.embedder.embed(question.turns, task=way.task, side=Side.QUERY)
                vectors[way.key] = conversing.mixed(turns) if question.history else turns[0]
        return vectors, time.perf_counter() - began

    def _asks(
        self, question: Question, *, ways: Mapping[Kind, QueryWay], serving: Serving, at: datetime
    ) -> list[_Ask]:
        """What each space is asked. Kinds that share space, query vector and weights are searched together."""
        words = conversing.mixed_terms([self._lexical.encode_query(turn) for turn in question.turns])
        alike: dict[tuple[str, tuple[str, str], Weights], list[Kind]] = {}
        for kind, way in ways.items():
            weights = way.weights if question.ordering.weights is None else question.ordering.weights[kind]
            alike.setdefault((serving.spaces[way.task].collection, way.key, weights), []).append(kind)
        return [
            _Ask(collection, query, weights, words, self._filter(question, kinds=kinds, at=at))
            for (collection, query, weights), kinds in alike.items()
        ]

    def _search(
        self, question: Question, asks: Sequence[_Ask], *, vectors: Mapping[tuple[str, str], Vector]
    ) -> list[_Search]:
        """What each space found."""
        searches = []
        for ask in asks:
            legs = [Leg(name=DENSE, dense=vectors[ask.query])]
            if ask.words.indices:
                legs.append(Leg(name=SPARSE, sparse=ask.words))
            request = SearchRequest(
                legs=tuple(legs),
                filter=ask.filter,
                limit=_depth(question.k),
                payload=FIELDS,
                parts_only=question.as_of is None,
            )
            (found,) = self._index.search(ask.collection, [request])
            scale = "\0".join((ask.collection, *ask.query))
            searches.append(_Search(scale=scale, weights=ask.weights, legs=found))
        return searches

    def _filter(self, question: Question, *, kinds: Sequence[Kind], at: datetime) -> Filter:
        return visible(
            kinds=kinds,
            user_id=question.scope.user_id,
            agent_id=question.scope.agent_id,
            session_id=question.scope.session_id if question.this_session else None,
            at=at,
            as_of=question.as_of is not None,
            where=question.where,
            hasher=self._hasher,
        )

    def _reranked(
        self, question: Question, candidates: Sequence[Candidate], *, at: datetime, epoch: int | None
    ) -> tuple[Sequence[Candidate], Mapping[str, Traits]]:
        """The best candidates by what they are, too, and what that is: nothing is read for kinds without signals.

        What a second stage has read is read again, as a slow one leaves others time to forget it.
        """
        second = None if question.second is None else partial(self._second_look, question, at=at)
        if not question.ordering.needs_traits(question.kinds):
            return (candidates if second is None else second(candidates)), {}
        looked_at = 0 if question.second is None else question.second.candidates
        pool = candidates[: max(question.ordering.pool_of(question.kinds), 2 * question.k, looked_at)]
        traits, then = self._records.traits([candidate.key for candidate in pool])
        if epoch not in (None, then):
            raise _SwitchedError
        if len(traits) < len(pool):  # some are gone since they were found
            gone = {candidate.key for candidate in pool} - traits.keys()
            candidates = [candidate for candidate in candidates if candidate.key not in gone]
        ordered = rerank(
            candidates, traits, ordering=question.ordering, query=question.query, now=at, second=second
        )
        return ordered, traits if second is None else {}

    def _second_look(
        self, question: Question, candidates: Sequence[Candidate], *, at: datetime
    ) -> list[Candidate]:
        """The best as the reranker orders them, then the others. It reads the line that is indexed of a record."""
        assert question.second is not None
        most = question.second.candidates
        shown = list(self._confirmed(question, candidates[:most], {}, at=at))
        ordered = question.second.order(
            [candidate for candidate, _ in shown],
            query=question.query,
            texts=[compose(record).line for _, record in shown],
        )
        return [*ordered, *candidates[most:]]

    def _hits(
        self,
        question: Question,
        candidates: Sequence[Candidate],
        traits: Mapping[str, Traits],
        *,
        at: datetime,
    ) -> list[Hit]:
        """The best k that SQL confirms, read k at a time: as a rule it confirms all of them."""
        hits: list[Hit] = []
        for start in range(0, len(candidates), question.k):
            batch = candidates[start : start + question.k]
            for candidate, record in self._confirmed(question, batch, traits, at=at):
                hits.append(record if isinstance(record, Hit) else _hit_of(record, candidate, question))
                if len(hits) == question.k:
                    return hits
        return hits

    def _confirmed(
        self,
        question: Question,
        candidates: Sequence[Candidate],
        traits: Mapping[str, Traits],
        *,
        at: datetime,
    ) -> Iterator[tuple[Candidate, Record]]:
        """The candidates that SQL lets this caller see, each with its record."""
        records = self._read(question, candidates, traits)
        for candidate in candidates:
            record = self._as_of(records.get(candidate.key), candidate, question)
            if record is not None and self._may_see(record, question, at=at):
                yield candidate, record

    def _read(
        self, question: Question, candidates: Sequence[Candidate], traits: Mapping[str, Traits]
    ) -> dict[str, Record]:
        """The candidates' records by key: those that ranking has read already, as hits, and the others from SQL."""
        found: dict[str, Record] = {}
        for candidate in candidates:
            known = traits.get(candidate.key)
            if known is not None and known.hit is not None:
                found[candidate.key] = known.hit(*_ranked(candidate, question))
        left = {candidate.record: candidate.key for candidate in candidates if candidate.key not in found}
        if left:
            found |= {left[record.id]: record for record in self._records.get(list(left))}
        return found

    def _as_of(self, record: Record | None, candidate: Candidate, question: Question) -> Record | None:
        if record is None or question.as_of is None or candidate.revision in (None, record.revision):
            return record
        revisions = {past.revision: past for past in self._records.history(record.id)}
        return revisions.get(candidate.revision or record.revision)

    def _may_see(self, record: Record, question: Question, *, at: datetime) -> bool:
        """What the index was asked for, asked again of the truth."""
        scope = question.scope
        ends = [end for end in (record.superseded_at, record.expires_at) if end is not None]
        return (
            record.kind in question.kinds
            and record.user_id in (scope.user_id, None)
            and (scope.agent_id is None or record.agent_id in (scope.agent_id, None))
            and (not question.this_session or record.session_id == scope.session_id)
            and all(end > at for end in ends)
            and (question.as_of is None or record.created_at <= at + timedelta(microseconds=1))
            and (question.where is None or matches(question.where, filterable(record)))
        )

    def _entry(
        self,
        question: Question,
        recall: Recall,
        ranked: Sequence[Candidate],
        *,
        fingerprint: str,
    ) -> RecallEntry:
        shown = {hit.id.hex for hit in recall.hits}
        legs = {
            candidate.key: {leg: score for leg, (_, score, _) in candidate.legs.items()}
            for candidate in ranked
            if candidate.key in shown
        }
        return RecallEntry(
            id=recall.id,
            query=question.query,
            scope=question.scope,
            at=recall.at,
            fingerprint=fingerprint,
            query_version=recall.query_version,
            kinds=question.kinds,
            k=question.k,
            candidates=tuple(
                (hit.id, rank, hit.score, legs.get(hit.id.hex, {})) for rank, hit in enumerate(recall.hits, 1)
            ),
            history=tuple(reversed(conversing.considered(question.history))),
        )


def _ranked(candidate: Candidate, question: Question) -> tuple[float, Why | None]:
    """What makes a record a hit: its score, and where that is asked for, how it came about."""
    return round(candidate.score, 6), candidate.why() if question.explain else None


def _hit_of(record: Record, candidate: Candidate, question: Question) -> Hit:
    score, why = _ranked(candidate, question)
    # quicker than `model_construct`, which is a loop in Python
    return Hit.model_validate({**record.__dict__, "score": score, "why": why})


def _depth(k: int) -> int:
    """How many points each leg brings: twice k, and never few, as fusion needs them."""
    return max(DEPTH, 2 * k)


def _fused(searches: Sequence[_Search], *, depth: int) -> list[list[Candidate]]:
    """Each search's legs fused; those of one scale are measured by the same best scores, so that they compare."""
    spaces: dict[str, list[SearchResult]] = {}
    for search in searches:
        spaces.setdefault(search.scale, []).append(search.legs)
    best = {scale: best_scores(found) for scale, found in spaces.items()}
    return [
        fuse(search.legs, weights=search.weights, depth=depth, best=best[search.scale]) for search in searches
    ]
