"""The work that nobody waits for: neighbours re-indexed, the recall log written, the outbox settled."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Protocol

from memsdk.errors import MemsdkError
from memsdk.forking import renew_in_child
from memsdk.ports import RecallEntry, RecallLog

logger = logging.getLogger(__name__)

QUIET_S = 0.15  # a burst of writes is over when nothing was written for so long
BURST_S = 2.0  # and is not waited for longer than this
POLL_S = 1.0  # how often other processes' leftovers are looked for
SETTLE_S = 5.0  # a flush stops the engine for up to 0.2 s
SLICE = 16  # changes indexed at a time, so that a foreground call waits little
LOG_BATCH = 16
LOG_PAUSE_S = 0.005
"""Between two batches: at each wait of its own a recall would otherwise stand behind 5 ms of the log's work, Python's
switch interval, and there are half a dozen such waits in it."""
LOG_LIMIT = 100_000


class Drainer(Protocol):
    """What the background needs of the indexer."""

    @property
    def unsettled(self) -> bool:
        """Whether something was applied that the index has not flushed since."""

    def drain(self, *, limit: int) -> int:
        """Index up to `limit` pending changes."""

    def settle(self) -> int:
        """Flush the index and shorten the outbox."""


class Background:
    """One daemon thread a process. Failures are logged and tried again: the outbox keeps what is still to be done.

    Foreground calls wrap their own indexing in `busy()`, and the thread stays out of the way meanwhile.
    """

    def __init__(self, *, drainer: Drainer, log: RecallLog, enabled: bool) -> None:
        self._drainer = drainer
        self._log = log
        self._enabled = enabled
        self._entries: list[RecallEntry] = []
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._written_at = 0.0
        self._thread: threading.Thread | None = None
        self._pid = 0
        renew_in_child(self._renew)

    def nudge(self) -> None:
        """Something was written; look for its neighbours soon."""
        self._written_at = time.monotonic()
        self._wake.set()
        self._ensure_running()

    def record(self, entry: RecallEntry) -> None:
        """Write this to the recall log soon. Beyond 100,000 unwritten entries the oldest are dropped."""
        with self._lock:
            self._entries.append(entry)
            del self._entries[:-LOG_LIMIT]
        self._ensure_running()

    def write_log(self, *, pause_s: float = 0.0) -> None:
        """Write what waits for the recall log now, a batch at a time, with pauses for others."""
        while not (pause_s and self._stop.wait(pause_s)):
            with self._lock:
                batch, self._entries = self._entries[:LOG_BATCH], self._entries[LOG_BATCH:]
            if not batch:
                return
            try:
                self._log.log(batch)
            except MemsdkError:
                with self._lock:
                    self._entries[:0] = batch
                raise

    def stop(self) -> None:
        """End the thread; what waits stays for `write_log` and the outbox."""
        self._stop.set()
        self._wake.set()
        thread = self._thread
        if thread is not None and self._pid == os.getpid() and thread is not threading.current_thread():
            thread.join(timeout=30)

    def _renew(self) -> None:
        """In a forked child: what waits for the log is the parent's to write, and its thread is not here."""
        self._lock, self._wake = threading.Lock(), threading.Event()
        stopped, self._stop = self._stop.is_set(), threading.Event()
        if stopped:
            self._stop.set()
        self._entries, self._thread = [], None

    def _ensure_running(self) -> None:
        """Start the thread, or start it again in a forked child."""
        if (
            not self._enabled
            or self._stop.is_set()
            or (self._thread is not None and self._pid == os.getpid())
        ):
            return
        with self._lock:
            if self._thread is not None and self._pid == os.getpid():
                return
            self._pid = os.getpid()
            self._thread = threading.Thread(target=self._run, name="memsdk-background", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        settled_at = time.monotonic()
        while not self._stop.is_set():
            self._wake.wait(POLL_S)
            self._wake.clear()
            self._wait_for_quiet()
            self._attempt(lambda: self.write_log(pause_s=LOG_PAUSE_S))
            self._attempt(self._drain)
            if self._drainer.unsettled and time.monotonic() - settled_at > SETTLE_S:
                self._attempt(self._drainer.settle)
                settled_at = time.monotonic()

    def _wait_for_quiet(self) -> None:
        began = time.monotonic()
        while not self._stop.is_set():
            now = time.monotonic()
            if now - self._written_at >= QUIET_S or now - began >= BURST_S:
                return
            self._stop.wait(QUIET_S / 3)

    def _drain(self) -> None:
        began = time.monotonic()
        while not self._stop.is_set() and self._drainer.drain(limit=SLICE):
            if time.monotonic() - began > POLL_S:
                self.write_log()
                began = time.monotonic()
            if time.monotonic() - self._written_at < QUIET_S:
                self._wake.set()  # the foreground is writing again: let it
                return

    def _attempt(self, work: Callable[[], object]) -> None:
        try:
            work()
        except MemsdkError as error:
            if not self._stop.is_set():
                logger.warning("background work failed and will be tried again: %s", error)
                self._stop.wait(POLL_S)
