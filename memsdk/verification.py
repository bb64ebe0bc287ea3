"""`verify` and `repair`: is the index what SQL says it should be, and if not, made so."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from memsdk.errors import IndexCorruptError
from memsdk.indexing import Indexer
from memsdk.models import Difference, Kind, Verification
from memsdk.payloads import KIND, PARTS, RECORD, STAMP, record_of
from memsdk.ports import Index, Outbox, OutboxState, Owner, StoreAdmin, VectorIndex
from memsdk.spaces import Serving, ServingSpaces

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Told how many are done, of how many."""

BATCH = 256


@dataclass(slots=True)
class Indexed:
    """What the index holds of one record; how many points it should have says each of them."""

    collection: str
    stamp: int  # the oldest
    kind: str
    points: int = 0
    parts: int = 0

    def is_of(self, seq: int) -> bool:
        """Whether all points of this state are there."""
        return self.stamp >= seq and self.points == self.parts


class Verifier:
    """Compares SQL and the index, and mends the index."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        state: OutboxState,
        index: Index,
        serving: ServingSpaces,
        indexer: Indexer,
        admin: StoreAdmin,
        owner: Owner,
    ) -> None:
        self._outbox = outbox
        self._state = state
        self._index = index
        self._serving = serving
        self._indexer = indexer
        self._admin = admin
        self._owner = owner

    def verify(self) -> Verification:
        """Compare every record with its points. What is being written meanwhile counts as pending, not as different."""
        serving = self._serving.current()
        self._indexer.note()
        differences, records, points = self._compare(serving)
        if differences:  # look again: some may have been written in between
            again = {(item.record_id, item.problem) for item in self._compare(serving)[0]}
            differences = [item for item in differences if (item.record_id, item.problem) in again]
        return Verification(
            records=records,
            points=points,
            pending=self._state.pending(),
            differences=tuple(differences),
            integrity=tuple(self._admin.check()),
        )

    def repair(self, *, progress: Progress | None = None) -> Verification:
        """Finish what is pending, index anew what differs, and verify again. A shard that can't be loaded is rebuilt."""
        try:
            self._indexer.drain_all()
            before = self.verify()
        except IndexCorruptError as error:
            logger.warning("rebuilding the index from the records: %s", error)
            self._rebuild()
            before = self.verify()
        self._renew(list(dict.fromkeys(item.record_id for item in before.differences)), progress=progress)
        return self.verify()

    def refresh(self, *, progress: Progress | None = None) -> None:
        """Embed every record again and write its points over the present ones."""
        self._renew([record for record, _, _ in self._state.stamps()], progress=progress)

    def _renew(self, records: Sequence[UUID], *, progress: Progress | None) -> None:
        for start in range(0, len(records), BATCH):
            self._indexer.index_now(self._outbox.touch(records[start : start + BATCH], owner=self._owner()))
            if progress is not None:
                progress(min(start + BATCH, len(records)), len(records))
        self._indexer.drain_all()
        self._indexer.settle()

    def _rebuild(self) -> None:
        """Drop what serves and begin it again, empty; the records then are the difference."""
        self._serving.recreate()

    def _compare(self, serving: Serving) -> tuple[list[Difference], int, int]:
        found = indexed(self._index, serving.own)
        twins = {} if serving.twin is None else indexed(self._index, [serving.twin])
        waiting = set(self._state.waiting())
        expected = {record: seq for record, seq, _ in self._state.stamps()}
        differences = [
            item
            for item in (
                *_differences(expected, found, default=serving.own[0]),
                *_twin_differences(expected, found, twins, default=serving.twin),
            )
            if item.record_id not in waiting
        ]
        return differences, len(expected), sum(state.points for state in (*found.values(), *twins.values()))


def indexed(index: VectorIndex, collections: Iterable[str]) -> dict[UUID, Indexed]:
    """What the collections hold, record by record."""
    found: dict[UUID, Indexed] = {}
    for collection in collections:
        for hit in index.scan(collection, fields=(RECORD, STAMP, PARTS, KIND)):
            stamp, parts, kind = hit.payload[STAMP], hit.payload.get(PARTS, 1), str(hit.payload[KIND])
            record = record_of(hit.id, hit.payload)
            state = found.setdefault(record, Indexed(collection, int(str(stamp)), kind))
            state.points += 1
            state.stamp = min(state.stamp, int(str(stamp)))
            state.parts = max(state.parts, int(str(parts)))
    return found


def _differences(
    expected: Mapping[UUID, int], found: Mapping[UUID, Indexed], *, default: str
) -> Iterable[Difference]:
    for record, seq in expected.items():
        state = found.get(record)
        if state is None:
            yield Difference(problem="missing", record_id=record, collection=default)
        elif state.stamp < seq or state.points > state.parts:
            yield Difference(problem="stale", record_id=record, collection=state.collection)
        elif state.points < state.parts:
            yield Difference(problem="missing", record_id=record, collection=state.collection)
    for record, state in found.items():
        if record not in expected:
            yield Difference(problem="orphan", record_id=record, collection=state.collection)


def _twin_differences(
    expected: Mapping[UUID, int],
    found: Mapping[UUID, Indexed],
    twins: Mapping[UUID, Indexed],
    *,
    default: str | None,
) -> Iterable[Difference]:
    """What the space for conversations lacks or has too much of, beside the documents' own space."""
    if default is not None:
        documents = {record for record, state in found.items() if state.kind == Kind.DOCUMENT}
        wanted = {record: seq for record, seq in expected.items() if record in documents}
        yield from _differences(wanted, twins, default=default)
