"""What a version must not unlearn: a small set shipped with memsdk, and the store's own texts asked for by a part of them.

Neither knows anything of the feedback, so no feedback, random or hostile, can bend them. The store's part is frozen at
the first run of a task: ids and places are kept, never a text; what is forgotten since drops out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np

from memsdk.models import Kind, Record, Side, Task
from memsdk.ports import Embedder, RecordFilter
from memsdk.trainer.evaluate import KIND_OF, Asked, ask
from memsdk.trainer.metrics import ndcg_at

if TYPE_CHECKING:
    from memsdk.parts import Parts
    from memsdk.spaces import Serving

SHIPPED = "guard.jsonl"
FEWEST_WORDS = 6
"""Of a record that can be asked for by a part of itself."""
MOST = 100
PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloze:
    """A stored record and the words of it that ask for it: from the first to before the last."""

    record: UUID
    first: int
    last: int


def shipped_quality(embedder: Embedder, *, task: Task, base: Embedder) -> list[float]:
    """nDCG@10 of each shipped question by dense search among the shipped texts, which the base embeds."""
    lines = files("memsdk.trainer").joinpath(SHIPPED).read_text(encoding="utf-8").splitlines()
    pairs = [json.loads(line) for line in lines if line]
    keys = base.embed([pair["text"] for pair in pairs], task=task, side=Side.KEY)
    queries = embedder.embed([pair["query"] for pair in pairs], task=task, side=Side.QUERY)
    order = np.argsort(-(queries @ keys.T), axis=1, kind="stable")[:, :10]
    return [ndcg_at(row.tolist(), {number}, k=10) for number, row in enumerate(order)]


def draw_clozes(parts: Parts, *, task: Task, user_id: str | None, seed: int) -> list[Cloze]:
    """A hundred records of the task, and a third of the words of each."""
    users = None if user_id is None else (user_id, None)
    where = RecordFilter(users=users, kinds=(KIND_OF[task],), current_only=True)
    found: list[Record] = []
    after: UUID | None = None
    while page := parts.store.records.page(where, limit=PAGE, after=after):
        found += [record for record in page if len(record.text.split()) >= FEWEST_WORDS]
        after = page[-1].id
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(found))[:MOST].tolist()
    clozes = []
    for record in (found[at] for at in sorted(chosen)):
        count = len(record.text.split())
        length = max(3, min(count // 3, 24))
        first = int(rng.integers(0, count - length + 1))
        clozes.append(Cloze(record=record.id, first=first, last=first + length))
    return clozes


def questions(parts: Parts, clozes: Sequence[Cloze]) -> list[Asked]:
    """The clozes whose records are still there, as queries of those records' users."""
    records = {record.id: record for record in parts.store.records.get([cloze.record for cloze in clozes])}
    asked = []
    for cloze in clozes:
        record = records.get(cloze.record)
        words = [] if record is None else record.text.split()
        if record is not None and len(words) >= cloze.last and record.superseded_at is None:
            query = " ".join(words[cloze.first : cloze.last])
            asked.append(_asked(record.id, query, record.kind, record.user_id))
    return asked


def cloze_quality(parts: Parts, asked: Sequence[Asked], *, serving: Serving) -> list[float]:
    """nDCG@10 of each, by the memory's own recall."""
    lists = ask(parts, asked, serving=serving)
    return [ndcg_at(found, one.relevant, k=10) for found, one in zip(lists, asked, strict=True)]


def _asked(id: UUID, query: str, kind: Kind, user_id: str | None) -> Asked:
    return Asked(id=str(id), query=query, kind=kind, user_id=user_id, relevant=frozenset({id}))
