"""The `Eraser` port: forgetting, so that no byte stays.

How: see `ledger.erase_texts`. What the write-ahead log still holds goes with `scrub`; two counters, of what was
forgotten and of how far that was scrubbed, let the next open finish what a crash or a busy reader left.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from memsdk.models import Forgotten
from memsdk.ports import Change, Clock, RecordFilter
from memsdk.records.database import Database
from memsdk.records.erasing import (
    Leaving,
    erase_recalls,
    erase_records,
    erase_sources,
    leaving,
    leaving_ids,
    retire_owned,
    together,
)
from memsdk.records.schema import counters, recalls, records, sources
from memsdk.records.traces import erase_samples_of
from memsdk.records.where import conditions, stream

SCRUB_PATIENCE_S = 2.0
_COUNTERS = sa.select(counters.c.name, counters.c.value)


class SqlEraser:
    """Forgetting in SQL; see `memsdk.ports.Eraser`."""

    def __init__(self, database: Database, *, clock: Clock, neighbours: int) -> None:
        self._database, self._clock, self._neighbours = database, clock, neighbours

    def forget(self, where: RecordFilter, *, owner: str | None) -> tuple[Forgotten, list[Change]]:
        """Erase the records, their revisions, and their traces in the recall log.

        Outputs filed as feedback on a recall that showed one of the records may quote it; they are erased too,
        their scores stay. The queries of such recalls are the user's own words and stay; `forget_users` erases them.
        """
        with self._database.write() as connection:
            gone = self._meant(connection, where)
            return erase_records(connection, gone, owner=owner, neighbours=self._neighbours)

    def forget_users(self, users: Sequence[str], *, owner: str | None) -> tuple[Forgotten, list[Change]]:
        """All that these users ever said or asked: records, documents, recalls, feedback."""
        with self._database.write() as connection:
            asked = (
                connection.execute(sa.select(recalls.c.id).where(recalls.c.user_id.in_(users)))
                .scalars()
                .all()
            )
            owned = (
                connection.execute(sa.select(sources.c.id).where(sources.c.user_id.in_(users)))
                .scalars()
                .all()
            )
            own = retire_owned(connection, users)
            log = erase_recalls(connection, asked)
            erase_samples_of(connection, users)
            gone = leaving(connection, [records.c.user_id.in_(users)])
            said, changes = erase_records(connection, gone, owner=owner, neighbours=self._neighbours)
            return together([said, log, erase_sources(connection, owned), own]), changes

    def expire(
        self, *, now: datetime, recalls_before: datetime | None, owner: str | None
    ) -> tuple[Forgotten, list[Change]]:
        """Erase what has expired, and recalls older than the log's retention."""
        expired = sa.and_(records.c.expires_at.is_not(None), records.c.expires_at <= now)
        old = sa.false() if recalls_before is None else recalls.c.at < recalls_before
        with self._database.read() as connection:
            if (
                connection.execute(sa.select(records.c.id).where(expired).limit(1)).first() is None
                and connection.execute(sa.select(recalls.c.id).where(old).limit(1)).first() is None
            ):
                return Forgotten(), []
        with self._database.write() as connection:
            log = erase_recalls(
                connection, connection.execute(sa.select(recalls.c.id).where(old)).scalars().all()
            )
            gone = leaving(connection, [expired])
            said, changes = erase_records(connection, gone, owner=owner, neighbours=self._neighbours)
            return together([said, log]), changes

    def scrub(self) -> bool:
        """Truncate the write-ahead log, retrying while readers hold it; True once nothing is left in it."""
        with self._database.read() as connection:
            forgets = _counters(connection)["forgets"]
        if not self._truncate():
            return False
        with self._database.write() as connection:
            connection.execute(
                sa.update(counters)
                .where(counters.c.name == "scrubbed", counters.c.value < forgets)
                .values(value=forgets)
            )
        self._truncate()  # of that counter alone
        return True

    def finish(self) -> None:
        """Scrub now if an earlier forget could not."""
        with self._database.read() as connection:
            values = _counters(connection)
        if values["scrubbed"] < values["forgets"]:
            self.scrub()

    def _truncate(self) -> bool:
        deadline, pause = time.monotonic() + SCRUB_PATIENCE_S, 0.005
        while True:
            with self._database.plain() as connection:
                connection.execute("PRAGMA busy_timeout = 100")
                try:
                    busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                finally:
                    connection.execute(f"PRAGMA busy_timeout = {self._database.busy_timeout_ms}")
            if not busy:
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(pause)
            pause = min(pause * 2, 0.2)

    def _meant(self, connection: Connection, where: RecordFilter) -> list[Leaving]:
        now = self._clock.now()
        if where.metadata is None:
            return leaving(connection, conditions(where, now=now))
        return leaving_ids(connection, [record.id for record in stream(connection, where, now=now)])


def _counters(connection: Connection) -> dict[str, int]:
    return {row.name: row.value for row in connection.execute(_COUNTERS)}
