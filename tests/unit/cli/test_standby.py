"""The standby: the next recall is run by a process that is warm, with the same result, and nothing depends on it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Client
from pathlib import Path

import pytest

from memsdk import Memory
from memsdk.cli.standby import SOCKET, Standby, standby_for
from memsdk.cli.standing_by import LOCK, run
from memsdk.index.address import FAMILY, LOG, address
from memsdk.testing.embedders import HashingEmbedder

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")

WAIT_S = 60.0


def until(happened: Callable[[], bool], *, what: str) -> None:
    """Wait for it."""
    deadline = time.monotonic() + WAIT_S
    while not happened():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.05)


@contextmanager
def opened(folder: Path) -> Iterator[Place]:
    """A program that has a store open in this folder; its host leaves soon after it."""
    with Memory.open(folder / "agent-memory", embedder=HashingEmbedder(), host_idle_s=0.3) as memory:
        memory.remember("Tea is at four.", user_id="ana")
        yield Place(folder, memory)


@dataclass(frozen=True, slots=True)
class Place:
    """A folder with an open store in it, and a shell there."""

    folder: Path
    agent: Memory

    @property
    def standby(self) -> Standby:
        """The store's."""
        return Standby(self.folder / "agent-memory" / "index")

    @property
    def is_there(self) -> bool:
        """Whether a standby listens."""
        return (self.standby.folder / SOCKET).exists()

    def ask(
        self, *arguments: str, stdout: int = subprocess.PIPE, **settings: str
    ) -> subprocess.CompletedProcess[bytes]:
        """`memsdk recall`; stderr names what was imported."""
        command = [sys.executable, "-X", "importtime", "-m", "memsdk", "recall", *arguments]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MEMSDK_")}
        environment = {**kept, "MEMSDK_EMBEDDER": "hashing", "MEMSDK_HOST_IDLE_S": "0.3", **settings}
        return subprocess.run(
            command,
            cwd=self.folder,
            stdout=stdout,
            stderr=subprocess.PIPE,
            timeout=WAIT_S,
            check=False,
            env=environment,
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One for all tests that leave it as it was, with a standby."""
    with opened(tmp_path_factory.mktemp("place")) as place:
        assert place.ask("when is tea?", "--user", "ana").returncode == 0
        until(lambda: place.is_there, what="a standby")
        yield place


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Place]:
    """One without a standby."""
    with opened(tmp_path) as place:
        yield place


def by_standby(done: subprocess.CompletedProcess[bytes]) -> bool:
    """Whether the process that was called did without all that a recall needs."""
    return b"sqlalchemy" not in done.stderr


def pid_of(standby: Standby) -> int:
    """Found by its command, as no file names it."""
    for entry in Path("/proc").iterdir():
        words: list[bytes] = []
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
        if b"memsdk.cli.standing_by" in words and os.fsencode(standby.folder.parent) in words:
            return int(entry.name)
    raise AssertionError("there is no standby")


def test_the_second_recall_is_run_by_it_and_prints_the_same(place: Place) -> None:
    """A person sees no difference, and neither does a program."""
    warm = place.ask("when is tea?", "--user", "ana", "--json")
    assert by_standby(warm)
    assert warm.returncode == 0
    (hit,) = json.loads(warm.stdout)["hits"]
    assert hit["text"] == "Tea is at four."
    itself = place.ask("when is tea?", "--user", "ana", "--json", MEMSDK_STANDBY_S="0")
    assert not by_standby(itself)
    assert json.loads(itself.stdout)["hits"] == json.loads(warm.stdout)["hits"]


def test_it_sees_what_was_written_and_forgotten_since(place: Place) -> None:
    """It keeps nothing of the store between two calls."""
    coffee = place.agent.remember("Coffee is at nine.", user_id="ana")
    assert "Coffee" in place.ask("coffee", "--user", "ana").stdout.decode()
    place.agent.forget(coffee.id)
    done = place.ask("coffee", "--user", "ana")
    assert by_standby(done)
    assert "Coffee" not in done.stdout.decode()


def test_errors_and_exit_codes_are_the_commands_own(place: Place) -> None:
    """What a script looks at."""
    done = place.ask("when is tea?", "-k", "0")
    assert by_standby(done)
    assert done.returncode == 2
    assert b"error: k is 0" in done.stderr
    assert place.ask("--no-such-option").returncode == 2


def test_a_reader_that_went_away_ends_it_as_any_command(place: Place) -> None:
    """What could not be printed is not asked for once more."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = place.ask("when is tea?", "--user", "ana", stdout=writer)
    finally:
        os.close(writer)
    assert by_standby(done)
    assert done.returncode == 141


def test_killed_it_is_replaced(place: Place) -> None:
    """Its socket stays behind then, and nobody answers."""
    os.kill(pid_of(place.standby), signal.SIGKILL)
    done = place.ask("when is tea?", "--user", "ana")
    assert done.returncode == 0
    assert not by_standby(done)
    until(lambda: by_standby(place.ask("when is tea?", "--user", "ana")), what="another standby")


def test_stopped_it_delays_a_recall_and_no_more(place: Place) -> None:
    """It accepts, as the system does that for it, and says nothing."""
    pid = pid_of(place.standby)
    os.kill(pid, signal.SIGSTOP)
    try:
        done = place.ask("when is tea?", "--user", "ana")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert done.returncode == 0
    assert not by_standby(done)


def test_a_silent_client_keeps_nobody_waiting(place: Place) -> None:
    """Each is greeted in a thread of its own."""
    with address(place.standby.folder, SOCKET) as name, Client(name, family=FAMILY):
        assert by_standby(place.ask("when is tea?", "--user", "ana"))


def test_without_the_key_nothing_is_told(place: Place) -> None:
    """The socket alone is no right to the store."""
    with address(place.standby.folder, SOCKET) as name, pytest.raises(Exception, match="digest"):
        Client(name, family=FAMILY, authkey=b"guessed")
    assert (place.standby.folder / SOCKET).stat().st_mode & 0o077 == 0


def test_other_settings_are_not_its_own(place: Place) -> None:
    """It was started with others, and would obey those."""
    assert not by_standby(place.ask("when is tea?", "--user", "ana", MEMSDK_LOG_RECALLS="false"))


def test_it_leaves_when_nobody_has_the_store_open(own: Place) -> None:
    """Nothing runs on behind a person's back, and the folder can be removed."""
    own.ask("when is tea?", "--user", "ana")
    until(lambda: own.is_there, what="a standby")
    pid = pid_of(own.standby)
    own.agent.close()
    until(lambda: not Path(f"/proc/{pid}").exists(), what="its leaving")
    assert not own.is_there
    assert "Traceback" not in (own.standby.folder / LOG).read_text()


def test_it_leaves_after_a_while_without_a_call(own: Place) -> None:
    """The agent runs for days, and someone looked once."""
    own.ask("when is tea?", "--user", "ana", MEMSDK_STANDBY_S="0.5")
    until(lambda: own.is_there, what="a standby")
    until(lambda: not own.is_there, what="its leaving")


def test_a_cold_recall_leaves_none_behind(own: Place) -> None:
    """It is for those who come beside a program that has the store open."""
    own.agent.close()
    until(lambda: not (own.standby.folder / "host.sock").exists(), what="the host's leaving")
    assert own.ask("when is tea?", "--user", "ana").returncode == 0
    assert not (own.standby.folder / LOCK).exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["list"],
        ["recall", "-"],
        ["recall", "tea", "--history", "turns.jsonl"],
        ["recall", "tea", "--history=/dev/stdin"],
        ["recall", "tea", "--index", "exact"],
        ["recall", "--help"],
        [],
    ],
)
def test_what_is_run_where_it_was_called(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Other commands, and all that reads a stream or a file that only this process may have."""
    monkeypatch.delenv("MEMSDK_INDEX", raising=False)
    assert standby_for(arguments) is None


@pytest.mark.parametrize(
    ("arguments", "store"),
    [
        (["recall", "tea"], "from-environment"),
        (["recall", "tea", "--store", "a"], "a"),
        (["recall", "--store=b", "tea"], "b"),
    ],
)
def test_the_store_is_the_commands(
    arguments: list[str], store: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By option, by variable."""
    monkeypatch.delenv("MEMSDK_INDEX", raising=False)
    monkeypatch.setenv("MEMSDK_STORE", "from-environment")
    monkeypatch.chdir(tmp_path)
    assert standby_for(arguments) == Standby(tmp_path / store / "index")


def test_output_is_for_the_stream_of_the_one_who_asked(tmp_path: Path) -> None:
    """Colours for a terminal, its width, and characters that it can show."""
    asked = {
        "arguments": ["--version"],
        "folder": str(tmp_path),
        "shown_by": {"COLUMNS": "40"},
        "streams": [["ascii", True], ["utf-8", False]],
    }
    code, out, err = run(asked)
    assert (code, err) == (0, b"")
    assert out.startswith(b"memsdk ")
    assert "COLUMNS" not in os.environ or os.environ["COLUMNS"] != "40"
    code, out, err = run({**asked, "arguments": ["show", "no-such-id", "--store", "none"]})
    assert code != 0
    assert b"there is no store in none" in err
