"""Recall: the query embedded, every kind searched in its own space, the lists fused, the records read from SQL."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from memsdk.filters import Filter, matches
from memsdk.models import TASK_OF, Hit, Kind, Record, Scope, Side
from memsdk.payloads import RECORD, REVISION, Hasher, filterable, visible
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
from memsdk.ranking import DEFAULT_WEIGHTS, DEPTH, Candidate, best_scores, fuse, merge
from memsdk.recalled import Recall
from memsdk.spaces import DENSE, SPARSE, Serving, ServingSpaces

MOST_HISTORY_CHARS = 2_000
FIELDS = (RECORD, REVISION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A checked recall."""

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

    @property
    def text(self) -> str:
        """What is searched for: the query, after the end of the history where one is given."""
        past = "\n".join(self.history)[-MOST_HISTORY_CHARS:]
        return f"{past}\n{self.query}" if past else self.query


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

    def recall(self, question: Question, *, id: UUID) -> tuple[Recall, RecallEntry]:
        """The answer, and the entry to log of it."""
        self._catch_up()
        began = time.perf_counter()
        now = self._clock.now()
        serving = self._serving.current()
        found, embed_s = self._search(question, serving=serving, at=question.as_of or now)
        ranked = merge(_fused(found, serving=serving, depth=_depth(question.k)))
        hits = self._hits(question, [candidate for _, candidate in ranked], at=question.as_of or now)
        space = serving.spaces[TASK_OF[question.kinds[0]]]
        recall = Recall(
            id=id,
            query=question.query,
            hits=tuple(hits),
            at=now,
            query_version=space.fingerprint,
            max_tokens=question.max_tokens,
            tokenizer=self._tokenizer,
            embed_s=embed_s,
            total_s=time.perf_counter() - began,
        )
        return recall, self._entry(question, recall, ranked, fingerprint=space.fingerprint)

    def _search(
        self, question: Question, *, serving: Serving, at: datetime
    ) -> tuple[dict[Kind, SearchResult], float]:
        began = time.perf_counter()
        vectors = {}
        for kind in question.kinds:
            task = TASK_OF[kind]
            prefix = serving.embedder.spec.prefixes.get(task, ("", ""))[0]
            if prefix not in vectors:
                vectors[prefix] = serving.embedder.embed([question.text], task=task, side=Side.QUERY)[0]
        embed_s = time.perf_counter() - began
        words = self._lexical.encode_query(question.text)
        results: dict[Kind, SearchResult] = {}
        grouped: dict[str, list[Kind]] = {}
        for kind in question.kinds:
            grouped.setdefault(serving.collection(kind), []).append(kind)
        for collection, kinds in grouped.items():
            requests = []
            for kind in kinds:
                prefix = serving.embedder.spec.prefixes.get(TASK_OF[kind], ("", ""))[0]
                legs = [Leg(name=DENSE, dense=vectors[prefix])]
                if words.indices:
                    legs.append(Leg(name=SPARSE, sparse=words))
                requests.append(
                    SearchRequest(
                        legs=tuple(legs),
                        filter=self._filter(question, kind=kind, at=at),
                        limit=_depth(question.k),
                        payload=FIELDS,
                    )
                )
            results.update(zip(kinds, self._index.search(collection, requests), strict=True))
        return {kind: results[kind] for kind in question.kinds}, embed_s

    def _filter(self, question: Question, *, kind: Kind, at: datetime) -> Filter:
        return visible(
            kinds=(kind,),
            user_id=question.scope.user_id,
            agent_id=question.scope.agent_id,
            session_id=question.scope.session_id if question.this_session else None,
            at=at,
            as_of=question.as_of is not None,
            where=question.where,
            hasher=self._hasher,
        )

    def _hits(self, question: Question, candidates: Sequence[Candidate], *, at: datetime) -> list[Hit]:
        """The best k that SQL confirms, read k at a time: as a rule it confirms all of them."""
        hits: list[Hit] = []
        for start in range(0, len(candidates), question.k):
            batch = candidates[start : start + question.k]
            ids = [candidate.record for candidate in batch]
            records = {record.id: record for record in self._records.get(ids)}
            for wanted, candidate in zip(ids, batch, strict=True):
                record = self._as_of(records.get(wanted), candidate, question)
                if record is not None and self._may_see(record, question, at=at):
                    hits.append(
                        Hit(
                            **dict(record),
                            score=round(candidate.score, 6),
                            why=candidate.why() if question.explain else None,
                        )
                    )
                if len(hits) == question.k:
                    return hits
        return hits

    def _as_of(self, record: Record | None, candidate: Candidate, question: Question) -> Record | None:
        if record is None or question.as_of is None or record.revision == candidate.revision:
            return record
        revisions = {past.revision: past for past in self._records.history(record.id)}
        return revisions.get(candidate.revision)

    def _may_see(self, record: Record, question: Question, *, at: datetime) -> bool:
        """What the index was asked for, asked again of the truth."""
        scope = question.scope
        ends = [end for end in (record.superseded_at, record.expires_at) if end is not None]
        return (
            record.user_id in (scope.user_id, None)
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
        ranked: Sequence[tuple[Kind, Candidate]],
        *,
        fingerprint: str,
    ) -> RecallEntry:
        shown = {str(hit.id) for hit in recall.hits}
        legs = {
            candidate.key: {leg: score for leg, (_, score, _) in candidate.legs.items()}
            for _, candidate in ranked
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
                (hit.id, rank, hit.score, legs.get(str(hit.id), {}))
                for rank, hit in enumerate(recall.hits, 1)
            ),
        )


def _depth(k: int) -> int:
    """How many points each leg brings: twice k, and never few, as fusion needs them."""
    return max(DEPTH, 2 * k)


def _fused(
    found: Mapping[Kind, SearchResult], *, serving: Serving, depth: int
) -> dict[Kind, list[Candidate]]:
    """Each kind's legs fused; kinds of one collection are measured by the same best scores."""
    spaces: dict[str, list[SearchResult]] = {}
    for kind, legs in found.items():
        spaces.setdefault(serving.collection(kind), []).append(legs)
    best = {collection: best_scores(searches) for collection, searches in spaces.items()}
    return {
        kind: fuse(legs, weights=DEFAULT_WEIGHTS[kind], depth=depth, best=best[serving.collection(kind)])
        for kind, legs in found.items()
    }
