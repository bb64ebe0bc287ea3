"""The graphs built without being asked: the index host looks after its collections while it serves.

A search of few points, such as most users have, needs no graph. Where many points of a collection are in none, one is
built as soon as the writing pauses, or at once where it does not pause and the tail has grown long.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from memsdk.errors import ClosedError, MemsdkError
from memsdk.index.engine import Engine

LOOK_S = 1.0  # how often
QUIET_S = 3.0  # without an update: a bulk load is over
LONG = 10  # times what is worth a graph; then the end of the writing is not waited for
RETRY_S = 300.0  # after a failure, such as a disk too full for the copy

log = logging.getLogger("memsdk.index.host")


class Tending:
    """A thread that builds the graphs of an engine's collections when it pays.

    Args:
        engine: whose collections.
        alone: whether nobody is left who could write; then no pause is waited for.
        look_s: how often to look.
    """

    def __init__(self, engine: Engine, *, alone: Callable[[], bool], look_s: float = LOOK_S) -> None:
        self._engine = engine
        self._alone = alone
        self._look_s = look_s
        self._not_before: dict[str, float] = {}
        self._stop = threading.Event()
        self._looked_at = 0.0
        self._ended = False

    def start(self) -> None:
        """Begin to look."""
        threading.Thread(target=self._run, name="memsdk-tending", daemon=True).start()

    def stop(self) -> None:
        """Look no more. A build under way ends when its engine is closed."""
        self._stop.set()

    def has_nothing_to_do(self, *, since: float) -> bool:
        """Whether a look that began later than this time (`time.monotonic`) found nothing to build."""
        return self._ended or self._looked_at > since

    def _run(self) -> None:
        try:
            while not self._stop.wait(self._look_s):
                began = time.monotonic()
                try:
                    built = self.look()
                except ClosedError:
                    return
                except MemsdkError as error:  # of a collection that is being dropped; or the shard is damaged
                    log.warning("the graphs could not be looked after: %s", error)
                    built = False
                if not built:
                    self._looked_at = began
        finally:
            self._ended = True

    def look(self) -> bool:
        """Build what is worth it now; True where something was built.

        A failure is told in the log, and tried again after a while: the index serves as it is. Raises ClosedError.
        """
        built = False
        for name, (waiting, quiet_s) in self._engine.waiting().items():
            now = time.monotonic()
            due = quiet_s >= QUIET_S or waiting >= LONG * self._engine.worth_it or self._alone()
            if due and now >= self._not_before.get(name, 0.0):
                built |= self._build(name)
        return built

    def _build(self, name: str) -> bool:
        built = False
        try:
            built = self._engine.optimize(name, log.info)
        except MemsdkError as error:
            log.warning("the graph of %s could not be built: %s", name, error)
        if not built:
            self._not_before[name] = time.monotonic() + RETRY_S
        return built
