"""The embedded index in this very process: for tests, and for sandboxes that allow no child process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from memsdk.index.calls import answer
from memsdk.index.engine import WORTH_IT, Engine
from memsdk.index.facade import EngineFacade, silent
from memsdk.index.guards import FreeBytes, free_bytes


class EdgeIndex(EngineFacade):
    """Qdrant Edge in process. Only one process at a time can open a folder; others share it through `HostedIndex`.

    Updates hold the GIL for some milliseconds a batch, and a disk that fills up in spite of the guards kills the
    process: where that matters, use `HostedIndex`. The IDF counts deleted points until the graph is next built, so
    lexical scores drift a little after many deletions.

    Args:
        folder: where the collections are; made if it is missing.
        free: how many bytes a folder's disk has left.
        worth_it: how many unindexed points make `optimize` build a graph.
        wait_s: how long to wait for who has the folder open, such as an index host about to leave.
    """

    def __init__(
        self, folder: Path, *, free: FreeBytes = free_bytes, worth_it: int = WORTH_IT, wait_s: float = 0
    ) -> None:
        self._engine = Engine(folder, free=free, worth_it=worth_it, wait_s=wait_s)

    def close(self) -> None:
        """Flush and let go of the folder. Twice is once."""
        self._engine.close()

    def _call(self, operation: str, *arguments: object, progress: Callable[[str], None] = silent) -> object:
        return answer(self._engine, operation, arguments, progress)
