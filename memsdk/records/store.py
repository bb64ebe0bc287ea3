"""One open store: every port over one database, and `open_store`, which makes one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from memsdk.clock import SystemClock
from memsdk.ports import (
    Clock,
    Documents,
    Eraser,
    Outbox,
    OutboxCare,
    OutboxState,
    Passages,
    QueryVersions,
    RecallLog,
    Records,
    RewardCache,
    Sessions,
    Spaces,
    StoreAdmin,
    TrainingRuns,
    Transfer,
)
from memsdk.records.admin import SqlAdmin
from memsdk.records.clients import Clients
from memsdk.records.database import Database, default_free_bytes
from memsdk.records.document_store import SqlDocuments
from memsdk.records.eraser import SqlEraser
from memsdk.records.opening import open_database
from memsdk.records.outbox_store import SqlOutbox
from memsdk.records.passage_store import SqlPassages
from memsdk.records.recall_log import SqlRecallLog
from memsdk.records.record_store import SqlRecords
from memsdk.records.reward_cache import SqlRewardCache
from memsdk.records.rows import Keys
from memsdk.records.session_store import SqlSessions
from memsdk.records.space_store import SqlSpaces
from memsdk.records.transfer import SqlTransfer
from memsdk.records.version_store import SqlQueryVersions, SqlTrainingRuns


class SqlStore:
    """The parts of one open store; see `memsdk.ports.Store`. Thread-safe, and usable in a forked child."""

    def __init__(self, database: Database, clients: Clients, *, clock: Clock, neighbours: int) -> None:
        self._database, self._clients = database, clients
        self.admin: StoreAdmin = SqlAdmin(database)
        keys = Keys(self.admin.secret())
        self.records: Records = SqlRecords(database, keys=keys, clock=clock, neighbours=neighbours)
        outbox = SqlOutbox(database, clients)
        self.outbox: Outbox = outbox
        self.outbox_state: OutboxState = outbox
        self.outbox_care: OutboxCare = outbox
        eraser = SqlEraser(database, clock=clock, neighbours=neighbours)
        eraser.finish()
        self.eraser: Eraser = eraser
        self.recall_log: RecallLog = SqlRecallLog(database, clock=clock)
        self.documents: Documents = SqlDocuments(database, keys=keys, clock=clock, neighbours=neighbours)
        self.passages: Passages = SqlPassages(database, keys=keys, clock=clock)
        self.sessions: Sessions = SqlSessions(database, clock=clock)
        self.spaces: Spaces = SqlSpaces(database, clock=clock)
        self.transfer: Transfer = SqlTransfer(database, keys=keys)
        self.rewards: RewardCache = SqlRewardCache(database, keys=keys, clock=clock)
        self.versions: QueryVersions = SqlQueryVersions(database, clock=clock)
        self.runs: TrainingRuns = SqlTrainingRuns(database)

    @property
    def token(self) -> str:
        """This open store's name in outbox claims. Ask each time: it changes in a forked child."""
        return self._clients.token

    def close(self) -> None:
        """Let go of the database, and of what was claimed. Twice is once."""
        self._clients.close()
        self._database.close()


def open_store(
    folder: Path,
    *,
    synchronous: Literal["FULL", "NORMAL"] = "FULL",
    busy_timeout_s: float = 30.0,
    neighbours: int = 2,
    clock: Clock | None = None,
    free_bytes: Callable[[Path], int] = default_free_bytes,
) -> SqlStore:
    """Open the store in `folder`, making or migrating it first where needed.

    Args:
        folder: made where missing.
        synchronous: "FULL" keeps every acknowledged write through a power cut; "NORMAL" only through a kill.
        busy_timeout_s: how long to wait for another process's transaction.
        neighbours: how many turns either side of a changed one are indexed anew.
        clock: where times come from; the machine's by default.
        free_bytes: how much disk space is left, for tests.

    Raises:
        StoreReadOnlyError: the folder can't be made or written.
        StoreVersionError: a newer memsdk made the store.
        StoreCorruptError: the database file is damaged or something else.
        StoreLockedError: another process is migrating it, or holds it, for longer than the busy timeout.
        DiskFullError: there is too little free space to make it.
    """
    database = open_database(
        folder, synchronous=synchronous, busy_timeout_s=busy_timeout_s, free_bytes=free_bytes
    )
    try:
        clients = Clients(database.path.parent)
        store = SqlStore(database, clients, clock=clock or SystemClock(), neighbours=neighbours)
    except BaseException:
        database.close()
        raise
    return store
