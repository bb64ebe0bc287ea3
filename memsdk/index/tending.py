"""The graphs built without being asked: the index host looks after its collections while it serves.

A search of few points, such as most users have, needs no graph. Where many points of a collection are in none, one is
built as soon as the writing pauses, or at once where it does not pause and the tail has grown long.
"""

from __future__ import annotations

import logging
import threading
import time

from memsdk.errors import ClosedError, MemsdkError
from memsdk.index.engine import Engine

LOOK_S = 1.0  # how often
QUIET_S = 3.0  # without an update: a bulk load is over
LONG = 10  # times what is worth a graph; then the end of the writing is not waited for
RETRY_S = 300.0  # after a failure, such as a disk too full for the copy

log = logging.getLogger("memsdk.index.host")


class Tending:
    """A thread that builds the graphs of an engine's collections when it pays."""

    def __init__(
        self, engine: Engine, *, look_s: float = LOOK_S, quiet_s: float = QUIET_S, retry_s: float = RETRY_S
    ) -> None:
        self._engine = engine
        self._look_s, self._quiet_s, self._retry_s = look_s, quiet_s, retry_s
        self._not_before: dict[str, float] = {}
        self._stop = threading.Event()
        self._building = False

    @property
    def building(self) -> bool:
        """Whether a graph is being built; a host stays until it is."""
        return self._building

    def start(self) -> None:
        """Begin to look."""
        threading.Thread(target=self._run, name="memsdk-tending", daemon=True).start()

    def stop(self) -> None:
        """Look no more. A build under way ends when its engine is closed."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(self._look_s):
            try:
                self.look()
            except ClosedError:
                return

    def look(self) -> None:
        """Build what is worth it now. Failures are told in the log, and tried again later: the index serves as it is."""
        for name, (waiting, quiet_s) in self._engine.waiting().items():
            now = time.monotonic()
            due = quiet_s >= self._quiet_s or waiting >= LONG * self._engine.worth_it
            if not due or now < self._not_before.get(name, 0.0):
                continue
            self._building = True
            try:
                if not self._engine.optimize(name, log.info):
                    self._not_before[name] = time.monotonic() + self._retry_s  # the engine saw nothing to do
            except ClosedError:
                raise
            except MemsdkError as error:
                self._not_before[name] = time.monotonic() + self._retry_s
                log.warning("the graph of %s could not be built: %s", name, error)
            finally:
                self._building = False
