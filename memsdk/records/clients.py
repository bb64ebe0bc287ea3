"""Who has the store open: a locked file each, which the kernel lets go of however its process ends."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout


class Clients:
    """This store object's own token, and whether the owners of other tokens still live.

    A forked child gets a token of its own when it first asks for it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "clients"
        self._lock: FileLock | None = None
        self._token = ""
        self._pid = 0

    @property
    def token(self) -> str:
        """Names this open store in outbox claims. Ask each time: it changes in a forked child."""
        if self._pid != os.getpid() or self._lock is None:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._token, self._pid = uuid4().hex, os.getpid()
            self._lock = FileLock(self._folder / self._token)
            self._lock.acquire(blocking=False)
        return self._token

    def lives(self, token: str) -> bool:
        """Whether the store object with that token is still open; a dead one's file is removed."""
        path = self._folder / token
        if token == self._token or not path.exists():
            return token == self._token
        probe = FileLock(path)
        try:
            probe.acquire(blocking=False)
        except Timeout:
            return True
        path.unlink(missing_ok=True)
        probe.release()
        return False

    def close(self) -> None:
        """Give the token up, so that others take over what it had claimed."""
        if self._lock is not None and self._pid == os.getpid():
            (self._folder / self._token).unlink(missing_ok=True)
            self._lock.release()
        self._lock, self._token = None, ""
