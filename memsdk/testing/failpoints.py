"""Named places in the code where a crash test can kill the process. Without the variable they cost a dict look-up.

`MEMSDK_FAILPOINT=name:3` kills the process with SIGKILL when it reaches `name` for the third time.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "MEMSDK_FAILPOINT"
STORE = (
    "embed",
    "sql-before-commit",
    "sql-after-commit",
    "index-update",
    "index-updated",
    "outbox-applied",
    "forget-erased",
    "optimize",
    "optimize-switch",
    "space-built",
    "space-switch",
)
TRAINING = ("version-written", "version-added", "version-switch", "retrain-stage")
"""Reached by `memsdk retrain` only, which its own tests kill."""
NAMES = STORE + TRAINING

_remaining: dict[str, int] = {}


def arm(setting: str | None) -> None:
    """Set (or, with None, clear) the failpoint of this process; `name:n`, or `name` for the first time."""
    _remaining.clear()
    if setting:
        name, _, times = setting.partition(":")
        if name not in NAMES:
            raise ValueError(f"{VARIABLE} names {name!r}; there are {', '.join(NAMES)}")
        _remaining[name] = int(times or 1)


def reach(name: str) -> None:
    """Die here if the test asked for it."""
    if name in _remaining:
        _remaining[name] -= 1
        if _remaining[name] <= 0:
            os.kill(os.getpid(), signal.SIGKILL)


arm(os.environ.get(VARIABLE))
