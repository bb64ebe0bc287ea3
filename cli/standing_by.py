"""`python -m memsdk.cli.standing_by STORE`: the standby of a store, started by `memsdk.cli.standby`, which see."""

from __future__ import annotations

import gc
import io
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import cast

from filelock import FileLock, Timeout

from memsdk.cli import head_start
from memsdk.cli.main import GARBAGE as MANY_OBJECTS
from memsdk.cli.main import cli
from memsdk.cli.places import DATABASE, INDEX
from memsdk.cli.standby import BUSY, GREETING_S, SHOWN_BY, SOCKET, TAKEN, identity, stays_s
from memsdk.index.address import FAMILY, address, key_of, mark_of, socket_path
from memsdk.index.protocol import GARBAGE, LOST, know_client, receive, send

LOCK = "standby.lock"
LOOK_S = 0.5


class StandingBy:
    """Runs one command at a time; whoever comes meanwhile is told so."""

    def __init__(self, folder: Path) -> None:
        """Args: `folder` is that of the store's index."""
        self._key = key_of(folder)
        self._identity = identity()
        self._running = threading.Lock()
        self._last = time.monotonic()

    @property
    def idle_s(self) -> float:
        """Seconds since the last command."""
        return 0.0 if self._running.locked() else time.monotonic() - self._last

    def accept(self, listener: Listener) -> None:
        """Serve who comes, each in a thread of its own: a silent one keeps nobody waiting."""
        while True:
            try:
                connection = listener.accept()
            except OSError:
                time.sleep(LOOK_S)
                continue
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        with connection:
            try:
                know_client(connection, self._key, within_s=GREETING_S)
                asked_by, request = receive(connection)
                if asked_by != self._identity or not self._running.acquire(blocking=False):
                    send(connection, [BUSY])
                    return
                try:
                    send(connection, [TAKEN])
                    send(connection, run(cast("Mapping[str, object]", request)))
                finally:
                    self._last = time.monotonic()
                    self._running.release()
            except (*LOST, *GARBAGE):
                return  # whoever asked runs it itself, or has gone


class Screen(io.TextIOWrapper):
    """Where a command prints, as if it were at the stream of the one who asked."""

    def __init__(self, *, encoding: str, is_terminal: bool) -> None:
        self._printed = io.BytesIO()
        self._is_terminal = is_terminal
        super().__init__(self._printed, encoding=encoding, errors="backslashreplace", newline="")

    def isatty(self) -> bool:
        """As theirs."""
        return self._is_terminal

    def printed(self) -> bytes:
        """All that was printed."""
        self.flush()
        return self._printed.getvalue()


def run(request: Mapping[str, object]) -> tuple[int, bytes, bytes]:
    """Run a command; its exit code and what it printed on stdout and stderr."""
    out, err = (
        Screen(encoding=str(encoding), is_terminal=bool(is_terminal))
        for encoding, is_terminal in cast("Sequence[Sequence[object]]", request["streams"])
    )
    with (
        chdir(str(request["folder"])),
        _shown_by(cast("Mapping[str, str]", request["shown_by"])),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        code = _exit_code(cast("Sequence[str]", request["arguments"]))
    return code, out.printed(), err.printed()


def _exit_code(arguments: Sequence[str]) -> int:
    """What the command would have left its process with."""
    try:
        cli(arguments, prog_name="memsdk")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


@contextmanager
def _shown_by(wanted: Mapping[str, str]) -> Iterator[None]:
    """The environment that decides how a result looks, theirs for a while."""
    kept = {name: os.environ.pop(name) for name in SHOWN_BY if name in os.environ}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name in SHOWN_BY:
            os.environ.pop(name, None)
        os.environ.update(kept)


def load(store: Path) -> None:
    """Import what a recall imports, and read the store's model."""
    from memsdk import wiring  # noqa: F401
    from memsdk.cli import recalling  # noqa: F401
    from memsdk.index import client  # noqa: F401

    reading = head_start.begin(store / DATABASE, embedder=os.environ.get("MEMSDK_EMBEDDER"))
    if reading is not None and (error := reading.exception()) is not None:
        raise error


def serve(folder: Path) -> None:
    """Return when it is time to leave."""
    path, hosts = socket_path(folder, SOCKET), socket_path(folder)
    assert path is not None  # no standby is started where sockets have no path
    assert hosts is not None
    path.unlink(missing_ok=True)  # of one that was killed: we hold the lock
    standing = StandingBy(folder)
    with address(folder, SOCKET) as name:
        listener = Listener(name, family=FAMILY, backlog=16)
        mark = mark_of(path)
        threading.Thread(target=standing.accept, args=(listener,), daemon=True).start()
        while hosts.exists() and standing.idle_s <= stays_s():
            time.sleep(LOOK_S)
            if mark_of(path) != mark:
                return
        path.unlink(missing_ok=True)


def main(arguments: Sequence[str]) -> None:
    """Load, then stand by, unless another does."""
    store = Path(arguments[0])
    os.umask(0o077)
    gc.set_threshold(MANY_OBJECTS)
    try:
        with FileLock(store / INDEX / LOCK, blocking=False):
            load(store)
            gc.freeze()
            serve(store / INDEX)
    except (Timeout, FileNotFoundError):  # another stands by, or the store was removed meanwhile
        return


if __name__ == "__main__":
    main(sys.argv[1:])
    os._exit(0)  # a call that nobody waits for any more would hold the interpreter's own end
