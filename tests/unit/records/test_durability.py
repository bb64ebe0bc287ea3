"""Which transactions wait for the disk."""

from __future__ import annotations

from pathlib import Path

from memsdk.records.database import Database, default_free_bytes

NORMAL, FULL = 1, 2


def test_a_write_waits_for_the_disk_also_after_one_that_did_not(tmp_path: Path) -> None:
    """Connections are pooled: what the outbox relaxes for its own notes must not cost a remembered text a power cut."""
    database = Database(
        tmp_path / "memory.db", synchronous="FULL", busy_timeout_s=5.0, free_bytes=default_free_bytes
    )
    modes = []
    for durable in (True, False, True):
        with database.write(durable=durable) as connection:
            modes.append(connection.exec_driver_sql("PRAGMA synchronous").scalar())
    database.close()
    assert modes == [FULL, NORMAL, FULL]
