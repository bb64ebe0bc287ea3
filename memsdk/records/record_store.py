"""The `Records` port: adding, revising, reading."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from uuid import UUID

from sqlalchemy.engine import Connection

from memsdk.errors import NotFoundError
from memsdk.models import Draft, Metadata, Record, Traits
from memsdk.ports import Clock, RecordFilter, Written
from memsdk.records.adding import add_drafts
from memsdk.records.database import Database
from memsdk.records.revising import Revision, revise
from memsdk.records.rows import (
    Keys,
    as_draft,
    canonical,
    extra_of_record,
    fetch_past,
    fetch_records,
    fetch_rows,
    to_record,
)
from memsdk.records.traits import fetch_traits
from memsdk.records.where import CHUNK, stream


class SqlRecords:
    """Records in SQL; see `memsdk.ports.Records`."""

    def __init__(self, database: Database, *, keys: Keys, clock: Clock, neighbours: int) -> None:
        self._database, self._keys, self._clock, self._neighbours = database, keys, clock, neighbours

    def add(
        self,
        drafts: Sequence[Draft],
        *,
        owner: str | None,
        before_commit: Callable[[Sequence[Written]], None] | None = None,
    ) -> list[Written]:
        """Store the drafts in one transaction; see the port."""
        if not drafts:
            return []
        with self._database.write() as connection:
            written = add_drafts(
                connection,
                drafts,
                keys=self._keys,
                now=self._clock.now(),
                owner=owner,
                neighbours=self._neighbours,
            )
            if before_commit is not None:
                before_commit(written)
            return written

    def update(
        self, id: UUID, *, visible: RecordFilter, owner: str | None, text: str | None = None,
        metadata: Metadata | None = None, occurred_at: datetime | None = None, expires_at: datetime | None = None,
    ) -> Written:  # fmt: skip
        """Write a new revision; None leaves a field as it is, and changing nothing writes nothing."""
        with self._database.write() as connection:
            now = self._clock.now()
            record = self._visible(connection, id, visible, now=now)
            changed = record.model_copy(
                update={
                    "text": record.text if text is None else text,
                    "metadata": record.metadata if metadata is None else dict(metadata),
                    "occurred_at": occurred_at or record.occurred_at,
                    "expires_at": expires_at or record.expires_at,
                }
            )
            if _same(record, changed):
                return Written(record=record, outcome="unchanged", seq=None)
            revision = Revision(
                text=changed.text,
                extra=extra_of_record(changed),
                columns={
                    "occurred_at": changed.occurred_at,
                    "expires_at": changed.expires_at,
                    "content_key": self._keys.content(as_draft(changed)),
                },
                recomposes=(record.text, record.occurred_at) != (changed.text, changed.occurred_at),
            )
            seq = revise(connection, record, revision, now=now, owner=owner, neighbours=self._neighbours)
            after = to_record(fetch_rows(connection, [id])[id])
            return Written(record=after, outcome="updated", seq=seq)

    def get(self, ids: Sequence[UUID]) -> list[Record]:
        """The records that exist, in the order asked."""
        found = fetch_records(self._database, ids)
        return [found[each] for each in ids if each in found]

    def traits(self, ids: Sequence[str]) -> tuple[dict[str, Traits], int]:
        """What ranking asks of records, by their ids' hex digits, and the epoch; see the port."""
        return fetch_traits(self._database, ids)

    def page(
        self, where: RecordFilter, *, limit: int, after: UUID | None = None, newest_first: bool = False
    ) -> list[Record]:
        """Up to `limit` records by id (so by time), beyond `after`."""
        now, chunk = self._clock.now(), CHUNK if where.metadata is not None else min(limit, CHUNK)
        with self._database.read() as connection:
            found = stream(
                connection, where, now=now, after=after, newest_first=newest_first, chunk=max(chunk, 1)
            )
            return list(islice(found, limit))

    def history(self, id: UUID) -> list[Record]:
        """Every revision, oldest first. Raises NotFoundError."""
        with self._database.read() as connection:
            rows = fetch_rows(connection, [id])
            if id not in rows:
                raise _missing(id)
            current = to_record(rows[id])
            return [*fetch_past(connection, [id], {id: current}).get(id, []), current]

    def _visible(self, connection: Connection, id: UUID, visible: RecordFilter, *, now: datetime) -> Record:
        """The record, if the caller may see it; else as if it did not exist."""
        wanted = replace(visible, ids=(id,) if visible.ids is None or id in visible.ids else ())
        for record in stream(connection, wanted, now=now, chunk=1):
            return record
        raise _missing(id)


def _missing(id: UUID) -> NotFoundError:
    return NotFoundError(f"no record {id} here; `list` shows the records there are")


def _same(one: Record, other: Record) -> bool:
    return (one.text, one.occurred_at, one.expires_at) == (
        other.text, other.occurred_at, other.expires_at,
    ) and canonical(one.metadata) == canonical(other.metadata)  # fmt: skip
