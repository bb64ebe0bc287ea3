"""The training row: one query, what was wanted, and the candidates for it. Plain values; `jsonl` reads and writes them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from memsdk.models import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One text that could have been recalled for a row's query."""

    text: str  # as it is indexed (composed), without a prefix
    record: UUID | None = None  # None: it came from a file and lies in no store
    reward: float | None = None  # higher is better, comparable within one row only; None: not scored
    positive: bool = False  # known to be right: labelled so, or named in `feedback(used=...)`
    source: str = "given"  # how it came into the row: shown, dense, bm25, random, given


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One training example: a query with its candidates and the output that was wanted."""

    id: str
    task: Task
    query: str  # as it is embedded: with its context, without a prefix
    output: str | None  # what the agent should have said or done; None: only labels are known
    candidates: tuple[Candidate, ...]
    history: tuple[str, ...] = ()  # the turns before the query, oldest first
    at: datetime | None = None  # when it was asked; None: unknown
    user_id: str | None = None
    asked: str | None = None  # the query alone, where `query` has its history before it
    score: float | None = None  # how the output was received, 0 to 1
