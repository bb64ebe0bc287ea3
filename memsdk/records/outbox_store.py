"""The `Outbox` and `OutboxState` ports: what the index has still to be told, and how far that is."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import cast
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from memsdk.ports import Change, Indexable
from memsdk.records import ledger
from memsdk.records.clients import Clients
from memsdk.records.database import Database, SqlValue
from memsdk.records.driven import LookUp, Statement
from memsdk.records.rows import BATCH, batches
from memsdk.records.schema import counters, outbox, records, spaces
from memsdk.records.states import read_states
from memsdk.testing import failpoints

PENDING, APPLIED, SETTLED = 0, 1, 2

_IS_PENDING = outbox.c.state == sa.literal_column("0")  # a literal, so that the partial index is used
_COLUMNS = sa.select(outbox.c.seq, outbox.c.record_id)
_FREE = _COLUMNS.where(_IS_PENDING, outbox.c.owner.is_(None)).order_by(outbox.c.seq)
_OWNERS = sa.select(outbox.c.owner).where(_IS_PENDING, outbox.c.owner.is_not(None)).distinct()
_CURRENT = LookUp(sa.select(records.c.id, records.c.index_seq), records.c.id)
_APPLIED = {
    "state": APPLIED,
    "owner": sa.null(),
    "generation": sa.bindparam("by"),
    "applied_at": sa.bindparam("at"),
}
_MARK = Statement(
    sa.update(outbox)
    .where(outbox.c.record_id == sa.bindparam("marked"), outbox.c.seq <= sa.bindparam("state_seq"),
           outbox.c.state == PENDING, sa.or_(outbox.c.owner.is_(None), outbox.c.seq == sa.bindparam("own")))
    .values(_APPLIED)
)  # fmt: skip
_MARK_FIRST = Statement(
    sa.update(outbox)
    .where(outbox.c.seq.in_(sa.select(sa.func.json_each(sa.bindparam("seqs")).table_valued("value").c.value)),
           outbox.c.state == PENDING, sa.exists().where(records.c.id == outbox.c.record_id, records.c.index_seq == outbox.c.seq))
    .values(_APPLIED)
    .returning(outbox.c.seq)
)  # fmt: skip
_POINTS = Statement(
    sa.update(records).where(records.c.id == sa.bindparam("indexed")).values(points=sa.bindparam("parts"))
)
_REOPEN = (
    sa.update(outbox)
    .where(outbox.c.seq == sa.bindparam("reopened"))
    .values(state=PENDING, owner=None, generation=None, applied_at=None)
)
_BUILDING_FROM = sa.select(sa.func.min(spaces.c.start_seq)).where(spaces.c.state == "building")


class SqlOutbox:
    """The outbox in SQL: what it notes of its own is repeated where it is lost. See `memsdk.ports.Outbox` and `OutboxState`."""

    def __init__(self, database: Database, clients: Clients) -> None:
        self._database, self._clients = database, clients

    def claim(self, *, owner: str, limit: int, regain: bool = False) -> list[Change]:
        """Take pending entries, and those whose owner is dead, oldest first; with `regain` the owner's own again."""
        with self._database.read() as connection:
            owners = connection.execute(_OWNERS).scalars().all()
            if not owners and connection.execute(_FREE.limit(1)).first() is None:
                return []
        dead = [token for token in owners if (regain if token == owner else not self._clients.lives(token))]
        with self._database.write(durable=False) as connection:
            if dead:
                connection.execute(
                    sa.update(outbox).where(_IS_PENDING, outbox.c.owner.in_(dead)).values(owner=None)
                )
            changes = [Change(*row) for row in connection.execute(_FREE.limit(limit))]
            for start in range(0, len(changes), BATCH):
                seqs = [change.seq for change in changes[start : start + BATCH]]
                connection.execute(sa.update(outbox).where(outbox.c.seq.in_(seqs)).values(owner=owner))
        return changes

    def read(self, records: Sequence[UUID], *, neighbours: int) -> list[Indexable]:
        """The state to index, a value a record, in the order asked; read in one snapshot. See the port."""
        with self._database.read() as connection:
            return read_states(connection, records, neighbours=neighbours)

    def applied(
        self,
        changes: Sequence[Change],
        *,
        states: Sequence[Indexable],
        points: Sequence[int],
        generation: str,
    ) -> list[Change]:
        """Note that these states (parallel to `changes`) are in the index; returns those that changed since.

        A returned change is pending again, under a new number where its entry was settled meanwhile: the index may
        hold the older state now.
        """
        if not changes:
            return []
        with self._database.write(durable=False) as connection:
            now = time.monotonic()
            marked = _mark_first(connection, changes, states, generation=generation, at=now)
            current = _current_seqs(
                connection, [change.record for change in changes if change.seq not in marked]
            )
            again: list[Change] = []
            marks: list[dict[str, SqlValue]] = []
            counts: list[dict[str, SqlValue]] = []
            for change, state, parts in zip(changes, states, points, strict=True):
                if change.seq not in marked:
                    if current.get(change.record) != (state.seq if state.revisions else None):
                        again.append(change)
                        continue
                    marks.append(
                        {
                            "marked": change.record.hex,
                            "own": change.seq,
                            "state_seq": state.seq,
                            "by": generation,
                            "at": now,
                        }
                    )
                if state.revisions and parts != state.points:
                    counts.append({"indexed": change.record.hex, "parts": parts})
            if marks:
                _MARK.run_many(connection, marks)
            if counts:
                _POINTS.run_many(connection, counts)
            reopened = [_reopen(connection, change, exists=change.record in current) for change in again]
        failpoints.reach("outbox-applied")
        return reopened

    def settle(self, *, generation: str, upto: float) -> int:
        """Remove entries applied under this generation before the monotonic reading `upto`, now flushed.

        While a space is building, those that it has still to replay are kept.
        """
        done = sa.or_(
            sa.and_(outbox.c.state == APPLIED, outbox.c.generation == generation, outbox.c.applied_at < upto),
            outbox.c.state == SETTLED,
        )
        with self._database.read() as connection:
            if connection.execute(sa.select(outbox.c.seq).where(done).limit(1)).first() is None:
                return 0
        with self._database.write(durable=False) as connection:
            start = connection.execute(_BUILDING_FROM).scalar_one()
            removable = done if start is None else sa.and_(done, outbox.c.seq <= start)
            settled = connection.execute(sa.delete(outbox).where(removable)).rowcount
            if start is not None:
                settled += connection.execute(
                    sa.update(outbox).where(done, outbox.c.state == APPLIED).values(state=SETTLED)
                ).rowcount
            return settled

    def recover(self, *, generation: str) -> int:
        """Make pending what was applied under another generation and never settled; returns how many."""
        lost = sa.and_(outbox.c.state == APPLIED, outbox.c.generation != generation)
        with self._database.read() as connection:
            if connection.execute(sa.select(outbox.c.seq).where(lost).limit(1)).first() is None:
                return 0
        with self._database.write(durable=False) as connection:
            return connection.execute(
                sa.update(outbox)
                .where(lost)
                .values(state=PENDING, owner=None, generation=None, applied_at=None)
            ).rowcount

    # -- OutboxState

    def release(self, changes: Sequence[Change]) -> None:
        """Give claimed entries back, after a failure."""
        with self._database.write(durable=False) as connection:
            for start in range(0, len(changes), BATCH):
                seqs = [change.seq for change in changes[start : start + BATCH]]
                connection.execute(
                    sa.update(outbox).where(outbox.c.seq.in_(seqs), _IS_PENDING).values(owner=None)
                )

    def pending(self) -> int:
        """How many entries are not applied yet."""
        with self._database.read() as connection:
            return int(
                connection.execute(
                    sa.select(sa.func.count()).select_from(outbox).where(_IS_PENDING)
                ).scalar_one()
            )

    def waiting(self) -> list[UUID]:
        """The records with an entry that is not applied yet."""
        statement = sa.select(outbox.c.record_id).where(_IS_PENDING).distinct()
        with self._database.read() as connection:
            return list(connection.execute(statement).scalars())

    def touch(self, records: Sequence[UUID], *, owner: str | None = None) -> list[Change]:
        """Make entries for these records, existing or not, claimed by `owner`: they are to be indexed anew."""
        with self._database.write() as connection:
            changes = ledger.enter(connection, list(dict.fromkeys(records)), owner=owner)
            ledger.stamp(connection, changes)
        return changes

    def last_seq(self) -> int:
        """The highest entry ever made."""
        with self._database.read() as connection:
            return last_seq(connection)

    def since(self, seq: int, *, limit: int) -> list[Change]:
        """Entries beyond `seq`, oldest first, settled ones included while a space is building."""
        with self._database.read() as connection:
            found = connection.execute(_COLUMNS.where(outbox.c.seq > seq).order_by(outbox.c.seq).limit(limit))
            return [Change(*row) for row in found]

    def stamps(self) -> Iterator[tuple[UUID, int, int]]:
        """Every record's id, last outbox seq and number of points; read page by page, so no lock is held."""
        statement = sa.select(records.c.id, records.c.index_seq, records.c.points).order_by(records.c.id)
        after: UUID | None = None
        while True:
            beyond = [] if after is None else [records.c.id > after]
            with self._database.read() as connection:
                page = connection.execute(statement.where(*beyond).limit(5_000)).all()
            yield from ((row.id, row.index_seq, row.points) for row in page)
            if not page:
                return
            after = page[-1].id


def last_seq(connection: Connection) -> int:
    """The highest outbox entry ever made."""
    return int(connection.execute(sa.select(counters.c.value).where(counters.c.name == "seq")).scalar_one())


def _mark_first(
    connection: Connection,
    changes: Sequence[Change],
    states: Sequence[Indexable],
    *,
    generation: str,
    at: float,
) -> set[int]:
    """Note in one statement all entries that their records came with, where nothing has touched the records since."""
    seqs = [
        change.seq
        for change, state in zip(changes, states, strict=True)
        if change.state is not None and state.seq == change.seq
    ]
    if not seqs:
        return set()
    return {
        cast("int", seq)
        for (seq,) in _MARK_FIRST.run(connection, {"seqs": json.dumps(seqs), "by": generation, "at": at})
    }


def _current_seqs(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, int]:
    found: dict[UUID, int] = {}
    for some in batches(ids):
        rows = _CURRENT.run(connection, [each.hex for each in some])
        found.update((UUID(cast("str", id_)), cast("int", seq)) for id_, seq in rows)
    return found


def _reopen(connection: Connection, change: Change, *, exists: bool) -> Change:
    if connection.execute(_REOPEN, {"reopened": change.seq}).rowcount:
        return change
    (renewed,) = ledger.enter(connection, [change.record], owner=None)
    if exists:
        ledger.stamp(connection, [renewed])
    return renewed
