"""One open store: the recall log, the care of the database, and all parts together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol
from uuid import UUID

from pydantic import JsonValue

from memsdk.models import Kind, Metadata, Scope
from memsdk.ports.outbox import Outbox, OutboxCare, OutboxState, Spaces
from memsdk.ports.passages import Passages
from memsdk.ports.records import Change, Documents, Eraser, RecordFilter, Records, Sessions
from memsdk.ports.rewards import RewardCache
from memsdk.ports.versions import QueryVersions, TrainingRuns


class Clock(Protocol):
    """The time, so that tests can set it."""

    def now(self) -> datetime:
        """The current time, aware, in UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallEntry:
    """One answered query, as it is logged."""

    id: UUID
    query: str
    scope: Scope
    at: datetime
    fingerprint: str
    query_version: str
    kinds: tuple[Kind, ...]
    k: int
    candidates: tuple[
        tuple[UUID, int, float, Mapping[str, float]], ...
    ]  # record, rank, score, the legs' scores
    history: tuple[str, ...] = ()  # the turns before the query, as far as they counted


class RecallLog(Protocol):
    """What was asked, what was found, and how that was received: the raw material of training."""

    def log(self, entries: Sequence[RecallEntry]) -> None:
        """Write them in one transaction; candidates that were forgotten meanwhile are left out."""

    def feedback(self, recall_id: UUID, *, output: str | None, score: float | None,
                 used: Sequence[UUID], metadata: Metadata, visible: RecordFilter) -> UUID:  # fmt: skip
        """File what became of a recall. Raises NotFoundError."""

    def recalls(self, *, users: tuple[str | None, ...] | None, after: UUID | None, limit: int,
                ) -> list[dict[str, JsonValue]]:  # fmt: skip
        """Recalls with candidates and feedback as plain data, oldest first (export and training)."""

    def restore(self, rows: Sequence[Mapping[str, JsonValue]]) -> int:
        """Write back what `recalls` gave, skipping what is there; returns how many were new."""


class StoreAdmin(Protocol):
    """The care of the store."""

    def secret(self) -> bytes:
        """The key of this store's hashes: 32 bytes made once."""

    def counts(self) -> dict[str, JsonValue]:
        """Records by kind, users, sessions, documents, recalls, feedback, pending, schema_revision."""

    def backup(self, path: Path, *, progress: Callable[[int, int], None] | None = None) -> None:
        """Copy the database into this folder, which exists, while others write."""

    def check(self) -> list[str]:
        """What the database's own integrity check complains of; empty when it is sound."""


class Transfer(Protocol):
    """The store as plain rows and back."""

    def dump(self, *, users: tuple[str | None, ...] | None) -> Iterator[dict[str, JsonValue]]:
        """Every document, record (all revisions, times, counts, links) and recall with feedback; `type` names which."""

    def load(self, rows: Sequence[Mapping[str, JsonValue]], *, owner: str | None,
             ) -> tuple[dict[str, int], list[Change]]:  # fmt: skip
        """Write back rows of `dump` in one transaction, leaving what is there; new ones by type, and their entries.

        Raises InvalidInputError for a row that lacks a field or has one of the wrong type; then nothing is written.
        """


class Store(Protocol):
    """The parts of one open store, each behind its own port. `close` lets go of the database."""

    @property
    def token(self) -> str:
        """Names this open store, in this process, as the owner of what it claims."""

    records: Records
    outbox: Outbox
    outbox_state: OutboxState
    outbox_care: OutboxCare
    eraser: Eraser
    recall_log: RecallLog
    documents: Documents
    passages: Passages
    sessions: Sessions
    spaces: Spaces
    admin: StoreAdmin
    transfer: Transfer
    rewards: RewardCache
    versions: QueryVersions
    runs: TrainingRuns

    def close(self) -> None:
        """Let go of the database. Twice is once."""
