"""What decides a record's points, read in one snapshot: its revisions, and the turns beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from memsdk.models import Kind, Record
from memsdk.ports import Indexable
from memsdk.records import ledger
from memsdk.records.driven import driver_of
from memsdk.records.rows import PLAIN_SELECT, batches, fetch_past, plain_record
from memsdk.records.schema import outbox

RUN_GAP = 32
"""Turns this close together are read as one run."""

_SESSION = f"{PLAIN_SELECT} WHERE records.session_id = :session AND records.user_id IS :user AND records.kind = 'memory'"
_RUN = f"""
    SELECT * FROM ({_SESSION} AND position < :first ORDER BY position DESC LIMIT :count) UNION ALL
    SELECT * FROM ({_SESSION} AND position BETWEEN :first AND :last) UNION ALL
    SELECT * FROM ({_SESSION} AND position > :last ORDER BY position LIMIT :count)
"""  # noqa: S608 -- made of constants
_LAST = f"{_SESSION} AND position IS NOT NULL ORDER BY position DESC LIMIT :count"
_LAST_ENTRY = (
    sa.select(outbox.c.record_id, sa.func.max(outbox.c.seq))
    .where(outbox.c.record_id.in_(sa.bindparam("ids", expanding=True)))
    .group_by(outbox.c.record_id)
)


def read_states(connection: Connection, ids: Sequence[UUID], *, neighbours: int) -> list[Indexable]:
    """A value a record, in the order asked; one without revisions where the record is gone."""
    wanted = list(dict.fromkeys(ids))
    current, stamps = _current(connection, wanted)
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
            seq=stamps[each][0],
            revisions=(*past.get(each, ()), record),
            before=before,
            after=after,
            points=stamps[each][1],
        )
    return [states[each] for each in ids]


def last_turns(connection: Connection, place: ledger.Place, *, count: int) -> list[Record]:
    """The last `count` turns of a session, in order."""
    user, session = place
    asked = {"user": user, "session": session, "count": count}
    return [plain_record(row) for row in driver_of(connection).execute(_LAST, asked)][::-1]


def by_session(some: Iterable[Record]) -> dict[ledger.Place, list[Record]]:
    """The turns among the records by session, in order."""
    sessions: dict[ledger.Place, list[Record]] = {}
    for record in some:
        if record.kind is Kind.MEMORY and record.session_id is not None and record.position is not None:
            sessions.setdefault((record.user_id, record.session_id), []).append(record)
    for turns in sessions.values():
        turns.sort(key=position_of)
    return sessions


def position_of(turn: Record) -> int:
    """A turn's place in its session."""
    assert turn.position is not None  # turns have one; for the type checker
    return turn.position


def _current(
    connection: Connection, ids: Sequence[UUID]
) -> tuple[dict[UUID, Record], dict[UUID, tuple[int, int]]]:
    """The records that exist, and for each its last outbox entry and its number of points."""
    found, stamps = {}, {}
    for some in batches(ids):
        statement = f"{PLAIN_SELECT} WHERE records.id IN ({', '.join('?' * len(some))})"
        for row in driver_of(connection).execute(statement, [each.hex for each in some]):
            record = plain_record(row)
            found[record.id], stamps[record.id] = record, (row[21], row[22])
    return found, stamps


def _last_entries(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, int]:
    found: dict[UUID, int] = {}
    for some in batches(ids):
        found.update((row[0], row[1]) for row in connection.execute(_LAST_ENTRY, {"ids": list(some)}))
    return found


def _neighbours(
    connection: Connection, some: Sequence[Record], *, count: int
) -> dict[UUID, tuple[tuple[Record, ...], tuple[Record, ...]]]:
    """The turns before and after each of the records that is a turn of a session."""
    known = {record.id.hex: record for record in some}
    found: dict[UUID, tuple[tuple[Record, ...], tuple[Record, ...]]] = {}
    for place, own in by_session(some).items():
        for first, last in _runs([position_of(turn) for turn in own]):
            turns = _read_run(connection, place, first, last, count=count, known=known)
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
    connection: Connection,
    place: ledger.Place,
    first: int,
    last: int,
    *,
    count: int,
    known: Mapping[str, Record],
) -> list[Record]:
    """The turns of a stretch and up to `count` on both sides, in order; those known, by the hex of their ids, as they are."""
    user, session = place
    asked = {"user": user, "session": session, "first": first, "last": last, "count": count}
    rows = driver_of(connection).execute(_RUN, asked)
    turns = [known.get(row[0]) or plain_record(row) for row in rows]
    return sorted(turns, key=lambda turn: turn.position or 0)
