"""Ctrl-C inside a statement."""

from __future__ import annotations

from pathlib import Path

import pytest

from memsdk.records import open_store
from memsdk.records.admin import SqlAdmin
from memsdk.testing.store_drafts import fact


class _Bomb:
    """A value that is interrupted while the driver reads it."""

    def __conform__(self, protocol: object) -> object:
        raise KeyboardInterrupt


def test_an_interrupted_transaction_gives_its_lock_back_at_once(tmp_path: Path) -> None:
    """The exception's traceback keeps the statement alive, and with it, half a minute long, everybody's write lock."""
    store = open_store(tmp_path, busy_timeout_s=0.2)
    assert isinstance(store.admin, SqlAdmin)
    statement = "INSERT INTO meta (key, value) VALUES (?, ?)"
    database = store.admin._database
    with pytest.raises(KeyboardInterrupt) as caught, database.write() as connection:
        connection.exec_driver_sql(statement, [("one", b""), ("two", _Bomb())])
    assert caught.traceback
    store.records.add([fact("next")], owner=None)
    store.close()
