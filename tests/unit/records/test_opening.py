"""Opening what is no store, a newer one, a damaged one, a locked one."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from memsdk.errors import (
    ClosedError,
    DiskFullError,
    InvalidInputError,
    StoreCorruptError,
    StoreError,
    StoreLockedError,
    StoreReadOnlyError,
    StoreVersionError,
)
from memsdk.models import Draft
from memsdk.records import SqlStore, open_store
from memsdk.testing.store_drafts import EVERYTHING, fact, said, texts

as_root = pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")


def test_a_store_is_made_and_found_again(tmp_path: Path) -> None:
    """The first open makes what the second finds."""
    with_parents = tmp_path / "deep" / "er"
    store = open_store(with_parents)
    store.records.add([fact("kept")], owner=None)
    store.close()
    store.close()
    with pytest.raises(ClosedError, match="open it again"):
        store.records.page(EVERYTHING, limit=1)
    again = open_store(with_parents)
    assert texts(again.records.page(EVERYTHING, limit=9)) == ["kept"]
    again.close()


def test_a_link_to_a_store_opens_the_store(tmp_path: Path) -> None:
    """Two names of one folder must not be two stores."""
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    (tmp_path / "real").mkdir()
    one, two = open_store(tmp_path / "real"), open_store(tmp_path / "link")
    one.records.add([fact("x")], owner=one.token)
    assert texts(two.records.page(EVERYTHING, limit=9)) == ["x"]
    assert two.outbox.claim(owner=two.token, limit=9) == []
    one.close()
    assert len(two.outbox.claim(owner=two.token, limit=9)) == 1
    two.close()


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    """A raw NotADirectoryError tells a user nothing."""
    (tmp_path / "f").write_text("x")
    with pytest.raises(StoreError, match="is a file"):
        open_store(tmp_path / "f")
    with pytest.raises(StoreReadOnlyError, match="can't be made"):
        open_store(tmp_path / "f" / "below")


@as_root
def test_a_read_only_folder_is_named(tmp_path: Path) -> None:
    """The cure is a permission, and the message must say so."""
    tmp_path.chmod(0o500)
    with pytest.raises(StoreReadOnlyError, match="writable"):
        open_store(tmp_path)
    tmp_path.chmod(0o700)


def test_a_newer_store_is_refused_and_left_alone(tmp_path: Path) -> None:
    """An old memsdk that writes to a newer schema would damage it."""
    open_store(tmp_path).close()
    with sqlite3.connect(tmp_path / "memory.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(StoreVersionError, match="9999"):
        open_store(tmp_path)


def test_a_foreign_database_is_refused(tmp_path: Path) -> None:
    """Migrating somebody else's memory.db would mix two schemas."""
    connection = sqlite3.connect(tmp_path / "memory.db")
    connection.execute("CREATE TABLE other (x)")
    connection.close()
    with pytest.raises(StoreError, match="not memsdk's"):
        open_store(tmp_path)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    """A user must learn that a backup is needed, not read a traceback."""
    (tmp_path / "memory.db").write_bytes(b"this is no database, but long enough to look like one" * 100)
    with pytest.raises(StoreCorruptError, match="backup"):
        open_store(tmp_path)


def test_pages_damaged_in_the_middle_are_named(tmp_path: Path) -> None:
    """Damage that is found late must be named as well."""
    store = open_store(tmp_path)
    store.records.add([fact(f"text {n} " + "x" * 500) for n in range(500)], owner=None)
    store.eraser.scrub()
    store.close()
    path = tmp_path / "memory.db"
    whole = bytearray(path.read_bytes())
    whole[8192 : len(whole) - 4096] = os.urandom(len(whole) - 12288)
    path.write_bytes(whole)
    with pytest.raises((StoreCorruptError, StoreError)):
        open_store(tmp_path).records.page(EVERYTHING, limit=999)


def test_a_locked_database_is_named_after_the_timeout(tmp_path: Path) -> None:
    """Without a name it would read: OperationalError, database is locked."""
    store = open_store(tmp_path, busy_timeout_s=0.1)
    other = sqlite3.connect(tmp_path / "memory.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreLockedError, match="busy timeout"):
        store.records.add([fact("x")], owner=None)
    other.execute("ROLLBACK")
    other.close()
    store.records.add([fact("x")], owner=None)
    store.close()


def test_a_reader_delays_the_truncation_and_the_next_open_finishes_it(tmp_path: Path) -> None:
    """A forgotten text must not stay in the log because somebody was reading."""
    store = open_store(tmp_path)
    store.records.add([fact("the marker text")], owner=None)
    reader = sqlite3.connect(tmp_path / "memory.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM texts").fetchone()
    store.eraser.forget(EVERYTHING, owner=None)
    assert not store.eraser.scrub()
    assert b"the marker text" in (tmp_path / "memory.db-wal").read_bytes()
    reader.execute("ROLLBACK")
    again = open_store(tmp_path)
    assert b"the marker text" not in (tmp_path / "memory.db-wal").read_bytes()
    assert b"the marker text" not in (tmp_path / "memory.db").read_bytes()
    for each in (store, again, reader):
        each.close()


def test_little_free_space_is_named_before_a_write(tmp_path: Path) -> None:
    """A disk that fills up in the middle of a write can take the index down."""
    free = [10**12]
    store = open_store(tmp_path, free_bytes=lambda folder: free[0])
    store.records.add([fact("x")], owner=None)
    free[0] = 10**6
    drafts = [fact(f"{n}") for n in range(99)]  # the disk is looked at now and then, not at each write
    with pytest.raises(DiskFullError, match="free some space"):
        _add_each(store, drafts)
    free[0] = 10**12
    store.records.add([fact("y")], owner=None)
    store.close()


def test_a_backup_opens_as_a_store(tmp_path: Path) -> None:
    """A backup that was never opened is a hope."""
    store = open_store(tmp_path / "a")
    store.records.add([said("one")], owner=None)
    told: list[tuple[int, int]] = []
    store.admin.backup(tmp_path / "b", progress=lambda done, total: told.append((done, total)))
    store.records.add([said("two")], owner=None)
    copy = open_store(tmp_path / "b")
    assert texts(copy.records.page(EVERYTHING, limit=9)) == ["one"]
    assert copy.admin.secret() == store.admin.secret()
    assert told[-1][0] == told[-1][1]
    with pytest.raises(InvalidInputError, match="taken"):
        store.admin.backup(tmp_path / "b")
    store.close()
    copy.close()


def test_a_synchronous_mode_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    """OFF would break the first promise."""
    with pytest.raises(StoreError, match="FULL"):
        open_store(tmp_path, synchronous="OFF")  # type: ignore[arg-type]  # what is tested


def _add_each(store: SqlStore, drafts: list[Draft]) -> None:
    for draft in drafts:
        store.records.add([draft], owner=None)
