"""A head start: the store's model is read in a thread while the rest of memsdk is imported. Nothing depends on it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures import Future


def begin(database: Path, *, embedder: str | None) -> Future[None] | None:
    """Begin to read the weights that the next `Memory.open` of this store will ask for; errors are left to that.

    Returns None where it can't be said what will be asked for, or where torch will read it. Nobody has to wait for it.

    Args:
        database: the store's; it may be missing or damaged.
        embedder: the one that was asked for instead of the store's own.
    """
    source = embedder or _recorded(database)
    if source is None:
        return None
    from pydantic import ValidationError

    from memsdk.beside import beside
    from memsdk.embedding.loading import read_ahead
    from memsdk.settings import Settings

    try:
        settings = Settings()
    except ValidationError:
        return None
    if settings.device != "cpu" or settings.dtype == "bfloat16":
        return None
    return beside(lambda: read_ahead(source, threads=settings.threads))


def _recorded(database: Path) -> str | None:
    """What the store's embedder is loaded by, read without the tables' description; None where that can't be said."""
    try:
        with closing(
            sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=0)
        ) as opened:
            row = opened.execute("SELECT spec FROM embedders WHERE state = 'active'").fetchone()
        return None if row is None else str(json.loads(row[0])["source"])
    except (sqlite3.Error, ValueError, TypeError, KeyError):
        return None
