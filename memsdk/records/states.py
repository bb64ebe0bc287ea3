"""What decides a record's points, read in one snapshot: its revisions, and the turns beside it."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from memsdk.models import Kind, Record
from memsdk.ports import Indexable
from memsdk.records import ledger
from memsdk.records.rows import SELECT_RECORDS, batches, fetch_past, fetch_rows, to_record
from memsdk.records.schema import outbox, records

RUN_GAP = 32
"""Turns this close together are read as one run."""

_SESSION = SELECT_RECORDS.where(
    records.c.session_id == sa.bindparam("session"),
    records.c.user_id.is_not_distinct_from(sa.bindparam("user", type_=sa.String)),
    records.c.kind == Kind.MEMORY.value,
)
_WITHIN = _SESSION.where(records.c.position.between(sa.bindparam("first"), sa.bindparam("last"))).order_by(
    records.c.position
)
_EARLIER = (
    _SESSION.where(records.c.position < sa.bindparam("first"))
    .order_by(records.c.position.desc())
    .limit(sa.bindparam("count"))
)
_LATER = (
    _SESSION.where(records.c.position > sa.bindparam("last"))
    .order_by(records.c.position)
    .limit(sa.bindparam("count"))
)
_LAST_ENTRY = (
    sa.select(outbox.c.record_id, sa.func.max(outbox.c.seq))
    .where(outbox.c.record_id.in_(sa.bindparam("ids", expanding=True)))
    .group_by(outbox.c.record_id)
)


def read_states(connection: Connection, ids: Sequence[UUID], *, neighbours: int) -> list[Indexable]:
    """A value a record, in the order asked; one without revisions where the record is gone."""
    wanted = list(dict.fromkeys(ids))
    rows = fetch_rows(connection, wanted)
    current = {each: to_record(row) for each, row in rows.items()}
    past = fetch_past(connection, wanted, current)
    around = _neighbours(connection, list(current.values()), count=neighbours) if neighbours else {}
    gone = _last_entries(connection, [each for each in wanted if each not in current])
    states = {
        each: Indexable(id=each, seq=gone.get(each, 0), revisions=())
        for each in wanted
        if each not in current
    }
    for each, record in current.items():
        before, after = around.get(each, ((), ()))
        states[each] = Indexable(
            id=each,
            seq=rows[each].index_seq,
            revisions=(*past.get(each, ()), record),
            before=before,
            after=after,
            points=rows[each].points,
        )
    return [states[each] for each in ids]


def _last_entries(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, int]:
    found: dict[UUID, int] = {}
    for some in batches(ids):
        found.update((row[0], row[1]) for row in connection.execute(_LAST_ENTRY, {"ids": list(some)}))
    return found


def _neighbours(
    connection: Connection, some: Sequence[Record], *, count: int
) -> dict[UUID, tuple[tuple[Record, ...], tuple[Record, ...]]]:
    """The turns before and after each of the records that is a turn of a session."""
    places = ledger.by_place(
        ((record.user_id, record.session_id), record.position)
        for record in some
        if record.kind is Kind.MEMORY and record.session_id is not None and record.position is not None
    )
    found: dict[UUID, tuple[tuple[Record, ...], tuple[Record, ...]]] = {}
    for place, positions in places.items():
        for first, last in _runs(positions):
            turns = _read_run(connection, place, first, last, count=count)
            for at, turn in enumerate(turns):
                if turn.position is not None and first <= turn.position <= last:
                    found[turn.id] = (
                        tuple(turns[max(0, at - count) : at]),
                        tuple(turns[at + 1 : at + 1 + count]),
                    )
    return found


def _runs(positions: Sequence[int]) -> list[tuple[int, int]]:
    """Sorted positions as stretches (first, last) without large gaps."""
    runs: list[tuple[int, int]] = []
    for position in positions:
        if runs and position - runs[-1][1] <= RUN_GAP:
            runs[-1] = (runs[-1][0], position)
        else:
            runs.append((position, position))
    return runs


def _read_run(
    connection: Connection, place: ledger.Place, first: int, last: int, *, count: int
) -> list[Record]:
    """The turns of a stretch and up to `count` on both sides, in order."""
    user, session = place
    whose = {"user": user, "session": session}
    earlier = connection.execute(_EARLIER, {**whose, "first": first, "count": count}).all()
    within = connection.execute(_WITHIN, {**whose, "first": first, "last": last}).all()
    later = connection.execute(_LATER, {**whose, "last": last, "count": count}).all()
    return [to_record(row) for row in (*earlier[::-1], *within, *later)]
