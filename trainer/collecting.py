"""Training rows out of the recall log: what was asked, what was shown, what came of it, and what else there was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from memsdk import conversing
from memsdk.composing import compose
from memsdk.embedding.lexical import Bm25Encoder
from memsdk.errors import InvalidInputError
from memsdk.models import TASK_OF, Kind, Record, Side, Task
from memsdk.payload_filters import visible
from memsdk.payloads import RECORD, REVISION, record_of
from memsdk.ports import Leg, RecordFilter, SearchRequest
from memsdk.records.recall_rows import LoggedRecall
from memsdk.spaces import DENSE as DENSE_VECTOR
from memsdk.spaces import SPARSE
from memsdk.trainer.mining import DENSE, ENCODER, LEXICAL, RANDOM, Found, Mining, choose
from memsdk.trainer.rows import Candidate, Row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from memsdk import Memory
    from memsdk.parts import Parts
    from memsdk.ports import Embedder, PointHit

    Vector = NDArray[np.float32]

PAGE = 200
POOL = 2_000  # records that random candidates are drawn from: a user's newest
WELL_RECEIVED = 0.5
MOST_CONTEXT_CHARS = 2_000

Progress = Callable[[int, int], None]
"""Told how many recalls are done, of how many."""


def collect(
    memory: Memory,
    *,
    users: Sequence[str | None] | None = None,
    since: datetime | None = None,
    mining: Mining | None = None,
    min_score: float = WELL_RECEIVED,
    progress: Progress | None = None,
) -> list[Row]:
    """The recalls that got feedback as training rows, oldest first; one a recall and task.

    A row has the candidates that were shown, with their texts as they are now, and others that could have been: see
    `Mining`. Forgotten records are in none. What was written after the recall is in none: it can't have been found,
    and the answer itself may have been remembered since.

    Args:
        memory: the store.
        users: only these users' recalls, a None among them for those without one; None alone takes all.
        since: only recalls from this time on.
        min_score: outputs that were received worse are not desired ones, and what they used is not known to be right.
        progress: called as recalls are done.
    """
    if since is not None and since.tzinfo is None:
        raise InvalidInputError(f"since is {since.isoformat()}, without a time zone; give an aware time")
    parts = memory._parts  # noqa: SLF001 -- the trainer is a room of Memory
    parts.flush()  # the recall log and the index, up to now
    heard = [
        (one, answer) for one in _logged(parts, users, since=since) if (answer := _answer(one, min_score))
    ]
    miner = _Miner(parts, mining or Mining())
    rows: list[Row] = []
    for done, (recall, answer) in enumerate(heard, 1):
        rows += _rows(recall, answer, parts=parts, miner=miner)
        if progress is not None:
            progress(done, len(heard))
    return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class _Heard:
    """What is known of a recall's outcome."""

    output: str | None
    used: frozenset[UUID]
    score: float | None


def _logged(
    parts: Parts, users: Sequence[str | None] | None, *, since: datetime | None
) -> Iterator[LoggedRecall]:
    after: UUID | None = None
    whose = None if users is None else tuple(users)
    while True:
        page = [
            LoggedRecall.parse(row)
            for row in parts.store.recall_log.recalls(users=whose, after=after, limit=PAGE)
        ]
        yield from (one for one in page if since is None or one.at >= since)
        if len(page) < PAGE:
            return
        after = page[-1].id


def _answer(recall: LoggedRecall, min_score: float) -> _Heard | None:
    """The last output that was received well, and all that such answers used; None where nothing can be learnt."""
    good = [one for one in recall.feedback if one.score is None or one.score >= min_score]
    outputs = [one for one in good if one.output is not None and one.output.strip()]
    used = frozenset(each for one in good for each in one.used)
    if not outputs and not used:
        return None
    last = (outputs or good)[-1]
    return _Heard(output=last.output, used=used, score=last.score)


def _rows(recall: LoggedRecall, answer: _Heard, *, parts: Parts, miner: _Miner) -> Iterator[Row]:
    """One row for each kind that the recall showed something of, or used something of."""
    asked = dict.fromkeys([*(one.record for one in recall.candidates), *sorted(answer.used)])
    now = parts.clock.now()
    there = [record for record in parts.store.records.get(list(asked)) if _is_current(record, now)]
    for kind in recall.kinds:
        shown = [
            replace(_candidate(record, "shown"), positive=record.id in answer.used)
            for record in there
            if record.kind is kind
        ]
        if not shown:
            continue
        task = Task.CONVSEARCH if kind is Kind.DOCUMENT and recall.history else TASK_OF[kind]
        row = Row(
            id=f"{recall.id}/{task.value}", task=task, query=_in_context(recall), asked=recall.query if recall.history else None,
            output=answer.output, candidates=(), history=tuple(recall.history), at=recall.at, user_id=recall.user_id,
            score=answer.score,
        )  # fmt: skip
        found = miner.found(recall, kind)
        chosen = choose(shown, found, query=recall.query, row_id=row.id, mining=miner.mining)
        yield replace(row, candidates=chosen)


def _in_context(recall: LoggedRecall) -> str:
    """The query with the end of the turns before it, as one text."""
    past = "\n".join(recall.history)[-MOST_CONTEXT_CHARS:]
    return f"{past}\n{recall.query}" if past else recall.query


def _is_current(record: Record, now: datetime) -> bool:
    return record.superseded_at is None and (record.expires_at is None or record.expires_at > now)


def _candidate(record: Record, source: str) -> Candidate:
    return Candidate(text=compose(record).line, record=record.id, source=source)


@dataclass(slots=True)
class _Miner:
    """Finds what else could have been recalled, as its user could see it then."""

    parts: Parts
    mining: Mining
    lexical: Bm25Encoder = field(default_factory=Bm25Encoder)
    pools: dict[tuple[str | None, Kind], list[Record]] = field(default_factory=dict)

    def found(self, recall: LoggedRecall, kind: Kind) -> Mapping[str, Sequence[Found]]:
        """By source, best first."""
        wanted = {source for source, count in self.mining.each.items() if count}
        legs = self._legs(recall, kind, wanted)
        serving = self.parts.serving.current()
        request = SearchRequest(
            legs=tuple(legs.values()),
            filter=visible(
                kinds=(kind,), user_id=recall.user_id, agent_id=recall.agent_id, session_id=None,
                at=self.parts.clock.now(), as_of=False, where=None, hasher=self.parts.hasher,
            ),
            limit=self.mining.depth,
            payload=(RECORD, REVISION),
        )  # fmt: skip
        collection = serving.collection(kind, amid=bool(recall.history))
        found: dict[str, Sequence[Found]] = {}
        for source, leg in legs.items():
            (hits,) = self.parts.index.search(collection, [replace(request, legs=(leg,))])
            found[source] = self._as_found(hits[leg.name], source, recall)
        if RANDOM in wanted:
            pool = self._pool(recall.user_id, kind)
            found[RANDOM] = [Found(_candidate(one, RANDOM)) for one in pool if _could_find(one, recall)]
        return found

    def _legs(self, recall: LoggedRecall, kind: Kind, wanted: set[str]) -> dict[str, Leg]:
        """A search by each source: the serving encoder's is left out where it is the store's own."""
        serving = self.parts.serving.current()
        amid = bool(recall.history)
        way = serving.way(kind, user_id=recall.user_id, amid=amid)
        turns = (recall.query, *conversing.considered(recall.history))
        legs: dict[str, Leg] = {}

        def embedded(embedder: Embedder) -> Vector:
            return conversing.mixed(
                embedder.embed(turns, task=serving.task(kind, amid=amid), side=Side.QUERY)
            )

        if ENCODER in wanted and not way.is_own:
            legs[ENCODER] = Leg(name=DENSE_VECTOR, dense=embedded(way.embedder))
        if DENSE in wanted:
            legs[DENSE] = Leg(name=DENSE_VECTOR, dense=embedded(serving.embedder))
        words = conversing.mixed_terms([self.lexical.encode_query(turn) for turn in turns])
        if LEXICAL in wanted and words.indices:
            legs[LEXICAL] = Leg(name=SPARSE, sparse=words)
        return legs

    def _as_found(self, hits: Sequence[PointHit], source: str, recall: LoggedRecall) -> list[Found]:
        """The records of these points, each once, by its best part; what could not be found then is left out."""
        best: dict[UUID, float] = {}
        for hit in hits:
            best.setdefault(record_of(hit.id, hit.payload), hit.score)
        there = self.parts.store.records.get(list(best))
        return [
            Found(_candidate(record, source), best[record.id])
            for record in there
            if _could_find(record, recall)
        ]

    def _pool(self, user_id: str | None, kind: Kind) -> list[Record]:
        key = (user_id, kind)
        if key not in self.pools:
            users = (None,) if user_id is None else (user_id, None)
            where = RecordFilter(users=users, kinds=(kind,), current_only=True)
            self.pools[key] = self.parts.store.records.page(where, limit=POOL, newest_first=True)
        return self.pools[key]


def _could_find(record: Record, recall: LoggedRecall) -> bool:
    """What the truth says of a hit: of this user or shared, of this agent or none, and there when it was asked."""
    return (
        record.user_id in (recall.user_id, None)
        and (recall.agent_id is None or record.agent_id in (recall.agent_id, None))
        and record.created_at <= recall.at
        and record.superseded_at is None
    )
