"""End-to-end recall on held-out rows: each row's query asked of the memory itself, as if this or that version served."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np
from uuid_utils.compat import uuid7

from memsdk.models import TASK_OF, Kind, QueryVersion, Record, Scope, Side, Task
from memsdk.ports import Embedder, EmbedderSpec, RecordFilter
from memsdk.querying import QueryVersionsInUse
from memsdk.recalling import Question
from memsdk.trainer.metrics import ndcg_at, recall_at, reciprocal_rank
from memsdk.trainer.problem import right_ones
from memsdk.trainer.rows import Row

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from memsdk.parts import Parts
    from memsdk.spaces import Serving

    Vectors = NDArray[np.float32]

DEPTH = 10
"""How many hits are looked at."""
KIND_OF: Mapping[Task, Kind] = {task: kind for kind, task in TASK_OF.items()} | {
    Task.CONVSEARCH: Kind.DOCUMENT
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One query whose right answers are known."""

    id: str
    query: str
    kind: Kind
    user_id: str | None
    relevant: frozenset[UUID]
    history: tuple[str, ...] = ()  # the turns before it


@dataclass(frozen=True, slots=True)
class Figures:
    """One system's figures, a number a query, 0 to 1."""

    recall_5: tuple[float, ...]
    recall_10: tuple[float, ...]
    ndcg_10: tuple[float, ...]
    mrr_10: tuple[float, ...]

    def means(self) -> dict[str, float]:
        """By the metrics' names."""
        return {
            name: round(float(np.mean(values)), 4)
            for name, values in (
                ("R@5", self.recall_5),
                ("R@10", self.recall_10),
                ("nDCG@10", self.ndcg_10),
                ("MRR@10", self.mrr_10),
            )
        }


def serving_task(task: Task, serving: Serving) -> Task:
    """The task that the store serves a row's query as: where it has no space for conversations, as a lone question's."""
    return serving.task(KIND_OF[task], amid=task is Task.CONVSEARCH)


def askable(rows: Iterable[Row]) -> list[Asked]:
    """The rows whose right answers are records; the others can't be asked."""
    found = []
    for row in rows:
        right = frozenset(each.record for each in right_ones(row) if each.record is not None)
        if right:
            kind = KIND_OF[row.task]
            found.append(
                Asked(
                    id=row.id, query=row.asked or row.query, history=row.history if row.asked else (), kind=kind,
                    user_id=row.user_id, relevant=right,
                )
            )  # fmt: skip
    return found


def ask(parts: Parts, questions: Sequence[Asked], *, serving: Serving) -> list[list[UUID]]:
    """The ids of each query's hits, best first, as this serving finds them. Nothing is logged."""
    lists = []
    for asked in questions:
        question = Question(
            query=asked.query,
            history=asked.history,
            scope=Scope(user_id=asked.user_id),
            kinds=(asked.kind,),
            k=DEPTH,
        )
        recall, _ = parts.recaller.recall(question, id=uuid7(), serving=serving)
        lists.append([hit.id for hit in recall])
    return lists


def latest(parts: Parts, questions: Sequence[Asked]) -> list[list[UUID]]:
    """The baseline that knows nothing: the newest records that the user may see."""
    known: dict[tuple[Kind, str | None], list[UUID]] = {}
    for asked in questions:
        key = (asked.kind, asked.user_id)
        if key not in known:
            users = tuple(dict.fromkeys((asked.user_id, None)))
            where = RecordFilter(users=users, kinds=(asked.kind,), current_only=True)
            newest: list[Record] = parts.store.records.page(where, limit=DEPTH, newest_first=True)
            known[key] = [record.id for record in newest]
    return [known[asked.kind, asked.user_id] for asked in questions]


def figures(lists: Sequence[Sequence[UUID]], questions: Sequence[Asked]) -> Figures:
    """The metrics of each list."""
    pairs = [(list(found), asked.relevant) for found, asked in zip(lists, questions, strict=True)]

    def each(metric: Callable[[list[UUID], frozenset[UUID]], float]) -> tuple[float, ...]:
        return tuple(metric(found, relevant) for found, relevant in pairs)

    return Figures(
        recall_5=each(lambda found, relevant: recall_at(found, relevant, k=5)),
        recall_10=each(lambda found, relevant: recall_at(found, relevant, k=10)),
        ndcg_10=each(lambda found, relevant: ndcg_at(found, relevant, k=10)),
        mrr_10=each(lambda found, relevant: reciprocal_rank(found[:DEPTH], relevant)),
    )


class Remembering:
    """Implements Embedder: each query is embedded once, as several systems are asked the same."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._known: dict[tuple[str, Task, Side], Vectors] = {}

    @property
    def spec(self) -> EmbedderSpec:
        """The embedder's own."""
        return self._embedder.spec

    def embed(self, texts: Sequence[str], *, task: Task, side: Side) -> Vectors:
        """As the embedder does; what was asked before is remembered."""
        missing = [text for text in dict.fromkeys(texts) if (text, task, side) not in self._known]
        if missing:
            vectors = self._embedder.embed(missing, task=task, side=side)
            self._known.update(((text, task, side), row) for text, row in zip(missing, vectors, strict=True))
        return np.stack([self._known[text, task, side] for text in texts])

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """As the embedder does."""
        return self._embedder.count_tokens(texts)


def as_now(serving: Serving) -> Serving:
    """What serves now, with an embedder that remembers."""
    return replace(serving, embedder=Remembering(serving.embedder))


def lexical_only(serving: Serving, task: Task) -> Serving:
    """The baseline of words alone: BM25 over the same records, for everybody."""
    version = trial("bm25", task=task, serving=serving, dense_weight=0.0)
    embedder = serving.embedder
    return replace(serving, versions=QueryVersionsInUse([version], load=lambda wanted, base: embedder))


def trial(
    name: str, *, task: Task, serving: Serving, dense_weight: float | None, user_id: str | None = None
) -> QueryVersion:
    """A version that is only tried out."""
    return QueryVersion(
        id=name, tier="t0", task=task, user_id=user_id, fingerprint=serving.spaces[task].fingerprint,
        dense_weight=dense_weight, created_at=datetime.now(UTC),
    )  # fmt: skip


def best_share(
    parts: Parts,
    questions: Sequence[Asked],
    *,
    serving: Serving,
    embedder: Embedder,
    task: Task,
    user_id: str | None,
    usual: float | None,
    shares: Sequence[float | None] = (None, 0.35, 0.65, 0.8),
    margin: float = 0.005,
) -> float | None:
    """The dense leg's share in fusion that suits this encoder; the usual one unless another is better by `margin`."""
    quality: dict[float | None, float] = {}
    for share in dict.fromkeys((usual, *shares)):
        version = trial("trial", task=task, serving=serving, dense_weight=share, user_id=user_id)
        lists = ask(parts, questions, serving=serving.trying(version, embedder))
        quality[share] = float(np.mean(figures(lists, questions).ndcg_10)) if questions else 0.0
    best = max(quality, key=lambda share: quality[share])
    return best if quality[best] >= quality[usual] + margin else usual
