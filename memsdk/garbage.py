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

NEVER = 1 << 30

_lock = threading.Lock()
_holders = 0
_before = gc.get_threshold()


@contextmanager
def no_full_collection() -> Iterator[None]:
    """While any thread is in this block, the oldest generation is left alone; a program that says otherwise has its way."""
    global _holders, _before  # noqa: PLW0603 -- the collector is the process's
    with _lock:
        if _holders == 0:
            _before = gc.get_threshold()
            gc.set_threshold(*_before[:2], NEVER)
        _holders += 1
    try:
        yield
    finally:
        with _lock:
            _holders -= 1
            if _holders == 0 and gc.get_threshold()[2] == NEVER:
                gc.set_threshold(*_before)
