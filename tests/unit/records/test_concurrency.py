"""Threads, processes and forks on one store."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from memsdk.records import open_store
from memsdk.records.database import Database, default_free_bytes
from memsdk.testing.store_drafts import EVERYTHING, fact, said

WRITER = """
import sys
from pathlib import Path
from memsdk.records import open_store
from memsdk.records.database import Database, default_free_bytes
from memsdk.testing.store_drafts import fact
store = open_store(Path(sys.argv[1]))
for n in range(int(sys.argv[3])):
    store.records.add([fact(f"{sys.argv[2]} {n}")], owner=store.token)
    print(n, flush=True)
"""


def test_eight_threads_lose_nothing(tmp_path: Path) -> None:
    """Positions and entries are counted on in transactions; a race would give two turns one place."""
    store = open_store(tmp_path, synchronous="NORMAL")

    def write(thread: int) -> None:
        for n in range(25):
            store.records.add([said(f"{thread} {n}")], owner=None)
            store.records.page(EVERYTHING, limit=3)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    found = store.records.page(EVERYTHING, limit=999)
    assert sorted(record.position or 0 for record in found) == list(range(200))
    store.close()


def test_two_processes_that_open_and_write_at_once_lose_nothing(tmp_path: Path) -> None:
    """Both find an empty folder; only one may make the schema, and neither may fail."""
    processes = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), name, "40"], stdout=subprocess.DEVNULL)
        for name in "ab"
    ]
    assert [process.wait(60) for process in processes] == [0, 0]
    store = open_store(tmp_path)
    assert len(store.records.page(EVERYTHING, limit=999)) == 80
    assert len(store.outbox.claim(owner=store.token, limit=999)) == 80
    store.close()


@pytest.mark.parametrize("after", [1, 20])
def test_what_was_acknowledged_survives_kill_9(tmp_path: Path, after: int) -> None:
    """The first promise."""
    command = [sys.executable, "-c", WRITER, str(tmp_path), "a", "100000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        acknowledged = [int(process.stdout.readline()) for _ in range(after)]
        process.send_signal(signal.SIGKILL)
        acknowledged += [int(line) for line in process.stdout.read().split()]
    store = open_store(tmp_path)
    found = [record.text for record in store.records.page(EVERYTHING, limit=10**6)]
    assert len(found) == len(set(found))
    assert set(found) >= {f"a {n}" for n in acknowledged}
    assert len(store.outbox.claim(owner=store.token, limit=10**6)) == len(found)
    assert store.admin.check() == []
    store.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_and_its_parent_both_go_on(tmp_path: Path) -> None:
    """Servers fork after opening; SQLite's locks do not survive that."""
    store = open_store(tmp_path)
    token = store.token
    store.records.add([fact("before")], owner=token)
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            store.records.page(EVERYTHING, limit=3)

    reader = threading.Thread(target=read)
    reader.start()
    child = os.fork()
    if child == 0:
        try:
            store.records.add([fact(f"child {n}") for n in range(20)], owner=store.token)
            os._exit(
                0 if store.token != token and store.outbox.claim(owner=store.token, limit=9) == [] else 3
            )
        finally:
            os._exit(4)
    for n in range(20):
        store.records.add([fact(f"parent {n}")], owner=store.token)
    _, status = os.waitpid(child, 0)
    stop.set()
    reader.join()
    assert os.waitstatus_to_exitcode(status) == 0
    assert store.token == token
    assert len(store.records.page(EVERYTHING, limit=99)) == 41
    assert len(store.outbox.claim(owner=store.token, limit=99)) == 20
    assert store.admin.check() == []
    store.close()


def test_a_second_interrupt_while_cleaning_up_locks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C pressed twice can tear a transaction from its rollback; the agent then locked itself out for good."""
    open_store(tmp_path).close()
    database = Database(
        tmp_path / "memory.db", synchronous="NORMAL", busy_timeout_s=0.5, free_bytes=default_free_bytes
    )
    torn = []

    def close_torn(connection: sa.Connection) -> None:
        torn.append(connection)  # alive, as a traceback would keep it
        raise KeyboardInterrupt

    def interrupted() -> None:
        with monkeypatch.context() as patch, database.write() as connection:
            connection.exec_driver_sql("DELETE FROM records")
            patch.setattr(sa.Connection, "close", close_torn)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert torn
    with database.write() as connection:
        connection.exec_driver_sql("DELETE FROM records")
    database.close()
