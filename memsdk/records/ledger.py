"""Steps inside a write transaction that several stores share: numbers, texts, outbox entries, neighbours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import cast
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from memsdk.models import Kind
from memsdk.ports import Change
from memsdk.records.driven import Row, Statement
from memsdk.records.rows import batches
from memsdk.records.schema import counters, outbox, records, texts

_TAKE = Statement(
    sa.update(counters)
    .where(counters.c.name == sa.bindparam("which"))
    .values(value=counters.c.value + sa.bindparam("count"))
    .returning(counters.c.value)
)
_TAKE_BOTH = Statement(
    sa.update(counters)
    .where(sa.or_(counters.c.name == "text", counters.c.name == "seq"))
    .values(
        value=counters.c.value
        + sa.case((counters.c.name == "text", sa.bindparam("texts")), else_=sa.bindparam("seqs"))
    )
    .returning(counters.c.name, counters.c.value)
)
_INSERT_TEXT = Statement(sa.insert(texts))
_INSERT_OUTBOX = Statement(sa.insert(outbox))
_STAMP = Statement(
    sa.update(records)
    .where(records.c.id == sa.bindparam("stamped"))
    .values(index_seq=sa.bindparam("new_seq"))
)
_ERASE = (
    sa.update(texts)
    .where(texts.c.id.in_(sa.bindparam("ids", expanding=True)))
    .values(
        body=sa.func.zeroblob(sa.func.length(texts.c.body)),
        extra=sa.func.zeroblob(sa.func.length(texts.c.extra)),
    )
)
_TURNS = sa.select(records.c.id, records.c.position).where(
    records.c.session_id == sa.bindparam("session"),
    records.c.user_id.is_not_distinct_from(sa.bindparam("user", type_=sa.String)),
    records.c.kind == Kind.MEMORY.value,
    records.c.position.is_not(None),
)
_BEFORE = Statement(
    _TURNS.where(records.c.position < sa.bindparam("at"))
    .order_by(records.c.position.desc())
    .limit(sa.bindparam("count"))
)
_AFTER = Statement(
    _TURNS.where(records.c.position > sa.bindparam("at"))
    .order_by(records.c.position)
    .limit(sa.bindparam("count"))
)

Place = tuple[str | None, str]
"""A session of one user: (user_id, session_id)."""


def take(connection: Connection, which: str, count: int) -> range:
    """The next `count` numbers of a counter."""
    ((value,),) = _TAKE.run(connection, {"which": which, "count": count})
    last = cast("int", value)
    return range(last - count + 1, last + 1)


def take_both(connection: Connection, *, texts: int, seqs: int) -> tuple[range, range]:
    """The next ids of texts and of outbox entries, in one statement."""
    rows = _TAKE_BOTH.run(connection, {"texts": texts, "seqs": seqs})
    last = {name: cast("int", value) for name, value in rows}
    return range(last["text"] - texts + 1, last["text"] + 1), range(last["seq"] - seqs + 1, last["seq"] + 1)


def write_texts(connection: Connection, pairs: Sequence[tuple[bytes, bytes]]) -> range:
    """Append texts (body, extra) and return their ids.

    Ids only grow, so that SQLite appends pages and never moves a text: see `erase_texts`.
    """
    ids = take(connection, "text", len(pairs))
    insert_texts(connection, ids, pairs)
    return ids


def insert_texts(connection: Connection, ids: range, pairs: Sequence[tuple[bytes, bytes]]) -> None:
    """Append texts (body, extra) under ids that were taken for them."""
    if pairs:
        _INSERT_TEXT.run_many(
            connection,
            [
                {"id": each, "body": body, "extra": extra}
                for each, (body, extra) in zip(ids, pairs, strict=True)
            ],
        )


def erase_texts(connection: Connection, ids: Sequence[int]) -> None:
    """Overwrite texts with as many zero bytes, in place.

    Measured on SQLite 3.40 with secure_delete on, the log truncated, 20 random runs each: after DELETE, 22 of 56,000
    removed texts could still be found in the file (in 9 runs); after an UPDATE to other content, 13; after this, none.
    (Presumably pages that are rebalanced keep copies in their gaps; a row of the same size is overwritten where it
    lies and moves nothing.) Without secure_delete even this left some. What the write-ahead log holds goes with
    `Eraser.scrub`. The zeroed rows stay, and their space with them.
    """
    for start in range(0, len(ids), 500):
        connection.execute(_ERASE, {"ids": list(ids[start : start + 500])})


def enter(connection: Connection, changed: Sequence[UUID], *, owner: str | None) -> list[Change]:
    """Outbox entries for these records, claimed by `owner` (None: by nobody)."""
    seqs = take(connection, "seq", len(changed))
    changes = [Change(seq, each) for seq, each in zip(seqs, changed, strict=True)]
    insert_entries(connection, [(change, owner) for change in changes])
    return changes


def insert_entries(connection: Connection, entries: Sequence[tuple[Change, str | None]]) -> None:
    """Outbox entries under numbers that were taken for them, each with its owner."""
    if entries:
        _INSERT_OUTBOX.run_many(
            connection,
            [
                {
                    "seq": change.seq,
                    "record_id": change.record.hex,
                    "state": 0,
                    "owner": owner,
                    "generation": None,
                    "applied_at": None,
                }
                for change, owner in entries
            ],
        )


def stamp(connection: Connection, changes: Sequence[Change]) -> None:
    """Note on the records the outbox entries that touched them last."""
    if changes:
        _STAMP.run_many(
            connection, [{"stamped": change.record.hex, "new_seq": change.seq} for change in changes]
        )


def enter_neighbours(connection: Connection, ids: Iterable[UUID]) -> None:
    """Outbox entries, claimed by nobody, for turns whose surroundings changed."""
    stamp(connection, enter(connection, list(ids), owner=None))


def turns_beside(connection: Connection, place: Place, position: int, *, count: int) -> list[UUID]:
    """The turns within `count` of a position in a session, without the one at it."""
    before = turns_before(connection, place, position, count=count)
    return [*before, *turns_after(connection, place, position, count=count)]


def turns_before(connection: Connection, place: Place, position: int, *, count: int) -> list[UUID]:
    """The `count` turns that precede a position in a session, in order."""
    user, session = place
    asked = {"user": user, "session": session, "at": position, "count": count}
    return [_id(row) for row in _BEFORE.run(connection, asked)][::-1]


def turns_after(connection: Connection, place: Place, position: int, *, count: int) -> list[UUID]:
    """The `count` turns that follow a position in a session."""
    user, session = place
    asked = {"user": user, "session": session, "at": position, "count": count}
    return [_id(row) for row in _AFTER.run(connection, asked)]


def _id(row: Row) -> UUID:
    return UUID(cast("str", row[0]))


def text_ids(connection: Connection, column: sa.ColumnElement[int], keyed_by: sa.ColumnElement[UUID],
             ids: Sequence[UUID]) -> list[int]:  # fmt: skip
    """The texts that rows with these ids point to."""
    found: list[int] = []
    for some in batches(ids):
        found.extend(
            connection.execute(sa.select(column).where(keyed_by.in_(some), column.is_not(None))).scalars()
        )
    return found


def delete_by(connection: Connection, table: sa.Table, column: str, ids: Sequence[UUID]) -> int:
    """Delete the rows whose column is one of the ids; returns how many."""
    statement = sa.delete(table).where(table.c[column].in_(sa.bindparam("ids", expanding=True)))
    return sum(connection.execute(statement, {"ids": list(some)}).rowcount for some in batches(ids))


def by_place(turns: Iterable[tuple[Place, int]]) -> Mapping[Place, list[int]]:
    """Positions by session, sorted."""
    grouped: dict[Place, list[int]] = {}
    for place, position in turns:
        grouped.setdefault(place, []).append(position)
    return {place: sorted(positions) for place, positions in grouped.items()}
