"""`verify` and `repair`: is the index what SQL says it should be, and if not, made so."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from uuid import UUID

from memsdk.errors import IndexCorruptError
from memsdk.indexing import Indexer
from memsdk.models import Difference, Verification
from memsdk.payloads import RECORD, STAMP
from memsdk.ports import Index, Outbox, OutboxState, Owner, StoreAdmin
from memsdk.spaces import Serving, ServingSpaces

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Told how many are done, of how many."""

BATCH = 256


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
        found: dict[UUID, tuple[int, int, str]] = {}  # record -> points, oldest stamp, collection
        points = 0
        for collection in serving.collections:
            for hit in self._index.scan(collection, fields=(RECORD, STAMP)):
                points += 1
                record, stamp = UUID(str(hit.payload[RECORD])), int(str(hit.payload[STAMP]))
                count, oldest, _ = found.get(record, (0, stamp, collection))
                found[record] = (count + 1, min(oldest, stamp), collection)
        waiting = set(self._state.waiting())
        expected = {record: (seq, count) for record, seq, count in self._state.stamps()}
        differences = [
            item
            for item in _differences(expected, found, default=serving.collections[0])
            if item.record_id not in waiting
        ]
        return differences, len(expected), points


def _differences(
    expected: Mapping[UUID, tuple[int, int]], found: Mapping[UUID, tuple[int, int, str]], *, default: str
) -> Iterable[Difference]:
    for record, (seq, count) in expected.items():
        points, stamp, collection = found.get(record, (0, seq, default))
        if points < max(count, 1):
            yield Difference(problem="missing", record_id=record, collection=collection)
        elif stamp < seq or points > count:
            yield Difference(problem="stale", record_id=record, collection=collection)
    for record, (_, _, collection) in found.items():
        if record not in expected:
            yield Difference(problem="orphan", record_id=record, collection=collection)


def summary(verification: Verification) -> Mapping[str, int]:
    """How many differences there are of each sort."""
    return Counter(item.problem for item in verification.differences)
