"""Building new spaces while the old ones serve, and switching to them in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from memsdk.indexing import BATCH, Indexer
from memsdk.models import Task
from memsdk.ports import Embedder, Index, Indexable, Outbox, OutboxState, Spaces
from memsdk.spaces import Serving, ServingSpaces
from memsdk.testing.failpoints import reach
from memsdk.verification import Progress, indexed

REPLAY = 1_000


class Put(Protocol):
    """Brings states to spaces; one of the Indexer's."""

    def __call__(self, states: Sequence[Indexable], *, serving: Serving) -> object:
        """Make the spaces hold these states."""


class Rebuilder:
    """Builds spaces for an embedder. Killed at any moment, the old ones still serve, and the next run goes on."""

    def __init__(
        self,
        *,
        spaces: Spaces,
        outbox: Outbox,
        state: OutboxState,
        index: Index,
        serving: ServingSpaces,
        indexer: Indexer,
        neighbours: int,
    ) -> None:
        self._spaces = spaces
        self._outbox = outbox
        self._state = state
        self._index = index
        self._serving = serving
        self._indexer = indexer
        self._neighbours = neighbours

    def rebuild(self, embedder: Embedder, *, progress: Progress | None = None) -> None:
        """Build, catch up with what was written meanwhile, switch. The old spaces stay until `retire`."""
        fingerprints = self._serving.fingerprints(embedder.spec)
        spaces = self._spaces.begin(embedder.spec, fingerprints)
        self._serving.ensure(embedder.spec, spaces)
        target = Serving(embedder=embedder, spaces=spaces, epoch=-1)
        seen = min(space.start_seq for space in spaces.values())
        self._fill(target, collections=target.own, put=self._indexer.put, progress=progress)
        self._switch(target, tasks=list(spaces), put=self._indexer.put, seen=seen)

    def enable(self, task: Task, *, progress: Progress | None = None) -> None:
        """Build the space of one more task beside those that serve, and serve from it too.

        Where the embedder has one key prefix for all tasks, that is the space of the documents, and nothing is built.
        """
        serving = self._serving.current()
        spec = serving.embedder.spec
        begun = self._spaces.begin(spec, {task: self._serving.fingerprint(spec, task)})
        target = Serving(embedder=serving.embedder, spaces={**serving.spaces, **begun}, epoch=-1)
        self._serving.ensure(spec, begun)
        if target.twin is not None:
            self._fill(target, collections=[target.twin], put=self._indexer.put_twins, progress=progress)
        self._switch(target, tasks=[task], put=self._indexer.put_twins, seen=begun[task].start_seq)

    def _switch(self, target: Serving, *, tasks: Sequence[Task], put: Put, seen: int) -> None:
        """Repeat what was written meanwhile, and serve from the built spaces once nothing is left of it."""
        reach("space-built")
        while True:
            seen = self._replay(target, put=put, seen=seen)
            self._index.flush()
            reach("space-switch")
            if self._spaces.switch(target.embedder.spec, seen_seq=seen, tasks=tasks):
                return

    def retire(self) -> list[str]:
        """Drop the collections that no task uses any more; returns their names."""
        collections = self._spaces.retire()
        for collection in collections:
            self._index.drop(collection)
        return collections

    def _fill(
        self, target: Serving, *, collections: Sequence[str], put: Put, progress: Progress | None
    ) -> None:
        """Bring every record whose points are missing or old; remove the points of records that are gone."""
        built = indexed(self._index, collections)
        wanted = {record: seq for record, seq, _ in self._state.stamps()}
        todo = [
            record for record, seq in wanted.items() if record not in built or not built[record].is_of(seq)
        ]
        gone = [record for record in built if record not in wanted]
        for start in range(0, len(gone), REPLAY):
            for collection in target.collections:
                self._index.delete(collection, gone[start : start + REPLAY])
        for start in range(0, len(todo), BATCH):
            self._put(target, todo[start : start + BATCH], put=put)
            if progress is not None:
                progress(min(start + BATCH, len(todo)), len(todo))

    def _replay(self, target: Serving, *, put: Put, seen: int) -> int:
        """Repeat what happened since, deletions included; returns the last entry seen."""
        while changes := self._state.since(seen, limit=REPLAY):
            records = list(dict.fromkeys(change.record for change in changes))
            for start in range(0, len(records), BATCH):
                self._put(target, records[start : start + BATCH], put=put)
            seen = changes[-1].seq
        return seen

    def _put(self, target: Serving, records: Sequence[UUID], *, put: Put) -> None:
        put(self._outbox.read(records, neighbours=self._neighbours), serving=target)
