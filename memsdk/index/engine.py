"""The embedded engine over plain data: a folder of collections that one process at a time may open."""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

from memsdk.errors import ClosedError, IndexingError, IndexUnavailableError, InvalidInputError
from memsdk.index.collection import Collection, exists
from memsdk.index.guards import FreeBytes, ensure_same_process, free_bytes, never_free
from memsdk.index.optimizing import optimize, worth_building
from memsdk.index.shard import Plain, Spec

LOCK = "index.lock"
WORTH_IT = 20_000  # unindexed points from which on building a graph pays
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


class Engine:
    """Qdrant Edge behind guards. Thread-safe; unusable, but harmless, in a forked child.

    Args:
        folder: where the collections are; made if it is missing.
        free: how many bytes a folder's disk has left.
        worth_it: how many unindexed points make `optimize` build a graph.
        wait_s: how long to wait for who has the folder open, such as an index host about to leave.
    """

    def __init__(
        self, folder: Path, *, free: FreeBytes = free_bytes, worth_it: int = WORTH_IT, wait_s: float = 0
    ) -> None:
        self._generation = uuid4().hex
        self._folder = folder
        self._free = free
        self.worth_it = worth_it
        self._pid = os.getpid()
        self._loaded: dict[str, Collection] = {}
        self._loading = threading.Lock()
        self._closed = False
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(folder / LOCK, thread_local=False)
        try:
            self._lock.acquire(timeout=wait_s)
        except Timeout:
            raise IndexUnavailableError(
                f"the index in {folder} is open in another process, or twice in this one; close it there, or use"
                ' index="embedded", which all processes of a machine can share'
            ) from None
        for leftover in folder.glob(".dropped-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        if hasattr(os, "register_at_fork"):
            engine = weakref.ref(self)
            os.register_at_fork(after_in_child=lambda: _abandon(engine()))

    def current_generation(self) -> str:
        """Names this opening of the folder."""
        self._check()
        return self._generation

    def ensure(self, name: str, spec: Spec) -> None:
        """Create the collection unless it is there."""
        self._check()
        with self._loading:
            if name not in self._loaded:
                folder = self._path(name)
                if not exists(folder):
                    self._loaded[name] = Collection.create(folder, spec, free=self._free)
                    return
                self._loaded[name] = Collection.load(folder, free=self._free)
            self._loaded[name].widen(spec)

    def upsert(self, name: str, rows: Sequence[Plain]) -> None:
        """Add or replace points."""
        self._open(name).upsert(rows)

    def delete(self, name: str, records: Sequence[bytes]) -> None:
        """Remove every point of the records."""
        self._open(name).delete(records)

    def search(self, name: str, requests: Sequence[Plain]) -> list[list[object]]:
        """The hits by request; see `memsdk.index.shard.search`."""
        return self._open(name).search(requests)

    def scan(self, name: str, fields: Sequence[str], after: bytes | None) -> list[object]:
        """A page of points, and where the next one starts."""
        return self._open(name).scan(fields, after)

    def vectors(self, name: str, points: bytes, vector: str) -> list[bytes]:
        """The ids and the vectors of the points that have one; see `memsdk.index.shard.vectors`."""
        return self._open(name).vectors(points, vector)

    def collections(self) -> dict[str, int]:
        """Points by collection."""
        self._check()
        names = sorted(path.name for path in self._folder.iterdir() if path.is_dir() and exists(path))
        return {name: self._open(name).count() for name in names if _NAME.fullmatch(name)}

    def flush(self) -> None:
        """Return once all that was applied is on disk."""
        self._check()
        for collection in list(self._loaded.values()):
            collection.flush()

    def optimize(self, name: str, progress: Callable[[str], None]) -> bool:
        """Build the graph in a child process and switch to it; False where it is not worth it."""
        return optimize(self._open(name), worth_it=self.worth_it, progress=progress)

    def waiting(self) -> dict[str, tuple[int, float]]:
        """Loaded collections for which a graph is worth building: points that wait for it, seconds since the last update."""
        self._check()
        loaded = list(self._loaded.items())
        now = time.monotonic()
        found = {name: worth_building(each, worth_it=self.worth_it) for name, each in loaded}
        return {name: (found[name], now - each.changed_at) for name, each in loaded if found[name]}

    def drop(self, name: str) -> None:
        """Remove the collection and its files, sound or not."""
        self._check()
        folder = self._path(name)
        with self._loading:
            loaded = self._loaded.pop(name, None)
            if loaded is not None:
                loaded.close()
            if folder.exists():
                dropped = self._folder / f".dropped-{uuid4().hex}"
                folder.rename(dropped)
                shutil.rmtree(dropped, ignore_errors=True)

    def close(self) -> None:
        """Flush and let go. Twice is once."""
        if os.getpid() != self._pid or self._closed:
            return
        with self._loading:
            self._closed = True
            for collection in self._loaded.values():
                collection.close()
            self._loaded.clear()
            self._lock.release()

    def _open(self, name: str) -> Collection:
        self._check()
        found = self._loaded.get(name)
        if found is not None:
            return found
        folder = self._path(name)
        with self._loading:
            if name not in self._loaded:
                if not exists(folder):
                    raise IndexingError(
                        f"the index has no collection {name!r}; run `memsdk repair` to build it"
                    )
                self._loaded[name] = Collection.load(folder, free=self._free)
            return self._loaded[name]

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise InvalidInputError(
                f"a collection's name is made of letters, digits, _, - and ., not {name!r:.120}"
            )
        return self._folder / name

    def _check(self) -> None:
        ensure_same_process(self._pid)
        if self._closed:
            raise ClosedError("the index was closed; open the memory again")


def _abandon(engine: Engine | None) -> None:
    """In a forked child: the engine's threads are not there, and its destructor would wait for them."""
    if engine is not None:
        never_free(engine)
