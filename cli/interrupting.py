"""Ctrl-C at a moment that suits the work: the first is kept until a safe point, the second acts at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from memsdk.cli.output import note


class Stop:
    """Whether Ctrl-C was pressed."""

    def __init__(self) -> None:
        self._wanted = False

    def heed(self) -> None:
        """A safe point: raises KeyboardInterrupt if it was."""
        if self._wanted:
            raise KeyboardInterrupt

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        if self._wanted:
            raise KeyboardInterrupt
        self._wanted = True
        note("\nstopping at the next safe point; Ctrl-C again stops at once")


@contextmanager
def gentle_interrupts() -> Iterator[Stop]:
    """Within it, Ctrl-C waits for `heed`. For work that has safe points, and short ways between them."""
    stop = Stop()
    before = signal.signal(signal.SIGINT, stop)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
