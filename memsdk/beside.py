"""A call made beside the caller's own work: the encoder computes outside the interpreter's lock, so both get on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def beside(call: Callable[[], Result]) -> Future[Result]:
    """Make the call in a thread of its own, which Ctrl-C in the caller leaves behind and no exit waits for."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 -- the caller meets it in `result`
            future.set_exception(error)

    threading.Thread(target=run, name="memsdk-beside", daemon=True).start()
    return future


def each_beside(call: Callable[[Item], Result], items: Sequence[Item], *, threads: int) -> list[Result]:
    """The results for all items, in order: this thread and `threads - 1` others take them as they come free.

    The first error, or Ctrl-C in this thread, keeps the others from taking more.
    """
    results: dict[int, Result] = {}
    waiting, lock = iter(range(len(items))), threading.Lock()
    stopped = threading.Event()

    def work() -> None:
        try:
            while not stopped.is_set():
                with lock:
                    number = next(waiting, None)
                if number is None:
                    return
                results[number] = call(items[number])
        except BaseException:
            stopped.set()
            raise

    others = [beside(work) for _ in range(min(threads, len(items)) - 1)]
    work()
    for other in others:
        other.result()
    return [results[number] for number in range(len(items))]
