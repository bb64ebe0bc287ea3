"""One collection on disk: a pointer file that names the serving shard, and what changes the shard safely.

`CURRENT` is replaced in one step, so a crash at any moment leaves the old shard or the new one, each complete.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast
from uuid import uuid4

import qdrant_edge as edge

from memsdk.errors import ClosedError, IndexingError
from memsdk.index import shard as shards
from memsdk.index.guards import FreeBytes, corrupt, engine_errors, ensure_space, loading_errors, never_free
from memsdk.index.journal import RECORDS, Journal
from memsdk.index.shard import Plain, Spec
from memsdk.testing.failpoints import reach

BATCH = 100  # points an update: 10 ms or so in which the engine holds the GIL
POINTER = "CURRENT"
OVERHEAD = 2**20  # bytes that a batch may take beside its vectors


class Collection:
    """A loaded collection. Searches need no lock; updates take turns."""

    def __init__(
        self, folder: Path, *, spec: Spec, name: str, shard: edge.EdgeShard, free: FreeBytes
    ) -> None:
        self.folder = folder
        self.spec = spec
        self.shard_folder = folder / name
        self.writing = threading.Lock()
        self.journal: Journal | None = None
        self.optimizing = threading.Lock()
        self.closed = False
        self.changed_at = time.monotonic()
        self._free = free
        self.shard = shard
        self._dirty = True

    @classmethod
    def load(cls, folder: Path, *, free: FreeBytes) -> Collection:
        """Open what is there. Raises IndexCorruptError."""
        spec, name = read_pointer(folder)
        _remove_leftovers(folder, keep=name)
        ensure_space(folder, wanted=0, free=free)
        with loading_errors(folder / name):
            shard = edge.EdgeShard.load(str(folder / name))
        return cls(folder, spec=spec, name=name, shard=shard, free=free)

    @classmethod
    def create(cls, folder: Path, spec: Spec, *, free: FreeBytes) -> Collection:
        """Make an empty one; it exists once its pointer does."""
        folder.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(folder, keep="")
        ensure_space(folder, wanted=0, free=free)
        name = f"shard-{uuid4().hex[:12]}"
        with engine_errors(f"create {folder.name}"):
            fresh = edge.EdgeShard.create(str(folder / name), shards.config_of(spec))
            for operation in shards.index_updates(spec):
                fresh.update(operation)
        write_pointer(folder, spec=spec, name=name)
        return cls(folder, spec=spec, name=name, shard=fresh, free=free)

    def widen(self, spec: Spec) -> None:
        """Add the payload indexes that the collection lacks. Raises IndexingError where the vectors differ."""
        if spec == self.spec:
            return
        for part in ("dense", "sparse"):
            if spec[part] != self.spec[part]:
                raise IndexingError(
                    f"the index collection {self.folder.name} has {part} vectors {self.spec[part]}, not {spec[part]};"
                    " use another collection, or run `memsdk reindex`"
                )
        for operation in shards.index_updates(spec):
            self._apply(operation, noted=Journal(indexes=[operation]))
        self.spec = spec
        write_pointer(self.folder, spec=spec, name=self.shard_folder.name)

    def upsert(self, rows: Sequence[Plain]) -> None:
        """Add or replace points, a batch at a time; all are checked before the first is written."""
        with engine_errors("read the points"):
            batches = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
            operations = [shards.upsert_update(batch, spec=self.spec) for batch in batches]
        for operation, batch in zip(operations, batches, strict=True):
            self._apply(operation, noted=Journal(points={cast("bytes", row[0]) for row in batch}))

    def delete(self, records: Sequence[bytes]) -> None:
        """Remove every point of the records."""
        for start in range(0, len(records), RECORDS):
            some = records[start : start + RECORDS]
            self._apply(shards.delete_update(some), noted=Journal(records=set(some)))

    def search(self, requests: Sequence[Plain]) -> list[list[object]]:
        """The hits by request; see `memsdk.index.shard.search`."""
        with engine_errors(f"search {self.folder.name}"):
            return shards.search(self.shard, requests)

    def scan(self, fields: Sequence[str], after: bytes | None) -> list[object]:
        """A page of points, and where the next one starts."""
        with engine_errors(f"scan {self.folder.name}"):
            return shards.scroll(self.shard, fields, after)

    def vectors(self, points: bytes, name: str) -> list[bytes]:
        """The ids and the vectors of the points that have one."""
        with engine_errors(f"read vectors of {self.folder.name}"):
            return shards.vectors(self.shard, points, name)

    def count(self) -> int:
        """How many points there are."""
        with engine_errors(f"count {self.folder.name}"):
            return self.shard.count(edge.CountRequest(exact=True))

    def flush(self) -> None:
        """Put on disk what was applied; nothing is done where nothing was."""
        with self.writing:
            if self._dirty:
                self.ensure_space()
                with engine_errors(f"flush {self.folder.name}"):
                    self.shard.flush()
                self._dirty = False

    def switch(self, fresh: edge.EdgeShard, folder: Path) -> None:
        """Serve from another shard from now on; called while `writing` is held. Searches under way end on the old."""
        self.ensure_open()  # who has the folder since may have written to the old shard
        reach("optimize-switch")
        write_pointer(self.folder, spec=self.spec, name=folder.name)
        old = self.shard_folder
        self.shard, self.shard_folder, self._dirty = fresh, folder, True
        shutil.rmtree(old, ignore_errors=True)  # what Windows keeps is removed at the next load

    def close(self) -> None:
        """Let go of the shard; it is flushed unless the disk is too full to do so in safety."""
        with self.writing:
            self.closed = True
            if self._free(self.folder) < 2**26:
                never_free(self.shard)
                return
            with engine_errors(f"close {self.folder.name}"):
                self.shard.close()

    def ensure_open(self) -> None:
        """Raise ClosedError where it was closed, so that nothing is built or switched behind its back."""
        if self.closed:
            raise ClosedError(f"the index collection {self.folder.name} was closed; open the memory again")

    def ensure_space(self, wanted: int = 0) -> None:
        """Raise DiskFullError where the engine might not survive the next write."""
        ensure_space(self.folder, wanted=wanted, free=self._free)

    def _apply(self, operation: edge.UpdateOperation, *, noted: Journal) -> None:
        with self.writing:
            self.ensure_space(BATCH * OVERHEAD // 4)
            reach("index-update")
            with engine_errors(f"update {self.folder.name}"):
                self.shard.update(operation)
            if self.journal is not None:
                self.journal.add(noted)
            self._dirty = True
            self.changed_at = time.monotonic()
            reach("index-updated")


def exists(folder: Path) -> bool:
    """Whether the folder holds a collection, sound or not."""
    return (folder / POINTER).exists()


def read_pointer(folder: Path) -> tuple[Spec, str]:
    """What the collection is and which of its folders serves. Raises IndexCorruptError."""
    try:
        pointer = json.loads((folder / POINTER).read_text("utf-8"))
        return dict(pointer["spec"]), str(pointer["shard"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise corrupt(folder, f"its {POINTER} file says nothing useful ({error})") from error


def write_pointer(folder: Path, *, spec: Spec, name: str) -> None:
    """Name the serving shard, in one step that survives a power cut."""
    draft = folder / f"{POINTER}.new"
    with draft.open("w", encoding="utf-8") as file:
        json.dump({"version": 1, "shard": name, "spec": spec}, file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(folder / POINTER)
    if os.name == "posix":
        directory = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _remove_leftovers(folder: Path, *, keep: str) -> None:
    for path in folder.glob("shard-*"):
        if path.name != keep:
            shutil.rmtree(path, ignore_errors=True)
