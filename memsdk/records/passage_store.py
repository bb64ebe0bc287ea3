"""The `Passages` port: the chunks of growing texts, by stream."""

from __future__ import annotations

import builtins  # a method named `list` hides the type
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from memsdk.models import Draft, Kind, Record, Scope, Stream
from memsdk.ports import Change, Clock, Tail, Whose, Written
from memsdk.records.adding import add_drafts
from memsdk.records.database import Database
from memsdk.records.erasing import erase_records, leaving_ids
from memsdk.records.rows import BATCH, SELECT_RECORDS, AnyRow, Keys, to_record
from memsdk.records.schema import records
from memsdk.records.where import one_of

_PASSAGES = records.c.kind == Kind.PASSAGE.value


class SqlPassages:
    """Streams in SQL; see `memsdk.ports.Passages`."""

    def __init__(self, database: Database, *, keys: Keys, clock: Clock) -> None:
        self._database, self._keys, self._clock = database, keys, clock

    def list(
        self, *, users: Whose, agents: Whose = None, name: str | None = None, limit: int
    ) -> builtins.list[Stream]:
        """Streams, the one that grew last first."""
        columns = records.c
        grew = sa.func.max(columns.created_at, type_=columns.created_at.type)
        named = [] if name is None else [columns.session_id == name]
        statement = (
            sa.select(
                columns.session_id,
                columns.user_id,
                columns.agent_id,
                sa.func.count().label("chunks"),
                sa.func.min(columns.occurred_at, type_=columns.occurred_at.type).label("started_at"),
                grew.label("grew_at"),
            )
            .where(_PASSAGES, *named, *one_of(columns.user_id, users), *one_of(columns.agent_id, agents))
            .group_by(columns.session_id, columns.user_id, columns.agent_id)
            .order_by(grew.desc(), columns.session_id)
            .limit(limit)
        )
        with self._database.read() as connection:
            return [_stream(connection, row) for row in connection.execute(statement)]

    def last(self, scope: Scope, *, count: int, before: int | None = None) -> builtins.list[Record]:
        """The last chunks of exactly that scope's stream, in order."""
        with self._database.read() as connection:
            return _last(connection, scope, count=count, before=before)

    def at(self, scope: Scope, positions: Sequence[int]) -> builtins.list[Record]:
        """The chunks at these positions, in order."""
        wanted, found = sorted(set(positions)), []
        with self._database.read() as connection:
            for start in range(0, len(wanted), BATCH):
                some = records.c.position.in_(wanted[start : start + BATCH])
                statement = SELECT_RECORDS.where(*_of(scope), some).order_by(records.c.position)
                found += [to_record(row) for row in connection.execute(statement)]
        return found

    def extend(
        self, tail: Tail, drafts: Sequence[Draft], *, owner: str | None
    ) -> tuple[builtins.list[Written], builtins.list[Change]] | None:
        """Put these chunks in the place of the replaced ones; None where another writer was first."""
        with self._database.write() as connection:
            end = _last(connection, tail.scope, count=1)
            if (end[0].id if end else None) != tail.last:
                return None
            _, gone = erase_records(
                connection, leaving_ids(connection, tail.replaced), owner=owner, neighbours=0
            )
            written = add_drafts(
                connection, drafts, keys=self._keys, now=self._clock.now(), owner=owner, neighbours=0
            )
            return written, gone


def _of(scope: Scope) -> list[sa.ColumnElement[bool]]:
    columns = records.c
    return [
        _PASSAGES,
        columns.session_id == scope.session_id,
        columns.user_id.is_not_distinct_from(scope.user_id),
        columns.agent_id.is_not_distinct_from(scope.agent_id),
    ]


def _last(connection: Connection, scope: Scope, *, count: int, before: int | None = None) -> list[Record]:
    earlier = [] if before is None else [records.c.position < before]
    statement = SELECT_RECORDS.where(*_of(scope), *earlier).order_by(records.c.position.desc()).limit(count)
    return [to_record(row) for row in connection.execute(statement)][::-1]


def _stream(connection: Connection, row: AnyRow) -> Stream:
    scope = Scope(user_id=row.user_id, agent_id=row.agent_id, session_id=row.session_id)
    (end,) = _last(connection, scope, count=1)
    return Stream(
        name=row.session_id, user_id=row.user_id, agent_id=row.agent_id, chunks=row.chunks,
        chars=int(str(end.data.get("start", 0))) + len(end.text), started_at=row.started_at, grew_at=row.grew_at,
    )  # fmt: skip
