# ruff: noqa: D102, D103 -- helpers are told by their names
from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from uuid import UUID

from memsdk.background import LOG_BATCH, LOG_PAUSE_S, Background
from memsdk.errors import IndexUnavailableError
from memsdk.models import Kind, Scope
from memsdk.ports import RecallEntry


class Work:
    """Stands for the indexer and the recall log; fails as often as told, then counts."""

    unsettled = False

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.pending = 3
        self.logged: list[RecallEntry] = []
        self.batches: list[tuple[float, int]] = []  # when, and of how many entries
        self.done = threading.Event()

    def drain(self, *, limit: int) -> int:
        if self.failures:
            self.failures -= 1
            raise IndexUnavailableError("not yet")
        taken, self.pending = min(1, self.pending), max(0, self.pending - 1)
        if not self.pending:
            self.done.set()
        return taken

    def settle(self) -> int:
        return 0

    def log(self, entries: Sequence[RecallEntry]) -> None:
        self.logged += entries
        self.batches.append((time.monotonic(), len(entries)))


def entry(number: int) -> RecallEntry:
    return RecallEntry(
        id=UUID(int=number), query="q", scope=Scope(), at=datetime.now(UTC), fingerprint="f", query_version="v",
        kinds=(Kind.MEMORY,), k=1, candidates=(),
    )  # fmt: skip


def test_what_failed_is_tried_again() -> None:
    """A host that restarts must not leave neighbours stale until the next start of the agent."""
    work = Work(failures=1)
    background = Background(drainer=work, log=work, enabled=True)  # type: ignore[arg-type]  # half of a log is enough
    background.nudge()
    assert work.done.wait(10)
    background.stop()


def test_the_log_is_written_in_the_background_and_on_demand() -> None:
    """A recall must not wait for the log, and `feedback` must find it there."""
    work = Work()
    quiet = Background(drainer=work, log=work, enabled=False)  # type: ignore[arg-type]  # half of a log is enough
    for number in range(600):
        quiet.record(entry(number))
    assert work.logged == []
    quiet.write_log()
    assert [item.id.int for item in work.logged] == list(range(600))
    busy = Background(drainer=work, log=work, enabled=True)  # type: ignore[arg-type]  # half of a log is enough
    busy.record(entry(1_000))
    deadline = time.monotonic() + 10
    while len(work.logged) < 601 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(work.logged) == 601
    busy.stop()
    busy.stop()


def test_the_log_is_written_a_little_at_a_time() -> None:
    """256 entries in one go took Python's lock for so long that the recalls meanwhile took 20 to 50 ms, and so one of a hundred."""
    work = Work()
    background = Background(drainer=work, log=work, enabled=False)  # type: ignore[arg-type]  # half of a log is enough
    for number in range(3 * LOG_BATCH):
        background.record(entry(number))
    background.write_log(pause_s=LOG_PAUSE_S)
    times, sizes = zip(*work.batches, strict=True)
    assert max(sizes) <= 16
    assert min(later - sooner for sooner, later in pairwise(times)) >= LOG_PAUSE_S
    assert len(work.logged) == 3 * LOG_BATCH
