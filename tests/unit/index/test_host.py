"""The index host: who may start it, who may speak to it, and what happens when it dies."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, answer_challenge, deliver_challenge
from pathlib import Path

import numpy as np
import pytest

from memsdk.errors import ClosedError, DiskFullError, IndexingError, IndexUnavailableError, InvalidInputError
from memsdk.index import client as client_module
from memsdk.index.address import FAMILY, KEY, LOG, SOCKET, address, key_of
from memsdk.index.client import HostedIndex
from memsdk.index.edge import EdgeIndex
from memsdk.index.host import WORTH_IT_VARIABLE
from memsdk.index.protocol import FAILED, greet_host, pack, receive, send
from memsdk.models import CollectionSpec, Point
from memsdk.testing.failpoints import VARIABLE
from memsdk.testing.index_contract import DENSE, SPEC, ask, point, random_points, unit

LINGER_S = 0.3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the index is."""
    return tmp_path / "index"


@pytest.fixture
def index(folder: Path) -> Iterator[HostedIndex]:
    """An index with an empty collection, whose host leaves soon after the test."""
    opened = HostedIndex(folder, linger_s=LINGER_S)
    opened.ensure("space", SPEC)
    yield opened
    opened.close()
    wait_until(lambda: not (folder / SOCKET).exists())


def wait_until(condition: Callable[[], bool], *, seconds: float = 20) -> None:
    """Return once it holds, or fail."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


def host_pid(folder: Path) -> int:
    """The pid of the host that serves now, from its own log."""
    lines = [line for line in (folder / LOG).read_text().splitlines() if "INFO serving" in line]
    return int(lines[-1].split()[2])


def hosts_started(folder: Path) -> int:
    """How many hosts have served the folder, from their log."""
    return (folder / LOG).read_text().count("INFO serving")


def dial(folder: Path) -> Connection:
    """A connection on which nothing was said."""
    with address(folder) as name:
        return Client(name, family=FAMILY)


def test_a_killed_host_is_replaced_and_nothing_is_lost(index: HostedIndex, folder: Path) -> None:
    """The out-of-memory killer takes the host: the agent must not notice."""
    points = random_points(40, seed=1)
    index.upsert("space", points)
    generation = index.generation
    os.kill(host_pid(folder), signal.SIGKILL)
    assert len(ask(index, DENSE)[0]) == 40
    assert index.generation != generation
    assert hosts_started(folder) == 2


def test_a_host_that_dies_in_every_call_is_a_named_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trying for ever would hang the agent."""
    monkeypatch.setenv(VARIABLE, "index-update")
    index = HostedIndex(folder, linger_s=LINGER_S)
    index.ensure("space", SPEC)
    with pytest.raises(IndexUnavailableError, match=r"died twice.*host\.log.*embedded-inline"):
        index.upsert("space", [point()])
    monkeypatch.delenv(VARIABLE)
    index.upsert("space", [point()])  # by a host without the failpoint, once one is started
    assert index.collections() == {"space": 1}
    index.close()


def amid(points: Sequence[Point], at: int, happens: Callable[[], object]) -> Iterator[Point]:
    """The points, and what happens before one of them is made."""
    yield from points[:at]
    happens()
    yield from points[at:]


def test_the_first_points_are_taken_while_the_last_are_made(index: HostedIndex, folder: Path) -> None:
    """To make points takes as long as to take them: one after the other, a batch would wait for both."""
    other = HostedIndex(folder, linger_s=LINGER_S)
    points = random_points(60, seed=1)
    index.upsert("space", amid(points, 50, lambda: wait_until(lambda: other.collections()["space"] > 0)))
    assert index.collections() == {"space": 60}
    other.close()


@pytest.mark.parametrize("at", [1, 50, 199])
def test_a_host_that_dies_between_points_loses_none(index: HostedIndex, folder: Path, at: int) -> None:
    """Some were answered, some sent and some not made: the writer is told that all of them are there."""
    points = random_points(200, seed=2)
    index.upsert("space", amid(points, at, lambda: os.kill(host_pid(folder), signal.SIGKILL)))
    assert {hit.id for hit in index.scan("space")} == {each.id for each in points}
    assert hosts_started(folder) == 2


def test_points_that_cannot_be_made_end_the_writing(index: HostedIndex) -> None:
    """What is written after the error was told would bring back what its caller forgets next."""

    def fail() -> None:
        raise ConnectionResetError("the embedder's server has gone")

    points = random_points(60, seed=3)
    with pytest.raises(ConnectionResetError, match="embedder"):
        index.upsert("space", amid(points, 45, fail))
    index.delete("space", [each.record for each in points])
    time.sleep(0.1)
    assert index.collections() == {"space": 0}
    assert not any(hit for hit in index.scan("space"))


def test_a_point_that_is_refused_ends_the_writing(index: HostedIndex) -> None:
    """The host's answer to one message must not be taken for the answer to another."""
    bad = point(dense=unit(1, 2, 3))
    points = random_points(300, seed=4)
    with pytest.raises(IndexingError, match="4"):
        index.upsert("space", [*points[:100], bad, *points[100:]])
    assert index.collections()["space"] < 301
    index.upsert("space", points)
    assert index.collections() == {"space": 300}


def test_a_host_that_dies_on_a_full_disk_says_so(
    index: HostedIndex, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its death by SIGBUS says nothing; "connection reset" would send the user looking in the wrong place."""
    monkeypatch.setattr(client_module, "free_bytes", lambda _: 3 * 2**20)
    os.kill(host_pid(folder), signal.SIGKILL)
    with pytest.raises(DiskFullError, match="3 MB left"):
        ask(index, DENSE)
    monkeypatch.undo()
    assert ask(index, DENSE) == [[]]


def test_the_host_leaves_after_its_last_client(folder: Path) -> None:
    """A process left behind would hold the shards open for ever."""
    first, second = HostedIndex(folder, linger_s=LINGER_S), HostedIndex(folder, linger_s=LINGER_S)
    first.ensure("space", SPEC)
    second.collections()
    first.close()
    time.sleep(3 * LINGER_S)
    assert second.collections() == {"space": 0}
    assert hosts_started(folder) == 1
    second.close()
    wait_until(lambda: not (folder / SOCKET).exists())

    def opens() -> bool:
        try:
            EdgeIndex(folder).close()
        except IndexUnavailableError:
            return False
        return True

    wait_until(opens)
    with pytest.raises(ClosedError):
        second.collections()


def test_a_host_whose_socket_vanished_leaves(index: HostedIndex, folder: Path) -> None:
    """A cleaner of old files removed it: nobody could reach that host, and no other could open the shards."""
    index.upsert("space", [point()])
    pid = host_pid(folder)
    (folder / SOCKET).unlink()
    wait_until(
        lambda: not Path(f"/proc/{pid}").exists() or "zombie" in Path(f"/proc/{pid}/status").read_text()
    )
    assert len(ask(index, DENSE)[0]) == 1
    assert host_pid(folder) != pid


def test_a_silent_client_blocks_nobody(index: HostedIndex, folder: Path) -> None:
    """A port scanner, or a client stopped in a debugger, must not hold up the others."""
    silent = [dial(folder) for _ in range(3)]
    another = HostedIndex(folder, linger_s=LINGER_S)
    started = time.monotonic()
    assert another.collections() == {"space": 0}
    assert time.monotonic() - started < 2
    another.close()
    for each in silent:
        each.close()


def test_a_wrong_key_is_refused(index: HostedIndex, folder: Path) -> None:
    """Whoever can't read the key file may not read the memories."""
    connection = dial(folder)
    with pytest.raises((AuthenticationError, EOFError)):
        greet_host(connection, b"guessed" * 5, wait_s=5)
    connection.close()
    assert index.collections() == {"space": 0}


def test_key_and_socket_are_the_owners_alone(index: HostedIndex, folder: Path) -> None:
    """Another user of the machine must not get in."""
    assert stat.S_IMODE((folder / KEY).stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / SOCKET).stat().st_mode) & 0o077 == 0


@pytest.mark.parametrize("raw", [b"", b"\xc1", pack({"a": 1}), pack([]), pack(["search"]), pack([5, 5])])
def test_garbage_is_hung_up_on_and_the_host_serves_on(index: HostedIndex, folder: Path, raw: bytes) -> None:
    """A client with a bug must not take the others' index away."""
    connection = dial(folder)
    greet_host(connection, key_of(folder), wait_s=5)
    connection.send_bytes(raw)
    with suppress(EOFError):
        assert receive(connection)[0] == FAILED
    connection.close()
    assert index.collections() == {"space": 0}
    assert hosts_started(folder) == 1


def test_an_oversized_message_is_refused(index: HostedIndex, folder: Path) -> None:
    """A length of two gigabytes must not make the host allocate them."""
    with socket.socket(socket.AF_UNIX) as raw, address(folder) as name:
        raw.connect(name)
        raw.sendall(b"\x7f\xff\xff\xff" + b"x" * 100)
    connection = dial(folder)
    greet_host(connection, key_of(folder), wait_s=5)
    os.write(connection.fileno(), b"\x7f\xff\xff\xff" + b"x" * 100)
    with pytest.raises((EOFError, ConnectionResetError)):
        receive(connection)
    connection.close()
    assert index.collections() == {"space": 0}


def test_another_protocol_version_is_refused_by_name(index: HostedIndex, folder: Path) -> None:
    """Two releases on one store: the error says so, and the host with other clients stays."""
    connection = dial(folder)
    answer_challenge(connection, key_of(folder))
    deliver_challenge(connection, key_of(folder))
    send(connection, ["hello", [99]])
    assert receive(connection)[1] == "IndexUnavailableError"
    connection.close()
    assert index.collections() == {"space": 0}


def test_the_hosts_errors_arrive_as_what_they_are(index: HostedIndex) -> None:
    """Callers tell a full disk from a missing collection by the error's class."""
    with pytest.raises(IndexingError, match="memsdk repair"):
        ask(index, DENSE, collection="nowhere")
    with pytest.raises(InvalidInputError, match="name"):
        index.ensure("../elsewhere", SPEC)


def test_a_deep_folder_is_served(tmp_path: Path) -> None:
    """Unix limits a socket's path to about 100 bytes; a project's folder may be deeper."""
    folder = tmp_path / ("deep" * 20) / ("deeper" * 15)
    index = HostedIndex(folder, linger_s=LINGER_S)
    index.ensure("space", SPEC)
    another = HostedIndex(folder, linger_s=LINGER_S)
    assert another.collections() == {"space": 0}
    assert hosts_started(folder) == 1
    index.close()
    another.close()


CLIENT = """
import sys
from pathlib import Path
from memsdk.index.client import HostedIndex
from memsdk.testing.index_contract import SPEC, random_points
index = HostedIndex(Path(sys.argv[1]), linger_s=1)
index.ensure("space", SPEC)
index.upsert("space", random_points(20, seed=int(sys.argv[2])))
print(sum(1 for _ in index.scan("space")) >= 20)
index.close()
"""


def test_a_host_that_hangs_is_a_named_error(index: HostedIndex, folder: Path) -> None:
    """A stopped process answers nothing: waiting for ever would hang the agent."""
    impatient = HostedIndex(folder, wait_s=1.0)
    impatient.collections()
    os.kill(host_pid(folder), signal.SIGSTOP)
    stat = Path(f"/proc/{host_pid(folder)}/stat")
    # until it has stopped its threads may answer
    wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T")
    try:
        with pytest.raises(IndexUnavailableError, match="silent"):
            impatient.collections()
    finally:
        os.kill(host_pid(folder), signal.SIGCONT)
    assert impatient.collections() == {"space": 0}
    impatient.close()


def test_processes_that_start_together_share_one_host(folder: Path) -> None:
    """Four workers of one agent come up at once."""
    workers = [
        subprocess.Popen([sys.executable, "-c", CLIENT, str(folder), str(seed)], stdout=subprocess.PIPE)
        for seed in range(4)
    ]
    assert [worker.communicate(timeout=60)[0].strip() for worker in workers] == [b"True"] * 4
    assert hosts_started(folder) == 1
    index = HostedIndex(folder, linger_s=LINGER_S)
    assert index.collections() == {"space": 80}
    index.close()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_gets_its_own_connection(index: HostedIndex) -> None:
    """gunicorn forks after the store was opened: two processes on one connection would read each other's answers."""
    index.upsert("space", [point()])

    def in_child() -> None:
        index.upsert("space", [point()])
        sys.exit(len(ask(index, DENSE)[0]))

    children = [multiprocessing.get_context("fork").Process(target=in_child) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join(30)
    assert {child.exitcode for child in children} <= {2, 3}
    assert len(ask(index, DENSE)[0]) == 3


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_does_not_wait_for_a_thread_that_only_its_parent_has(index: HostedIndex) -> None:
    """It was in the middle of a call at the fork: what it held then is held in the child for ever."""
    index.upsert("space", [point()])

    def in_child() -> None:
        assert index.generation
        index.close()

    with index._lock:
        child = multiprocessing.get_context("fork").Process(target=in_child)
        child.start()
    child.join(10)
    child.kill()
    assert child.exitcode == 0


def test_threads_share_an_index(index: HostedIndex) -> None:
    """Parallel recalls go side by side with a long upsert, and nobody gets another's answer."""
    points = random_points(60, seed=2)
    index.upsert("space", points)
    wrong: list[int] = []

    def search(number: int) -> None:
        for _ in range(20):
            best = ask(index, type(DENSE)(name="dense", dense=points[number].dense["dense"]), limit=1)[0][0]
            if best.id != points[number].id:
                wrong.append(number)

    threads = [threading.Thread(target=search, args=(number,)) for number in range(6)]
    far = [point(dense=unit(*([-1] * 4))) for _ in range(2_000)]
    threads.append(threading.Thread(target=index.upsert, args=("space", far)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_host_that_cannot_start_names_log_and_inline_mode(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sandbox without child processes: the user learns of the mode that needs none."""
    monkeypatch.setattr(sys, "executable", str(shutil.which("false")))
    with pytest.raises(IndexUnavailableError, match=r"host\.log.*embedded-inline"):
        HostedIndex(folder).collections()
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(IndexUnavailableError, match="embedded-inline"):
        HostedIndex(folder).collections()


def test_the_host_loads_neither_torch_nor_numpy() -> None:
    """Its start is on the way to the first recall."""
    code = "import sys, memsdk.index.host; print(sorted({'torch','numpy','pydantic','sqlalchemy'} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_the_host_optimizes_and_tells_how_it_goes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator who runs `memsdk optimize` sees that something happens, and the agents go on meanwhile."""
    monkeypatch.setenv(WORTH_IT_VARIABLE, "500")
    index = HostedIndex(folder, linger_s=LINGER_S)
    index.ensure("space", CollectionSpec(dense={"dense": 384}))
    rows = np.eye(384, dtype=np.float32)
    for start in range(4):
        index.upsert("space", [point(dense=np.roll(rows, start, axis=0)[number]) for number in range(384)])
    told: list[str] = []
    assert index.optimize("space", progress=told.append)
    assert "switched" in told[-1]
    assert index.collections() == {"space": 4 * 384}
    os.kill(host_pid(folder), signal.SIGKILL)
    assert index.collections() == {"space": 4 * 384}
    index.close()


def test_the_pointer_is_plain_json(index: HostedIndex, folder: Path) -> None:
    """An operator can see which shard serves."""
    assert json.loads((folder / "space" / "CURRENT").read_text())["spec"]["dense"] == {"dense": 4}
