"""One open database: its connections, its transactions, and what happens to them when the process forks.

SQLite must not be carried through fork(): the child would inherit a table of locks that it does not hold. So
before a fork the transactions in flight are waited for and every connection is closed; both processes then
open their own again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.pool import ConnectionPoolEntry

from memsdk.errors import ClosedError, DiskFullError, StoreError
from memsdk.records.faults import translated
from memsdk.testing import failpoints

SqlValue: TypeAlias = str | int | float | bytes | None

MIN_FREE_BYTES = 64 * 2**20
FREE_SPACE_EVERY = 64  # writes; a look at the disk costs microseconds, but not nothing
FORK_PATIENCE_S = 5.0
MAPPED = 0x7FFF0000
"""Bytes of the file that a short SELECT reads from memory, the most that SQLite takes: of a million records the ones that a
recall wants lie far apart, and to copy each page that leads to them took longer with the size of the file (docs/benchmarks.md)."""

_open: weakref.WeakSet[Database] = weakref.WeakSet()


class Database:
    """Transactions on one SQLite file. Thread-safe; writers of one process queue on a lock of their own."""

    def __init__(
        self, path: Path, *, synchronous: str, busy_timeout_s: float, free_bytes: Callable[[Path], int]
    ) -> None:
        self.path = path
        self._free_bytes = free_bytes
        self._pragmas = (
            f"PRAGMA busy_timeout = {int(busy_timeout_s * 1000)}",
            "PRAGMA journal_mode = WAL",
            "PRAGMA foreign_keys = ON",
            "PRAGMA secure_delete = ON",
            "PRAGMA temp_store = MEMORY",
            "PRAGMA cache_size = -16000",
        )
        self._synchronous = synchronous
        self.busy_timeout_ms = int(busy_timeout_s * 1000)
        self._writer = threading.Lock()
        self._gate = threading.Condition()
        self._inside = 0
        self._forking = False
        self._closed = False
        self._writes = 0
        self._writing: object = None  # the driver's connection of the write under way, or interrupted
        self._stale: list[
            object
        ] = []  # what a fork inherited: kept, as closing it could break the parent's locks
        self._readers: list[
            sqlite3.Connection
        ] = []  # for `fetch`: a pool's bookkeeping takes longer than a short SELECT
        self._engine = self._create_engine()
        _open.add(self)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A snapshot: all statements inside see the same state."""
        with self._entered(), translated(self.path), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Connection]:
        """A transaction that alone may write; committed at the end, rolled back when anything is raised.

        Args:
            durable: False does not wait for the disk, where `synchronous` would: a power cut may undo it, a kill can't.
                Nothing that comes after it is kept without it. For what is found again and repeated.
        """
        self._check_space()
        synchronous = self._synchronous if durable else "NORMAL"
        engine = self._engine.execution_options(writes=synchronous)
        with self._entered(), self._writer, translated(self.path):
            self._roll_back_interrupted()
            with engine.connect() as connection:
                self._writing = connection.connection.driver_connection
                try:
                    yield connection
                    failpoints.reach("sql-before-commit")
                    connection.commit()
                except Exception:
                    self._writing = None  # rolled back as the connection is given back
                    raise
            self._writing = None
        failpoints.reach("sql-after-commit")

    @contextmanager
    def plain(self) -> Iterator[sqlite3.Connection]:
        """The driver's connection outside any transaction: for checkpoints, backups, VACUUM."""
        with self._entered(), translated(self.path):
            pooled = self._engine.raw_connection()
            try:
                driver = pooled.driver_connection
                assert isinstance(driver, sqlite3.Connection)  # for the type checker
                yield driver
            finally:
                pooled.close()

    def fetch(self, statement: str, parameters: Sequence[str | int] = ()) -> list[tuple[SqlValue, ...]]:
        """The rows of one SELECT, as the driver gives them: its own snapshot, at a tenth of what a transaction costs."""
        with self._entered(), translated(self.path):
            try:
                driver = self._readers.pop()
            except IndexError:
                driver = self._connect()
                driver.execute(f"PRAGMA mmap_size = {MAPPED}")
            try:
                rows = driver.execute(statement, parameters).fetchall()
            except BaseException:
                _abandon(driver)
                raise
            self._readers.append(driver)
            return rows

    def close(self) -> None:
        """Let go of every connection; later use raises ClosedError. Twice is once."""
        self._closed = True
        self._engine.dispose()
        self._close_readers()
        _open.discard(self)

    def _connect(self) -> sqlite3.Connection:
        driver = sqlite3.connect(
            self.path, timeout=self.busy_timeout_ms / 1000, isolation_level=None, check_same_thread=False
        )
        for pragma in self._pragmas:
            driver.execute(pragma)
        return driver

    def _close_readers(self) -> None:
        while self._readers:
            self._readers.pop().close()

    def _create_engine(self) -> sa.Engine:
        engine = sa.create_engine(
            sa.URL.create("sqlite", database=str(self.path)), creator=self._connect, max_overflow=-1
        )
        sa.event.listen(engine, "begin", _begin)
        sa.event.listen(engine, "invalidate", _roll_back)
        return engine

    @contextmanager
    def _entered(self) -> Iterator[None]:
        if self._closed:
            raise ClosedError(f"{self.path} was closed; open it again with `Memory.open(...)`")
        with self._gate:
            while self._forking:
                self._gate.wait()
            self._inside += 1
        try:
            yield
        finally:
            with self._gate:
                self._inside -= 1
                self._gate.notify_all()

    def _roll_back_interrupted(self) -> None:
        """End a transaction that Ctrl-C tore from its cleaning up: left open, it would lock the database."""
        driver, self._writing = self._writing, None
        if isinstance(driver, sqlite3.Connection):
            with contextlib.suppress(sqlite3.ProgrammingError):  # closed already
                if driver.in_transaction:
                    driver.rollback()

    def _check_space(self) -> None:
        self._writes += 1
        if self._writes % FREE_SPACE_EVERY == 1:
            free = self._free_bytes(self.path.parent)
            if free < MIN_FREE_BYTES:
                self._writes = 0  # look again before the next write
                raise DiskFullError(
                    f"{free / 2**20:.0f} MiB are free where {self.path} lies, and {MIN_FREE_BYTES // 2**20} MiB are"
                    " needed to write safely; free some space and try again"
                )

    def before_fork(self) -> None:
        """Wait for the transactions in flight and close every connection."""
        with self._gate:
            self._forking = True
            self._gate.wait_for(lambda: self._inside == 0, timeout=FORK_PATIENCE_S)
        if self._inside == 0:
            self._engine.dispose()
            self._close_readers()

    def after_fork_in_parent(self) -> None:
        """Let the transactions that waited for the fork begin."""
        with self._gate:
            self._forking = False
            self._gate.notify_all()

    def after_fork_in_child(self) -> None:
        """Start anew; a transaction that outlasted the wait leaves this copy closed."""
        carried = self._inside > 0
        self._stale.append((self._engine, self._engine.pool, self._readers))
        self._readers = []
        self._writer, self._gate = threading.Lock(), threading.Condition()
        self._inside, self._forking = 0, False
        if carried:
            self._closed = True
        else:
            self._engine = self._create_engine()


def default_free_bytes(folder: Path) -> int:
    """How many bytes this user may still write to the folder's disk."""
    return shutil.disk_usage(folder).free


def check_synchronous(mode: str) -> str:
    """The mode as SQLite spells it, or an error."""
    if mode.upper() not in ("FULL", "NORMAL"):
        raise StoreError(f"synchronous is 'FULL' or 'NORMAL', not {mode!r}")
    return mode.upper()


def _begin(connection: Connection) -> None:
    """By the driver itself: through SQLAlchemy these two cost as much as the statements that follow."""
    synchronous = connection.get_execution_options().get("writes")
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)  # for the type checker
    if synchronous:  # for this transaction; another one may have set it otherwise
        driver.execute(f"PRAGMA synchronous = {synchronous}")
    driver.execute("BEGIN IMMEDIATE" if synchronous else "BEGIN")


def _roll_back(
    connection: sqlite3.Connection, entry: ConnectionPoolEntry, error: BaseException | None
) -> None:
    """After Ctrl-C inside a statement: closing alone would wait for that statement, which the traceback keeps alive."""
    with suppress(sqlite3.Error):  # of a connection that is of no more use
        connection.rollback()


def _abandon(connection: sqlite3.Connection) -> None:
    with suppress(sqlite3.Error):
        connection.rollback()
        connection.close()


def _for_each(act: Callable[[Database], None]) -> Callable[[], None]:
    def run() -> None:
        for database in tuple(_open):
            act(database)

    return run


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_for_each(Database.before_fork),
        after_in_parent=_for_each(Database.after_fork_in_parent),
        after_in_child=_for_each(Database.after_fork_in_child),
    )
