"""The index ports over plain calls: the same for the engine in this process and for the one behind a socket."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, cast
from uuid import UUID

import numpy as np

from memsdk.index.wire import (
    Answer,
    Columns,
    point_to_row,
    points_from_plain,
    request_to_plain,
    result_from_plain,
    spec_to_plain,
)
from memsdk.models import CollectionSpec, Point
from memsdk.ports import PointHit, SearchRequest, SearchResult

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float32]

Call = Sequence[object]
"""The name of an operation and its arguments."""

READ = 1_000  # vectors a call
MESSAGE = 10
"""Points a call. The fewer, the sooner the engine begins with a batch, and the sooner a search comes in between: it keeps
Python's lock for a millisecond or so. Fewer than 8 won nothing more."""


def silent(text: str) -> None:
    """Nobody asked for progress."""


class EngineFacade(ABC):
    """`memsdk.ports.Index`, given a way to call the engine."""

    @abstractmethod
    def _call(self, operation: str, *arguments: object, progress: Callable[[str], None] = silent) -> object:
        """Have the engine do it, and return its plain answer."""

    def _call_each(self, calls: Iterator[Call]) -> None:
        """Have the engine do these, in order, whose answers say nothing; the first that fails is the last."""
        for operation, *arguments in calls:
            self._call(str(operation), *arguments)

    @abstractmethod
    def close(self) -> None:
        """Let go of the engine. Twice is once."""

    def ensure(self, collection: str, spec: CollectionSpec) -> None:
        """Create the collection unless it is there; payload indexes it lacks are added."""
        self._call("ensure", collection, spec_to_plain(spec))

    def upsert(self, collection: str, points: Iterable[Point]) -> None:
        """Add or replace the points, 10 a call; a call's vectors are checked before it is made."""
        rows = map(point_to_row, points)
        self._call_each(
            ("upsert", collection, some) for some in iter(lambda: list(islice(rows, MESSAGE)), [])
        )

    def delete(self, collection: str, records: Sequence[UUID]) -> None:
        """Remove every point of these records."""
        if records:
            self._call("delete", collection, [record.bytes for record in records])

    def search(self, collection: str, requests: Sequence[SearchRequest]) -> list[SearchResult]:
        """Answer the requests in order, in one round trip."""
        plain = [request_to_plain(request) for request in requests]
        answers = cast("list[Answer]", self._call("search", collection, plain))
        return [result_from_plain(request, found) for request, found in zip(requests, answers, strict=True)]

    def scan(self, collection: str, *, fields: Sequence[str] = ()) -> Iterator[PointHit]:
        """Every point once, by id, a page a call; what changes meanwhile may be seen or not."""
        after: bytes | None = None
        while True:
            page = self._call("scan", collection, list(fields), after)
            ids, columns, after = cast("tuple[bytes, Columns, bytes | None]", page)
            for key, payload in points_from_plain(ids, columns, fields):
                yield PointHit(key, 0.0, payload)
            if after is None:
                return

    def vectors(self, collection: str, points: Sequence[UUID], *, name: str) -> dict[UUID, Vector]:
        """The dense vector of each point that has one, a thousand points a call."""
        found: dict[UUID, Vector] = {}
        for start in range(0, len(points), READ):
            asked = b"".join(point.bytes for point in points[start : start + READ])
            ids, raw = cast("tuple[bytes, bytes]", self._call("vectors", collection, asked, name))
            known = [UUID(bytes=ids[at : at + 16]) for at in range(0, len(ids), 16)]
            if known:
                rows = np.frombuffer(raw, dtype="<f4").reshape(len(known), -1)
                found.update(zip(known, rows, strict=True))
        return found

    @property
    def generation(self) -> str:
        """Names one run of the engine. Ask before the calls that it shall vouch for."""
        return str(self._call("generation"))

    def collections(self) -> dict[str, int]:
        """Points by collection."""
        return dict(cast("dict[str, int]", self._call("collections")))

    def flush(self) -> None:
        """Return once all that was applied before the call is on disk."""
        self._call("flush")

    def optimize(self, collection: str, *, progress: Callable[[str], None] | None = None) -> bool:
        """Build the graph in a process of its own and switch to it; False where there was nothing to do."""
        return bool(self._call("optimize", collection, progress=progress or silent))

    def drop(self, collection: str) -> None:
        """Remove the collection and its files, sound or not."""
        self._call("drop", collection)
