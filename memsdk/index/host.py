"""The index host: the one process of a machine that opens a store's shards, for all that have the store open.

`python -m memsdk.index.host FOLDER [LINGER_S]`, started on demand by `memsdk.index.client`. It leaves by itself some
seconds after its last client and the last graph it builds, and at once when its socket has vanished. It loads no torch
and no numpy.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import cast

from memsdk.errors import ClosedError, IndexUnavailableError, MemsdkError
from memsdk.index.address import FAMILY, LOG, address, key_of, mark_of, socket_path
from memsdk.index.calls import answer
from memsdk.index.engine import WORTH_IT, Engine
from memsdk.index.protocol import DONE, GARBAGE, LOST, PROGRESS, failure, greet_client, receive, send
from memsdk.index.tending import Tending

LINGER_S = 5.0
PATIENCE_S = 15.0  # how long a host waits for the one before it to let go of the shards
LARGEST_LOG = 2**20
WORTH_IT_VARIABLE = "MEMSDK_INDEX_WORTH_IT"  # for tests: from how many points on a graph is built

log = logging.getLogger("memsdk.index.host")


class Host:
    """Serves one engine: a thread a client, until nobody is left."""

    def __init__(self, folder: Path, engine: Engine, *, linger_s: float) -> None:
        self._folder = folder
        self._engine = engine
        self._linger_s = linger_s
        self._key = key_of(folder)
        self._clients = 0
        self._alone_since = time.monotonic() + 2 * linger_s  # who started us has a little longer to come
        self._counting = threading.Lock()
        self._pace_s = min(max(linger_s / 4, 0.02), 0.5)
        self._tending = Tending(engine, alone=lambda: self._clients == 0, look_s=self._pace_s)
        self.leave = threading.Event()

    def serve(self) -> None:
        """Return when it is time to leave, with the engine closed."""
        path = socket_path(self._folder)
        if path is not None:
            path.unlink(missing_ok=True)  # of a host that was killed: we hold the lock
        with address(self._folder) as name:
            listener = Listener(name, family=FAMILY, backlog=64)
            mark = mark_of(path)
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
            self._tending.start()
            log.info("serving %s", self._folder)
            while not self.leave.wait(self._pace_s):
                if mark_of(path) != mark:
                    log.warning("the socket has vanished; leaving")
                    break
                if self._is_alone():
                    log.info("no client is left; leaving")
                    break
            if path is not None and mark_of(path) == mark:
                path.unlink(missing_ok=True)
        self._tending.stop()
        self._engine.close()

    def _is_alone(self) -> bool:
        """Nobody is left, and nothing is being built: clients of seconds would never get their graph otherwise."""
        with self._counting:
            since = self._alone_since
            alone = self._clients == 0 and time.monotonic() - since > self._linger_s
        return alone and self._tending.has_nothing_to_do(since=since)

    def _accept(self, listener: Listener) -> None:
        while True:
            try:
                connection = listener.accept()
            except OSError as error:  # too many open files, or a client that gave up
                log.warning("a client could not be accepted: %s", error)
                time.sleep(0.1)
                continue
            with self._counting:
                self._clients += 1
            threading.Thread(target=self._serve_client, args=(connection,), daemon=True).start()

    def _serve_client(self, connection: Connection) -> None:
        try:
            greet_client(connection, self._key, generation=self._engine.current_generation())
            while self._serve_call(connection):
                pass
        except EOFError:
            pass  # the client has gone
        except (*LOST, *GARBAGE) as error:
            log.warning("a client is hung up on: %s: %s", type(error).__name__, error)
        finally:
            connection.close()
            with self._counting:
                self._clients -= 1
                self._alone_since = time.monotonic()

    def _serve_call(self, connection: Connection) -> bool:
        """False where the engine is closed: hanging up sends the client to the next host."""
        operation, *arguments = receive(connection)

        def progress(text: str) -> None:
            send(connection, [PROGRESS, text])

        try:
            value = answer(self._engine, str(operation), arguments, progress)
        except ClosedError:
            return False
        except MemsdkError as error:
            send(connection, failure(error))
        else:
            send(connection, [DONE, value])
        return True


def open_engine(folder: Path) -> Engine | None:
    """The engine, once nobody else has the folder; None where another host serves it already."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return Engine(folder, worth_it=int(os.environ.get(WORTH_IT_VARIABLE, WORTH_IT)))
        except IndexUnavailableError:
            if _answers(folder):
                return None
            if time.monotonic() > deadline:
                raise
        time.sleep(0.02)


def _answers(folder: Path) -> bool:
    with suppress(OSError), address(folder) as name:
        Client(name, family=FAMILY).close()
        return True
    return False


def main(arguments: list[str]) -> int:
    """Serve one folder until it is time to leave."""
    folder = Path(arguments[0])
    linger_s = float(arguments[1]) if len(arguments) > 1 else LINGER_S
    os.umask(0o077)
    log_file = folder / LOG
    if log_file.exists() and log_file.stat().st_size > LARGEST_LOG:
        os.truncate(log_file, 0)
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s {os.getpid()} %(levelname)s %(message)s")
    try:
        engine = open_engine(folder)
        if engine is None:
            return 0
        host = Host(folder, engine, linger_s=linger_s)
        gc.freeze()  # what is loaded by now stays: no collection has to walk it while a client waits
        signal.signal(signal.SIGTERM, lambda *_: host.leave.set())
        host.serve()
    except (MemsdkError, OSError) as error:
        log.error("can't serve %s: %s", folder, error)  # noqa: TRY400 -- the reason is enough
        return cast("int", getattr(error, "exit_code", 1))
    return 0


if __name__ == "__main__":
    status = main(sys.argv[1:])
    logging.shutdown()
    os._exit(
        status
    )  # threads may still be inside the engine, where the interpreter's own end would wait for them
