"""One store used by several processes, by forked ones and by threads, through the index host."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from memsdk import Memory
from memsdk.testing.process_workers import run


def test_four_processes_find_what_each_other_wrote(tmp_path: Path) -> None:
    """An agent, its worker and a job share one store; what one has written, the others must find."""
    result = run(tmp_path, writers=2, readers=2, count=60)
    assert result["errors"] == []
    assert (result["lost"], result["doubled"], result["clean"], result["records"]) == (0, 0, True, 120)


def test_an_agent_serves_while_the_command_line_ingests(tmp_path: Path) -> None:
    """A night's import must not stop the agent, nor either lose what the other writes."""
    store, folder = tmp_path / "store", tmp_path / "handbook"
    folder.mkdir()
    for number in range(30):
        (folder / f"{number}.md").write_text(
            f"# Chapter {number}\n\nThe code of door {number} is {number * 37}.\n"
        )
    with Memory.open(store, embedder="hashing", host_idle_s=0.3) as memory:
        memory.remember("before", user_id="ana")
        command = [sys.executable, "-m", "memsdk", "ingest", str(folder), "--store", str(store)]
        ingest = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        written = 0
        while ingest.poll() is None:
            memory.remember(f"meanwhile {written}", user_id="ana")
            assert memory.recall(f"meanwhile {written}", user_id="ana", k=3, kinds=["memory"])
            written += 1
        assert ingest.stderr is not None
        with ingest.stderr as stderr:
            assert ingest.returncode == 0, stderr.read()
        assert "481" in memory.recall("the code of door 13", user_id="ana", kinds=["document"], k=3)[0].text
        memory.flush()
        assert memory.verify().clean
        assert memory.stats().records == {"memory": written + 1, "document": 30}


def test_a_forked_agent_goes_on_and_so_does_its_parent(tmp_path: Path) -> None:
    """Servers fork with a store open, while threads of the parent are at work in it."""
    with Memory.open(tmp_path / "store", embedder="hashing", host_idle_s=0.3) as memory:
        memory.remember("the parent's first", user_id="ana")
        stop = threading.Event()
        chatter = threading.Thread(target=_chatter, args=(memory, stop))
        chatter.start()
        try:
            for number in range(6):
                assert _in_child(lambda n=number: _child(memory, n)) == 0  # type: ignore[misc]  # n is bound here
                assert memory.recall(f"child {number}", user_id="ana", k=1)[0].text == f"child {number}"
        finally:
            stop.set()
            chatter.join()
        memory.flush()
        assert memory.verify().clean
        texts = [record.text for record in memory.list(user_id="ana")]
        assert sorted(text for text in texts if text.startswith("child")) == [f"child {n}" for n in range(6)]


def test_recalls_that_wait_for_the_log_are_written_by_the_parent_alone(tmp_path: Path) -> None:
    """A fork copies what waits; written twice, the log's own ids would clash."""
    with Memory.open(tmp_path / "store", embedder="hashing", index="exact", background=False) as memory:
        memory.remember("tea", user_id="ana")
        memory.recall("tea", user_id="ana")
        assert _in_child(memory._parts.background.write_log) == 0
        memory.flush()
        assert memory.stats().recalls == 1


def test_eight_threads_on_one_memory(tmp_path: Path) -> None:
    """An agent's server has one memory and many threads; each must see its own writes and no error."""

    def live(thread: int) -> None:
        for number in range(12):
            kept = memory.remember(f"thread {thread} keeps {number}", user_id=f"u{thread}")
            gone = memory.remember(f"thread {thread} drops {number}", user_id=f"u{thread}")
            assert memory.recall(kept.text, user_id=f"u{thread}", k=1)[0].id == kept.id
            memory.forget(gone.id)
            assert gone.id not in [hit.id for hit in memory.recall(gone.text, user_id=f"u{thread}", k=50)]

    with Memory.open(tmp_path / "store", embedder="hashing", host_idle_s=0.3) as memory:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(live, range(8)))
        memory.flush()
        assert memory.verify().clean
        assert memory.stats().records == {"memory": 96}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_writers_of_500_and_two_readers(tmp_path: Path) -> None:
    """The same as above, long enough for flushes, settling and background work to come in between."""
    result = run(tmp_path, writers=2, readers=2, count=500)
    assert (result["errors"], result["lost"], result["doubled"], result["clean"]) == ([], 0, 0, True)


def _chatter(memory: Memory, stop: threading.Event) -> None:
    number = 0
    while not stop.is_set():
        memory.remember(f"chatter {number}", user_id="ben")
        memory.recall("chatter", user_id="ben")
        number += 1
        time.sleep(0.002)


def _child(memory: Memory, number: int) -> None:
    memory.remember(f"child {number}", user_id="ana")
    assert memory.recall(f"child {number}", user_id="ana", k=1)[0].text == f"child {number}"
    assert memory.recall("the parent's first", user_id="ana", k=1)[0].text == "the parent's first"
    memory.close()


def _in_child(work: Callable[[], None]) -> int:
    """Fork, work, and return how the child ended; one that hangs is ended by its alarm."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
