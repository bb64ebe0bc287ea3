"""`RecordFilter` as SQL, and the streaming of what it means; metadata conditions are asked in Python."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from memsdk.filters import matches
from memsdk.models import Record
from memsdk.payloads import filterable
from memsdk.ports import RecordFilter
from memsdk.records.rows import SELECT_RECORDS, to_record
from memsdk.records.schema import records

CHUNK = 500
Condition = sa.ColumnElement[bool]


def one_of(column: sa.ColumnElement[str], values: Sequence[str | None] | None) -> list[Condition]:
    """The column holds one of the values, where a None among them means null; nothing for None."""
    if values is None:
        return []
    named = [value for value in values if value is not None]
    either: list[Condition] = (
        [column == named[0]] if len(named) == 1 else [column.in_(named)] if named else []
    )
    if None in values:
        either.append(column.is_(None))
    return [sa.or_(*either) if either else sa.false()]


def conditions(where: RecordFilter, *, now: datetime) -> list[Condition]:
    """All of the filter but its metadata."""
    columns = records.c
    found = one_of(columns.user_id, where.users) + one_of(columns.agent_id, where.agents)
    if where.ids is not None:
        found.append(columns.id == where.ids[0] if len(where.ids) == 1 else columns.id.in_(where.ids))
    if where.session_id is not None:
        found.append(columns.session_id == where.session_id)
    if where.kinds is not None:
        found.append(columns.kind.in_([kind.value for kind in where.kinds]))
    if where.source_id is not None:
        found.append(columns.source_id == where.source_id)
    if where.before is not None:
        found.append(columns.created_at < where.before)
    if where.current_only:
        found.append(columns.superseded_at.is_(None))
        found.append(sa.or_(columns.expires_at.is_(None), columns.expires_at > now))
    return found


def admits(where: RecordFilter, record: Record) -> bool:
    """Whether the record meets the filter's metadata condition."""
    return where.metadata is None or matches(where.metadata, filterable(record))


def stream(
    connection: Connection, where: RecordFilter, *, now: datetime, after: UUID | None = None, newest_first: bool = False,
    chunk: int = CHUNK,
) -> Iterator[Record]:  # fmt: skip
    """Every record that the filter means, by id, beyond `after`; read chunk by chunk."""
    order = records.c.id.desc() if newest_first else records.c.id
    statement = SELECT_RECORDS.where(*conditions(where, now=now)).order_by(order).limit(chunk)
    while True:
        beyond = [] if after is None else [records.c.id < after if newest_first else records.c.id > after]
        rows = connection.execute(statement.where(*beyond)).all()
        for row in rows:
            record = to_record(row)
            if admits(where, record):
                yield record
        if len(rows) < chunk:
            return
        after = rows[-1].id
