"""A lock that another thread holds when a process forks stays held in the child for ever; here such are made anew."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable


def renew_in_child(renew: Callable[[], None]) -> None:
    """Call this bound method in every forked child, as long as its object lives."""
    if not hasattr(os, "register_at_fork"):
        return
    method = weakref.WeakMethod(renew)

    def run() -> None:
        found = method()
        if found is not None:
            found()

    os.register_at_fork(after_in_child=run)
