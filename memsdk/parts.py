"""The services of one open store, put together by wiring.py; and what concerns all of them at once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from memsdk.access import Access
from memsdk.background import Background
from memsdk.errors import InvalidInputError, StoreError
from memsdk.forgetting import Forgetter
from memsdk.indexing import BATCH, Indexer
from memsdk.inputs import refuse_inside
from memsdk.models import Stats, Task
from memsdk.payloads import Hasher
from memsdk.ports import Chunker, Clock, Embedder, Index, LexicalEncoder, Reader, Store
from memsdk.recalling import Recaller
from memsdk.reindexing import Rebuilder
from memsdk.remembering import Writer
from memsdk.secondstage import SecondStage
from memsdk.settings import Settings
from memsdk.spaces import Serving, ServingSpaces
from memsdk.verification import Progress, Verifier

MODELS = "models"
"""The folder of a store where trained query versions lie, one folder each."""

CLOSING = 8
"""Batches of pending changes that `close` still indexes; the rest waits in the outbox for the next open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """One open store: its ports and the services on them."""

    folder: Path
    settings: Settings
    clock: Clock
    hasher: Hasher
    store: Store
    index: Index
    serving: ServingSpaces
    indexer: Indexer
    background: Background
    writer: Writer
    recaller: Recaller
    forgetter: Forgetter
    access: Access
    verifier: Verifier
    rebuilder: Rebuilder
    reader: Reader
    lexical: LexicalEncoder
    chunker: Callable[[Serving], Chunker]
    load: Callable[[str | Path | Embedder | None], Embedder]
    second: SecondStage | None

    def close(self) -> None:
        """Write the recall log, index what waits if it is little, flush, let go."""
        self.background.stop()
        try:
            self.background.write_log()
            for _ in range(CLOSING if self.serving.loaded else 0):
                if not self.indexer.drain(limit=BATCH):
                    break
            if self.indexer.unsettled:
                self.indexer.settle()
        finally:
            self.index.close()
            self.store.close()

    def flush(self) -> None:
        """Wait until all that was written, by any process, is indexed and on disk."""
        self.background.write_log()
        if self.store.spaces.active() is not None:
            self.serving.current()  # an index that was lost is found missing here, and all is pending again
        self.indexer.drain_all()
        self.indexer.settle()

    def stats(self) -> Stats:
        """What the store holds."""
        self.indexer.note()
        counts = self.store.admin.counts()
        counts.pop("records_total")
        active = self.store.spaces.active()
        return Stats.model_validate(
            {
                **counts,
                "bytes": bytes_of(self.folder),
                "embedder": active[0].name if active else "none yet",
                "fingerprints": {task.value: space.fingerprint for task, space in active[1].items()}
                if active
                else {},
                "points": self.index.collections(),
            }
        )

    def reindex(self, embedder: str | Path | Embedder | None, *, progress: Progress | None) -> None:
        """Build all vectors anew, with this embedder or the store's own, while the present ones serve."""
        serving = self.serving.current()
        chosen = serving.embedder if embedder is None else self.load(embedder)
        self.indexer.drain_all()
        if self.serving.fingerprints(chosen.spec) == {
            task: space.fingerprint for task, space in serving.spaces.items()
        }:
            self.verifier.refresh(progress=progress)  # the same vectors, written again where they are
        else:
            self.rebuilder.rebuild(chosen, progress=progress)
            self.serving.adopt(chosen)

    def enable(self, task: Task, *, progress: Progress | None) -> bool:
        """Build and serve the space of one more task; False where it serves already."""
        if task in self.serving.current().spaces:
            return False
        self.rebuilder.enable(task, progress=progress)
        return True

    def optimize(self) -> bool:
        """Build graphs where that pays; True if one was built."""
        built = [self.index.optimize(collection) for collection in self.serving.current().collections]
        return any(built)

    def backup(self, path: Path) -> Path:
        """Copy the database and the trained query versions to a new folder while others write."""
        refuse_inside(self.folder, path)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise InvalidInputError(
                f"{path} is there already and not empty; name a new folder for the backup"
            )
        self.background.write_log()
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"can't make {path}: {error.strerror}; choose another place for the backup"
            ) from error
        self.store.admin.backup(path)
        models = self.folder / MODELS
        if models.is_dir():  # after the database: whatever version that one names is written by now
            shutil.copytree(models, path / MODELS, ignore=shutil.ignore_patterns(".making-*"))
        return path

    def tend(self) -> None:
        """What every open does: erase what has expired. Nothing is loaded or indexed for it."""
        self.forgetter.expire()


def bytes_of(folder: Path) -> int:
    """The bytes that a folder's files take on disk; those that another process removes meanwhile count nothing."""
    places = os.walk(folder)  # unlike rglob it goes on where a folder has vanished
    return sum(_size(Path(place, name)) for place, _, names in places for name in names)


def _size(file: Path) -> int:
    """An index's files are sparse, and mostly holes when young."""
    try:
        stat = file.lstat()
    except FileNotFoundError:
        return 0
    return min(stat.st_size, stat.st_blocks * 512) if hasattr(stat, "st_blocks") else stat.st_size
