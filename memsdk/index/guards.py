"""What stands between us and the engine's sharp edges: a full disk, bare exceptions, forked processes."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from memsdk.errors import (
    DiskFullError,
    ForkedProcessError,
    IndexCorruptError,
    IndexingError,
    IndexUnavailableError,
    MemsdkError,
    StoreReadOnlyError,
)

FLOOR = (
    256 * 2**20
)  # bytes that stay free; the engine maps files, and a write that finds no room kills the process

FreeBytes = Callable[[Path], int]


def free_bytes(folder: Path) -> int:
    """The bytes that this user may still write on the folder's disk."""
    return shutil.disk_usage(folder).free


def ensure_space(folder: Path, *, wanted: int, free: FreeBytes) -> None:
    """Raise DiskFullError unless the engine can write `wanted` bytes in safety."""
    needed = max(FLOOR, 2 * wanted)
    left = free(folder)
    if left < needed:
        raise DiskFullError(
            f"the disk of {folder} has {left // 2**20} MB left and the vector index needs {needed // 2**20} MB"
            " to write in safety; nothing was changed; make room and try again"
        )


def ensure_same_process(pid: int) -> None:
    """Raise ForkedProcessError in a child that a fork gave an open engine."""
    if os.getpid() != pid:
        raise ForkedProcessError(
            f"this index was opened by process {pid} and carried through fork(); open the memory again in the"
            ' child, start children with "spawn", or use index="embedded"'
        )


def never_free(thing: object) -> None:
    """Keep an object beyond the end of the interpreter, whose destructor would hang or write."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


@contextmanager
def engine_errors(doing: str) -> Iterator[None]:
    """Turn the engine's bare exceptions into ours, while it serves."""
    try:
        yield
    except MemsdkError:
        raise
    except BaseException as error:
        if not _is_the_engines(error):
            raise
        raise _known(error, doing) or IndexingError(f"the vector index failed to {doing}: {error}") from error


@contextmanager
def loading_errors(shard: Path) -> Iterator[None]:
    """Turn the engine's bare exceptions into ours, while it loads a shard."""
    try:
        yield
    except MemsdkError:
        raise
    except BaseException as error:
        if not _is_the_engines(error):
            raise
        raise _known(error, f"load {shard.parent.name}") or corrupt(shard.parent, str(error)) from error


def corrupt(collection: Path, why: str) -> IndexCorruptError:
    """The error of a collection that can't be loaded."""
    return IndexCorruptError(
        f"the index collection {collection.name} can't be loaded: {why:.300};"
        " run `memsdk repair` to build it anew from the records, which are safe"
    )


def _is_the_engines(error: BaseException) -> bool:
    """It raises Exception itself, ValueError and TypeError for arguments, and lets Rust's panics through."""
    return (
        type(error) in (Exception, ValueError, TypeError, OverflowError)
        or type(error).__name__ == "PanicException"
    )


def _known(error: BaseException, doing: str) -> MemsdkError | None:
    text = str(error)
    if "WouldBlock" in text:
        return IndexUnavailableError(
            f"can't {doing}: another process has the shard open; close it, or let all share the index host"
            ' with index="embedded"'
        )
    if "os error 28" in text or "No space left" in text:
        return DiskFullError(f"can't {doing}: the disk is full; make room and try again")
    if "os error 30" in text or "os error 13" in text:
        return StoreReadOnlyError(f"can't {doing}: {text:.200}; the index's folder has to be writable")
    if "os error 24" in text:
        return IndexingError(f"can't {doing}: too many open files; raise the limit with `ulimit -n 4096`")
    return None
