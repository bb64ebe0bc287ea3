"""A call made beside the caller's own work: the encoder computes outside the interpreter's lock, so both get on.

Who waits for others' work can help with it (`helping`, `wait_for`): then as many threads compute as there are cores, and not
one more, which would cost each of them its core's cache.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from queue import SimpleQueue
from typing import Generic, Protocol, TypeVar

from memsdk.forking import renew_in_child

IDLE = 4  # threads that are kept for the next call

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def beside(call: Callable[[], Result]) -> Future[Result]:
    """Make the call in another thread, which Ctrl-C in the caller leaves behind and no exit waits for."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 -- the caller meets it in `result`
            future.set_exception(error)

    _workers.begin(run)
    return future


def each_beside(call: Callable[[Item], Result], items: Sequence[Item], *, threads: int) -> list[Result]:
    """The results for all items, in order: this thread and others, `threads` in all, take them as they come free.

    Threads that help count among them. The first error, or Ctrl-C in this thread, keeps the others from taking more.
    """
    job = _Job(call, items)
    with _helpers.offering(job) as helpers:
        for _ in range(min(threads - helpers, len(items)) - 1):
            beside(job.work)
        job.work()
        job.done.result()
    return job.results()


def helping() -> AbstractContextManager[None]:
    """In this block, `wait_for` takes part in what `each_beside` does in other threads."""
    return _helpers.joined()


def wait_for(future: Future[Result]) -> Result:
    """The future's result; a thread that is `helping` works for others meanwhile."""
    if _helpers.is_one():
        future.add_done_callback(lambda _: _helpers.wake())
        while (job := _helpers.next_job(until=future)) is not None:
            job.step()
    return future.result()


class _Workers:
    """Threads that wait for their next call: to start one takes a fifth of a millisecond, and Python's lock with it."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """None is here: as in a forked child."""
        self._idle: list[SimpleQueue[Callable[[], None]]] = []

    def begin(self, call: Callable[[], None]) -> None:
        """Have one make the call, which raises nothing."""
        try:
            calls = self._idle.pop()
        except IndexError:
            calls = SimpleQueue()
            threading.Thread(target=self._work, args=(calls,), name="memsdk-beside", daemon=True).start()
        calls.put(call)

    def _work(self, calls: SimpleQueue[Callable[[], None]]) -> None:
        while True:
            call = calls.get()
            call()
            del call  # and what it holds
            if len(self._idle) == IDLE:
                return
            self._idle.append(calls)


class _Steps(Protocol):
    """What can be helped with."""

    @property
    def has_more(self) -> bool:
        """Whether there is a step left to take."""

    def step(self) -> bool:
        """Take one."""


class _Job(Generic[Item, Result]):
    """Items that any thread may take, one at a time."""

    def __init__(self, call: Callable[[Item], Result], items: Sequence[Item]) -> None:
        self._call, self._items = call, items
        self._lock = threading.Lock()
        self._next, self._found = 0, dict[int, Result]()
        self.done: Future[None] = Future()
        """Done once no item is left; fails with the first error."""
        if not items:
            self.done.set_result(None)

    @property
    def has_more(self) -> bool:
        """Whether an item is left to take."""
        return self._next < len(self._items) and not self.done.done()

    def work(self) -> None:
        """Take items until none is left. An error is met in `done`; Ctrl-C passes through."""
        while self.step():
            pass

    def step(self) -> bool:
        """Take one item; False where none is left."""
        with self._lock:
            if not self.has_more:
                return False
            number, self._next = self._next, self._next + 1
        try:
            result = self._call(self._items[number])
        except BaseException as error:
            self._end(error)
            if isinstance(error, Exception):
                return False
            raise
        with self._lock:
            self._found[number] = result
            is_last = len(self._found) == len(self._items)
        if is_last:
            self._end(None)
        return True

    def results(self) -> list[Result]:
        """Of a job that is done, in the items' order."""
        return [self._found[number] for number in range(len(self._items))]

    def _end(self, error: BaseException | None) -> None:
        with self._lock:
            if self.done.done():
                return
            if error is None:
                self.done.set_result(None)
            else:
                self.done.set_exception(error)


class _Helpers:
    """The jobs that are under way, and the threads that help with them while they wait."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Nobody is here: as in a forked child, which has none of its parent's threads."""
        self._changed = threading.Condition()
        self._jobs: list[_Steps] = []
        self._here: list[int] = []

    @contextmanager
    def joined(self) -> Iterator[None]:
        me = threading.get_ident()
        with self._changed:
            self._here.append(me)
        try:
            yield
        finally:
            with self._changed:
                if me in self._here:
                    self._here.remove(me)

    def is_one(self) -> bool:
        """Whether this thread helps."""
        return threading.get_ident() in self._here

    @contextmanager
    def offering(self, job: _Job[Item, Result]) -> Iterator[int]:
        """The job can be helped with; yields how many other threads will."""
        me = threading.get_ident()
        with self._changed:
            self._jobs.append(job)
            others = len({each for each in self._here if each != me})
            self._changed.notify_all()
        try:
            yield others
        finally:
            with self._changed:
                if job in self._jobs:
                    self._jobs.remove(job)

    def next_job(self, *, until: Future[Result]) -> _Steps | None:
        """A job with something left to do, once there is one; None once the future is done."""
        with self._changed:
            while not until.done():
                for job in self._jobs:
                    if job.has_more:
                        return job
                self._changed.wait()
        return None

    def wake(self) -> None:
        """Let those who wait look again."""
        with self._changed:
            self._changed.notify_all()


_workers, _helpers = _Workers(), _Helpers()
renew_in_child(_workers.renew)
renew_in_child(_helpers.renew)
