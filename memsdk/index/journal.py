"""What changed in a shard while a copy of it was optimized: names only, so that a build of minutes takes little memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast
from uuid import UUID

import qdrant_edge as edge

from memsdk.index.shard import delete_update

PAGE = 100  # points an update: 10 ms or so in which the engine holds the GIL
RECORDS = 1_000  # records a deletion


@dataclass(slots=True)
class Journal:
    """Points that were written and records that were deleted, each once, whatever their order was."""

    points: set[bytes] = field(default_factory=set)
    records: set[bytes] = field(default_factory=set)
    indexes: list[edge.UpdateOperation] = field(default_factory=list)  # payload indexes that were made

    def __len__(self) -> int:
        return len(self.points) + len(self.records) + len(self.indexes)

    def add(self, other: Journal) -> None:
        """Note what another one names."""
        self.points |= other.points
        self.records |= other.records
        self.indexes += other.indexes

    def taken(self) -> Journal:
        """All that is in it, which then is empty. Nobody else may write to it meanwhile."""
        taken = Journal(self.points, self.records, self.indexes)
        self.points, self.records, self.indexes = set(), set(), []
        return taken

    def updates(self, serving: edge.EdgeShard) -> Iterator[edge.UpdateOperation]:
        """What brings the copy to the state of the serving shard.

        Every deletion comes first, then each written point as it serves now: one that was written and then deleted is
        there no more, one that was deleted and then written again is. What changes while this is read is in the
        journal again.
        """
        yield from self.indexes
        records = sorted(self.records)
        for start in range(0, len(records), RECORDS):
            yield delete_update(records[start : start + RECORDS])
        points = sorted(self.points)
        for start in range(0, len(points), PAGE):
            found = _points(serving, points[start : start + PAGE])
            if found:
                yield edge.UpdateOperation.upsert_points(found)


def _points(shard: edge.EdgeShard, ids: Sequence[bytes]) -> list[edge.Point]:
    wanted = cast("list[int | UUID | str]", [UUID(bytes=each) for each in ids])
    found = shard.retrieve(wanted, with_payload=True, with_vector=True)
    return [edge.Point(record.id, cast("edge.Vector", record.vector), record.payload) for record in found]
