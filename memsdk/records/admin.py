"""The `StoreAdmin` port: the secret, counts, backup, the integrity check."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa
from pydantic import JsonValue
from sqlalchemy.engine import Connection

from memsdk.errors import InvalidInputError, StoreReadOnlyError
from memsdk.models import Kind
from memsdk.records.database import Database
from memsdk.records.faults import translated
from memsdk.records.schema import feedback, meta, outbox, recalls, records, sources

FILE = "memory.db"
_PAGES_A_STEP = 1_000


class SqlAdmin:
    """The care of the store; see `memsdk.ports.StoreAdmin`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def secret(self) -> bytes:
        """The key of this store's hashes: 32 bytes made once."""
        with self._database.read() as connection:
            return bytes(
                connection.execute(sa.select(meta.c.value).where(meta.c.key == "secret")).scalar_one()
            )

    def counts(self) -> dict[str, JsonValue]:
        """Records by kind and in all, users, sessions, documents, recalls, feedback, pending, schema_revision."""
        kinds = sa.select(records.c.kind, sa.func.count()).group_by(records.c.kind)
        of_sessions = sa.select(records.c.user_id, records.c.session_id).where(
            records.c.session_id.is_not(None), records.c.kind != Kind.PASSAGE.value
        )
        with self._database.read() as connection:
            by_kind = {row.kind: int(row[1]) for row in connection.execute(kinds)}
            return {
                "records": dict(by_kind),
                "records_total": sum(by_kind.values()),
                "users": _number(connection, sa.select(sa.func.count(records.c.user_id.distinct()))),
                "sessions": _number(
                    connection, sa.select(sa.func.count()).select_from(of_sessions.distinct().subquery())
                ),
                "documents": _number(connection, sa.select(sa.func.count()).select_from(sources)),
                "recalls": _number(connection, sa.select(sa.func.count()).select_from(recalls)),
                "feedback": _number(connection, sa.select(sa.func.count()).select_from(feedback)),
                "pending": _number(
                    connection, sa.select(sa.func.count()).select_from(outbox).where(outbox.c.state == 0)
                ),
                "schema_revision": str(
                    connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
                ),
            }

    def backup(self, path: Path, *, progress: Callable[[int, int], None] | None = None) -> None:
        """Copy the database into the folder `path` while others write; the folder then opens as a store.

        Args:
            path: a folder that does not hold a store yet; made where missing.
            progress: told how many pages are done, and of how many.

        Raises:
            InvalidInputError: there is a store at `path` already, or a file in its place.
        """
        target = path / FILE
        if target.exists() or (path.exists() and not path.is_dir()):
            raise InvalidInputError(f"{path} is taken; give `backup` a new or empty folder")
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreReadOnlyError(
                f"the folder {path} can't be made ({error}); choose another place"
            ) from error

        def told(status: int, remaining: int, total: int) -> None:
            if progress is not None:
                progress(total - remaining, total)

        part = target.with_suffix(".part")
        with self._database.plain() as source, translated(part):
            copy = sqlite3.connect(part)
            try:
                source.backup(copy, pages=_PAGES_A_STEP, progress=told)
            finally:
                copy.close()
        part.replace(target)

    def check(self) -> list[str]:
        """What the database's own integrity check complains of; empty when it is sound."""
        with self._database.plain() as connection:
            found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
        return [] if found == ["ok"] else found


def _number(connection: Connection, statement: sa.Select[int]) -> int:
    return int(connection.execute(statement).scalar_one())
