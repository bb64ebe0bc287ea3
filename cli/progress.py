"""How far long work has come: on stderr, on one line, with its rate and the time left; silent where nobody looks."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import Self

from memsdk.cli.output import cut, one_line

EVERY_S = 0.1
CLEAR = "\r\x1b[K"


class Progress:
    """A context manager around the work; `update` is what the SDK calls."""

    def __init__(self, what: str, *, unit: str) -> None:
        """Args: `what` says what is done ("reading"), `unit` what is counted ("files")."""
        self._what = what
        self._unit = unit
        self._shown = sys.stderr.isatty()
        self._began = self._last = 0.0

    def __enter__(self) -> Self:
        """Show that it begins."""
        self._began = time.monotonic()
        self._show(self._what)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the line empty for what is printed next."""
        self.clear()

    def clear(self) -> None:
        """Empty the line."""
        if self._shown:
            sys.stderr.write(CLEAR)
            sys.stderr.flush()

    def update(self, done: int, total: int, label: str = "") -> None:
        """So many are done, of so many."""
        now = time.monotonic()
        if not self._shown or (now - self._last < EVERY_S and done < total):
            return
        self._last = now
        self._show(
            f"{self._what}  {_state(done, total, seconds=now - self._began, unit=self._unit)}  {label}"
        )

    def _show(self, text: str) -> None:
        if self._shown:
            width = os.get_terminal_size(sys.stderr.fileno()).columns or 80
            sys.stderr.write(CLEAR + cut(one_line(text), width - 1))
            sys.stderr.flush()


def _state(done: int, total: int, *, seconds: float, unit: str) -> str:
    """Such as `40/100 files · 40% · 3.2 files/s · 0:19 left`."""
    rate = done / seconds if seconds > 0 else 0.0
    parts = [f"{done:,}/{total:,} {unit}"]
    if total:
        parts.append(f"{min(100, 100 * done // total)}%")
    if rate:
        parts.append(f"{rate:,.1f} {unit}/s" if rate < 100 else f"{rate:,.0f} {unit}/s")
        parts.append(f"{_clock(max(0, total - done) / rate)} left")
    return " · ".join(parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
