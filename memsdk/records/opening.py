"""Opening a store folder: made on first use, migrated when it is older, refused when it is newer or no store."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

from memsdk.errors import StoreError, StoreLockedError, StoreReadOnlyError, StoreVersionError
from memsdk.records.admin import FILE
from memsdk.records.database import Database, check_synchronous
from memsdk.records.faults import translated

HEAD = "0004"
"""The schema revision that this code reads and writes; a test compares it with the migrations."""


def open_database(
    folder: Path, *, synchronous: str, busy_timeout_s: float, free_bytes: Callable[[Path], int]
) -> Database:
    """The database of the store in `folder`, at the schema revision that this code knows; see `open_store`."""
    database = Database(
        _prepare(folder) / FILE,
        synchronous=check_synchronous(synchronous),
        busy_timeout_s=busy_timeout_s,
        free_bytes=free_bytes,
    )
    try:
        if _revision(database.path) != HEAD:
            _migrate(database, timeout_s=busy_timeout_s)
    except BaseException:
        database.close()
        raise
    return database


def _prepare(folder: Path) -> Path:
    """The folder, there, writable, with links resolved."""
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"{folder} is a file; a store is a folder, so give the folder's path")
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        resolved = folder.resolve(strict=True)
    except OSError as error:
        raise StoreReadOnlyError(
            f"the store folder {folder} can't be made ({error.strerror}); choose a folder that this user may write"
        ) from error
    if not os.access(resolved, os.W_OK | os.X_OK):
        raise StoreReadOnlyError(
            f"the store folder {folder} can't be written; make it writable for this user"
        )
    return resolved


def _revision(path: Path) -> str | None:
    """The schema revision of the database, by plain SQL; None for a new one."""
    if not path.exists() or path.stat().st_size == 0:
        return None
    with translated(path):
        connection = sqlite3.connect(path)
        try:
            tables = {
                row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            }
            if not tables:
                return None
            if "alembic_version" not in tables:
                raise StoreError(
                    f"{path} is a database, but not memsdk's; give the folder of a store, or a new one"
                )
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        finally:
            connection.close()
    return None if row is None else str(row[0])


def _migrate(database: Database, *, timeout_s: float) -> None:
    """Run the migrations under a lock, so that two processes that open at once are safe."""
    from memsdk.migrations.runner import (
        known_revisions,
        upgrade,
    )  # alembic is slow to import, and rarely needed

    lock = FileLock(database.path.with_name("migrate.lock"))
    try:
        lock.acquire(timeout=timeout_s)
    except Timeout as error:
        raise StoreLockedError(
            f"another process has been migrating {database.path} for {timeout_s:g} s; wait for it and open again"
        ) from error
    try:
        found = _revision(database.path)
        if found is not None and found not in known_revisions():
            raise StoreVersionError(
                f"{database.path} has schema revision {found}, which this memsdk does not know (it knows up to {HEAD});"
                " a newer memsdk made it: run `pip install -U memsdk`"
            )
        if found != HEAD:
            with database.write() as connection:
                upgrade(connection)
    finally:
        lock.release()
