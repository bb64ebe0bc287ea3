"""The truth: records, documents, sessions, and how they are forgotten."""

from __future__ import annotations

import builtins  # a method named `list` hides the type
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from memsdk.filters import Filter
from memsdk.models import Document, Draft, Forgotten, Kind, Metadata, Record, Scope, Session, Traits


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFilter:
    """Which records a listing, an export or a `forget` means; conditions are joined by and.

    `users`: None for every user's; else the user ids, where a None among them stands for shared records.
    """

    ids: tuple[UUID, ...] | None = None
    users: tuple[str | None, ...] | None = None
    agents: tuple[str | None, ...] | None = None
    session_id: str | None = None
    kinds: tuple[Kind, ...] | None = None
    source_id: UUID | None = None
    before: datetime | None = None  # created before
    metadata: Filter | None = None
    current_only: bool = False  # neither superseded nor expired


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What `add` or `update` did with one draft."""

    record: Record
    outcome: str  # "added", "updated", "unchanged"
    seq: int | None  # its outbox entry, claimed by the writer; None where nothing is to be indexed
    state: Indexable | None = None  # what is to be indexed, where that is known: it is not read again


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexable:
    """All that decides a record's points: its revisions and its neighbours, of one snapshot."""

    id: UUID
    seq: int  # the last outbox entry that touched it: a stamp of this state
    revisions: tuple[Record, ...]  # oldest first; empty where the record is gone
    before: tuple[Record, ...] = ()  # the turns before it in its session, oldest first
    after: tuple[Record, ...] = ()
    points: int = (
        1  # how many points it had when last indexed; before that 1, as nearly every record then has
    )


@dataclass(frozen=True, slots=True)
class Change:
    """An outbox entry: this record changed."""

    seq: int
    record: UUID
    state: Indexable | None = field(default=None, compare=False, repr=False)
    """What is to be indexed of a record that came with this entry, where that is known: it is not read again."""


class Records(Protocol):
    """The records themselves. Every write puts the outbox entries of what it changes in its own transaction."""

    def add(
        self,
        drafts: Sequence[Draft],
        *,
        owner: str | None,
        before_commit: Callable[[Sequence[Written]], None] | None = None,
    ) -> list[Written]:
        """Store the drafts in one transaction, each as new, as an update of its external id, or as seen again.

        The outbox entries of the records themselves are claimed by `owner`; those of neighbours by nobody.

        Args:
            before_commit: told what will be returned, so that work on it can begin while the disk is waited for. The transaction
                is open: it must not write to the store.
        """

    def update(
        self, id: UUID, *, visible: RecordFilter, owner: str | None, text: str | None = None,
        metadata: Metadata | None = None, occurred_at: datetime | None = None, expires_at: datetime | None = None,
    ) -> Written:  # fmt: skip
        """Write a new revision; None leaves a field as it is. Raises NotFoundError."""

    def get(self, ids: Sequence[UUID]) -> list[Record]:
        """The records that exist, in the order asked."""

    def traits(self, ids: Sequence[str]) -> tuple[dict[str, Traits], int]:
        """What ranking asks of records, by the hex digits of their ids, those that are gone left out; and `Spaces.epoch` then."""

    def page(
        self, where: RecordFilter, *, limit: int, after: UUID | None = None, newest_first: bool = False
    ) -> list[Record]:
        """Up to `limit` records by id (so by time), beyond `after`."""

    def history(self, id: UUID) -> list[Record]:
        """Every revision, oldest first. Raises NotFoundError."""


Whose = tuple[str | None, ...] | None
"""The ids that are meant, a None among them for records without one; None alone means all."""


class Documents(Protocol):
    """The ingested sources. Their chunks are records of kind `document` with this source id."""

    def find(self, *, key: str, scope: Scope) -> Document | None:
        """The source with that key in exactly that scope."""

    def replace(self, document: Document, *, chunks: Sequence[Draft], owner: str | None,
                ) -> tuple[Document, builtins.list[Written], int, builtins.list[Change]]:  # fmt: skip
        """Make the source's chunks equal to these in one transaction.

        Chunks whose text, section and title did not change stay the records they are. Returns the document as stored,
        what was written, how many chunks were removed, and the outbox entries of the removed ones.
        """

    def list(
        self, *, users: Whose, agents: Whose = None, limit: int, after: UUID | None
    ) -> builtins.list[Document]:
        """Sources by id, beyond `after`."""

    def remove(self, id: UUID, *, users: Whose, agents: Whose = None, owner: str | None,
               ) -> tuple[Forgotten, builtins.list[Change]]:  # fmt: skip
        """Erase a source and its chunks. Raises NotFoundError."""


class Sessions(Protocol):
    """Conversations, as the records' session labels draw them."""

    def list(self, *, users: Whose, agents: Whose = None, limit: int) -> list[Session]:
        """Sessions, the latest first."""

    def transcript(
        self, session_id: str, *, users: Whose, agents: Whose = None, last: int | None
    ) -> builtins.list[Record]:
        """A session's records in their order; the last so many."""


class Eraser(Protocol):
    """Forgetting, so that no byte stays."""

    def forget(self, where: RecordFilter, *, owner: str | None) -> tuple[Forgotten, list[Change]]:
        """Erase the records, their revisions, recalls and feedback; returns the receipt and the outbox entries."""

    def forget_users(self, users: Sequence[str], *, owner: str | None) -> tuple[Forgotten, list[Change]]:
        """All that a user ever said or asked: records, documents, recalls, feedback."""

    def expire(self, *, now: datetime, recalls_before: datetime | None, owner: str | None,
               ) -> tuple[Forgotten, list[Change]]:  # fmt: skip
        """Erase what has expired, and recalls older than the log's retention."""

    def scrub(self) -> bool:
        """Truncate the write-ahead log, retrying while readers hold it; True once nothing is left in it."""
