"""Where the index host of a folder listens, and a standby of its commands, and the key that proves a client's right."""

from __future__ import annotations

import hashlib
import os
import secrets
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from memsdk.errors import IndexUnavailableError

SOCKET, KEY, LOG, STARTING = "host.sock", "host.key", "host.log", "host.starting"
LONGEST = 100  # bytes that every Unix takes as a socket's path
FAMILY = "AF_PIPE" if sys.platform == "win32" else "AF_UNIX"


@contextmanager
def address(folder: Path, socket: str = SOCKET) -> Iterator[str]:
    """The name to bind or connect to, valid inside the block; a path too long for a socket is reached by a short one."""
    path = folder.absolute() / socket
    if sys.platform == "win32":
        yield rf"\\.\pipe\memsdk-{_digest(path)}"
    elif len(os.fsencode(path)) <= LONGEST:
        yield str(path)
    elif Path("/proc/self/fd").is_dir():
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield f"/proc/self/fd/{directory}/{socket}"
        finally:
            os.close(directory)
    else:
        yield str(socket_path(folder, socket))


def socket_path(folder: Path, socket: str = SOCKET) -> Path | None:
    """The socket's file; None for a Windows pipe. Raises IndexUnavailableError."""
    path = folder.absolute() / socket
    if sys.platform == "win32":
        return None
    if len(os.fsencode(path)) <= LONGEST or Path("/proc/self/fd").is_dir():
        return path
    private = Path(tempfile.gettempdir()) / f"memsdk-{os.getuid()}"
    private.mkdir(mode=0o700, exist_ok=True)
    if private.stat().st_uid != os.getuid() or private.stat().st_mode & 0o077:
        raise IndexUnavailableError(
            f"{private} is not this user's alone, so no socket is put there; remove it, or move the store to a"
            ' shorter path, or use index="embedded-inline"'
        )
    return private / f"{_digest(path)}.sock"


def mark_of(path: Path | None) -> int | None:
    """What tells a socket's file from another's that took its place; None where there is none."""
    if path is None:
        return None
    try:
        return path.lstat().st_ino
    except OSError:
        return None


def key_of(folder: Path) -> bytes:
    """The folder's key, made at first use, readable by its owner only."""
    path = folder / KEY
    with suppress(FileNotFoundError):
        return path.read_bytes()
    draft = folder / f"{KEY}.{secrets.token_hex(8)}"
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(32))
    with suppress(FileExistsError):  # another process was first; its key holds
        if sys.platform == "win32":
            draft.rename(path)
        else:
            path.hardlink_to(draft)
    draft.unlink(missing_ok=True)
    return path.read_bytes()


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:24]
