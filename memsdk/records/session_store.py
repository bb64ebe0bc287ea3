"""The `Sessions` port: conversations, as the records' session labels draw them."""

from __future__ import annotations

import builtins  # a method named `list` hides the type

import sqlalchemy as sa

from memsdk.models import Kind, Record, Session
from memsdk.ports import Clock, Whose
from memsdk.records.database import Database
from memsdk.records.rows import SELECT_RECORDS, to_record
from memsdk.records.schema import records
from memsdk.records.where import one_of

_SAID = records.c.kind != Kind.PASSAGE.value  # there the label names a stream


class SqlSessions:
    """Sessions in SQL; see `memsdk.ports.Sessions`. What has expired is left out."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def list(self, *, users: Whose, agents: Whose = None, limit: int) -> builtins.list[Session]:
        """Sessions, the latest first."""
        columns = records.c
        last = sa.func.max(columns.occurred_at, type_=columns.occurred_at.type)
        statement = (
            sa.select(
                columns.session_id,
                columns.user_id,
                sa.func.count().label("records"),
                sa.func.min(columns.occurred_at, type_=columns.occurred_at.type).label("started_at"),
                last.label("last_at"),
            )
            .where(
                columns.session_id.is_not(None),
                _SAID,
                self._unexpired(),
                *one_of(columns.user_id, users),
                *one_of(columns.agent_id, agents),
            )
            .group_by(columns.user_id, columns.session_id)
            .order_by(last.desc(), columns.session_id)
            .limit(limit)
        )
        with self._database.read() as connection:
            return [Session.model_validate(dict(row)) for row in connection.execute(statement).mappings()]

    def transcript(
        self, session_id: str, *, users: Whose, agents: Whose = None, last: int | None
    ) -> builtins.list[Record]:
        """A session's records in their order; the last so many."""
        columns = records.c
        statement = (
            SELECT_RECORDS.where(
                columns.session_id == session_id,
                _SAID,
                self._unexpired(),
                *one_of(columns.user_id, users),
                *one_of(columns.agent_id, agents),
            )
            .order_by(columns.user_id.desc(), columns.position.desc(), columns.id.desc())
            .limit(last)
        )
        with self._database.read() as connection:
            return [to_record(row) for row in reversed(connection.execute(statement).all())]

    def _unexpired(self) -> sa.ColumnElement[bool]:
        return sa.or_(records.c.expires_at.is_(None), records.c.expires_at > self._clock.now())
