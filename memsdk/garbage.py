"""No full garbage collection while many records are written.

What a long list makes is in use until the list is written, so that there is little to collect; but the more of it there is,
the more often Python looks at every object that the program holds. That took a twentieth of an ingest's time (docs/speed.md).
Young garbage is collected as ever.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from memsdk.forking import renew_in_child

NEVER = 1 << 30


@contextmanager
def no_full_collection() -> Iterator[None]:
    """While any thread is in this block, the oldest generation is left alone; a program that says otherwise has its way."""
    _collector.hold()
    try:
        yield
    finally:
        _collector.let_go()


class _Collector:
    """The process's own, and how many threads hold it back."""

    def __init__(self) -> None:
        self._before = gc.get_threshold()
        self.renew()

    def renew(self) -> None:
        """Nobody does: as in a forked child, which has none of its parent's other threads."""
        self._lock, self._holders = threading.Lock(), 0
        self._give_back()

    def hold(self) -> None:
        with self._lock:
            if self._holders == 0:
                self._before = gc.get_threshold()
                gc.set_threshold(*self._before[:2], NEVER)
            self._holders += 1

    def let_go(self) -> None:
        with self._lock:
            self._holders = max(0, self._holders - 1)  # a fork within the block has forgotten it
            if self._holders == 0:
                self._give_back()

    def _give_back(self) -> None:
        if gc.get_threshold()[2] == NEVER:
            gc.set_threshold(*self._before)


_collector = _Collector()
renew_in_child(_collector.renew)
