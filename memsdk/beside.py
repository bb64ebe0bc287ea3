"""A call made beside the caller's own work: the encoder computes outside the interpreter's lock, so both get on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

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
