"""One open store: every port over one database."""

from __future__ import annotations

from memsdk.ports import Clock
from memsdk.records.admin import SqlAdmin
from memsdk.records.clients import Clients
from memsdk.records.database import Database
from memsdk.records.outbox_store import SqlOutbox
from memsdk.records.record_store import SqlRecords
from memsdk.records.rows import Keys
from memsdk.records.space_store import SqlSpaces


class SqlStore:
    """The parts of one open store; see `memsdk.ports.Store`. Thread-safe, and usable in a forked child."""

    def __init__(self, database: Database, clients: Clients, *, clock: Clock, neighbours: int) -> None:
        self._database, self._clients = database, clients
        self.admin = SqlAdmin(database)
        keys = Keys(self.admin.secret())
        self.records = SqlRecords(database, keys=keys, clock=clock, neighbours=neighbours)
        self.outbox = SqlOutbox(database, clients)
        self.outbox_state = self.outbox
        self.spaces = SqlSpaces(database, clock=clock)

    @property
    def token(self) -> str:
        """This open store's name in outbox claims. Ask each time: it changes in a forked child."""
        return self._clients.token

    def close(self) -> None:
        """Let go of the database, and of what was claimed. Twice is once."""
        self._clients.close()
        self._database.close()
