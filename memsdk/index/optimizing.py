"""Building the graph beside the serving shard: a copy is optimized by a child process, catches up, and takes over.

Run as a module, it is that child: `python -m memsdk.index.optimizing FOLDER`.
"""

from __future__ import annotations

import ctypes
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import qdrant_edge as edge

from memsdk.errors import IndexingError
from memsdk.index.guards import engine_errors, loading_errors
from memsdk.index.shard import unindexed
from memsdk.testing.failpoints import reach

if TYPE_CHECKING:
    from memsdk.index.collection import Collection

BLOCK = 2**20
NOTHING_DONE = 3  # the child's exit status where the engine saw nothing to do
BEAT_S = 5.0  # how often progress is told
_PDEATHSIG = 1


def optimize(collection: Collection, *, worth_it: int, progress: Callable[[str], None]) -> bool:
    """Build, catch up, switch. Searches go on throughout; updates pause for the copy and for the last few changes.

    False where fewer than `worth_it` points are in no graph, or where another call is at it.
    """
    if not collection.optimizing.acquire(blocking=False):
        return False
    try:
        with engine_errors("count the points without a graph"):
            waiting = unindexed(collection.shard, collection.spec)
        if waiting < worth_it:
            return False
        progress(f"{collection.folder.name}: building the graph of {waiting} points")
        return _rebuild(collection, progress)
    finally:
        collection.optimizing.release()


def _rebuild(collection: Collection, progress: Callable[[str], None]) -> bool:
    target = collection.folder / f"shard-{uuid4().hex[:12]}"
    try:
        with collection.writing:
            collection.ensure_space(_size(collection.shard_folder))
            with engine_errors(f"flush {collection.folder.name}"):
                collection.shard.flush()
            collection.journal = []
            # Under the lock: in a copy torn by an update, its points would seem newer than what is replayed on them.
            copy_sparse(collection.shard_folder, target)
        reach("optimize")
        if not _run_child(target, progress):
            return False
        with loading_errors(target):
            fresh = edge.EdgeShard.load(str(target))
        _catch_up(collection, fresh, target)
        progress(f"{collection.folder.name}: switched to the new graph")
        return True
    finally:
        with collection.writing:
            collection.journal = None
        if collection.shard_folder != target:
            shutil.rmtree(target, ignore_errors=True)


def _catch_up(collection: Collection, fresh: edge.EdgeShard, target: Path) -> None:
    """Replay what came meanwhile, first beside the updates, then the last of it while they wait."""
    done = 0
    with engine_errors(f"replay changes of {collection.folder.name}"):
        while collection.journal is not None and len(collection.journal) - done > 1:
            operation = collection.journal[done]
            collection.ensure_space()
            fresh.update(operation)
            done += 1
        with collection.writing:
            for operation in (collection.journal or [])[done:]:
                fresh.update(operation)
            fresh.flush()
            collection.switch(fresh, target)
            collection.journal = None


def _run_child(folder: Path, progress: Callable[[str], None]) -> bool:
    command = [sys.executable, "-m", "memsdk.index.optimizing", str(folder)]
    started = time.monotonic()
    child = subprocess.Popen(  # noqa: S603 -- our own module
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    errors = b""
    with child:
        try:
            while child.poll() is None:
                with suppress(subprocess.TimeoutExpired):
                    _, errors = child.communicate(timeout=BEAT_S)
                progress(f"building the graph, {time.monotonic() - started:.0f} s so far")
        except BaseException:
            child.kill()
            raise
    if child.returncode not in (0, NOTHING_DONE):
        raise IndexingError(
            f"the process that builds the graph ended with {child.returncode}; the index serves on as it was:"
            f" {errors.decode(errors='replace')[-500:]}"
        )
    return child.returncode == 0


def copy_sparse(source: Path, target: Path) -> None:
    """Copy a shard's folder; blocks of zeros, most of its apparent size, take no room."""
    target.mkdir()
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        if path.is_dir():
            place.mkdir()
            continue
        with path.open("rb") as reader, place.open("wb") as writer:
            while block := reader.read(BLOCK):
                if block.count(0) == len(block):
                    writer.seek(len(block), 1)
                else:
                    writer.write(block)
            writer.truncate(writer.tell())


def _size(folder: Path) -> int:
    """Bytes on disk, where the system tells; else as they seem."""
    stats = [path.stat() for path in folder.rglob("*")]
    return sum(getattr(stat, "st_blocks", stat.st_size // 512) * 512 for stat in stats)


def main(folder: str) -> int:
    """The child: optimize the shard in the folder, which nobody else has open."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL)  # a killed host leaves no builder behind
    shard = edge.EdgeShard.load(folder)
    changed = shard.optimize()
    shard.close()
    return 0 if changed else NOTHING_DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
