"""What a database failure means to the caller: driver errors turned to the named ones, each with its cure."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from memsdk.errors import (
    DiskFullError,
    InvalidInputError,
    StoreCorruptError,
    StoreError,
    StoreLockedError,
    StoreReadOnlyError,
)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise the named error for whatever the database at `path` raises inside."""
    try:
        yield
    except DBAPIError as error:
        cause = error.orig
        named = named_error(cause, path) if isinstance(cause, sqlite3.Error) else None
        if named is None:
            raise
        raise named from error
    except sqlite3.Error as error:
        named = named_error(error, path)
        if named is None:
            raise
        raise named from error
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            f"text with the lone surrogate {error.object[error.start]!a} can't be stored; decode it as proper"
            " UTF-8 or replace such characters first"
        ) from error


def named_error(error: sqlite3.Error, path: Path) -> StoreError | None:
    """The named error that a SQLite error means; None where it is a bug of ours."""
    code = getattr(error, "sqlite_errorcode", None)
    said = f"SQLite says: {error}"
    match None if code is None else code & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreLockedError(
                f"another process keeps {path} locked for longer than the busy timeout ({said});"
                " end that process or its transaction, or raise the busy timeout"
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return StoreReadOnlyError(
                f"{path} can't be written ({said}); make the folder and its files writable for this user"
            )
        case sqlite3.SQLITE_CANTOPEN:
            return StoreReadOnlyError(
                f"{path} can't be opened ({said}); the folder must be there and both it and its files readable"
                " and writable for this user"
            )
        case sqlite3.SQLITE_FULL:
            return DiskFullError(
                f"the disk that holds {path} is full ({said}); free some space and try again"
            )
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return StoreCorruptError(
                f"{path} is damaged or not a database ({said}); restore it from a backup, or salvage it with"
                " `sqlite3 memory.db .recover`"
            )
        case sqlite3.SQLITE_IOERR:
            return StoreError(
                f"reading or writing {path} failed ({said}); check the disk, its free space and the file's permissions"
            )
        case _:
            return None
