"""The reference: every score computed, nothing approximated, all in memory. For tests and for small stores."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import numpy as np
from pydantic import JsonValue

from memsdk.errors import ClosedError, IndexingError
from memsdk.filters import Filter, matches
from memsdk.index.wire import dense_bytes, request_to_plain, sparse_bytes
from memsdk.models import CollectionSpec, Point, SparseVector
from memsdk.payloads import with_record
from memsdk.ports import Leg, PointHit, SearchRequest, SearchResult

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float32]


class _Collection:
    """Points by id, and what they hold."""

    def __init__(self, spec: CollectionSpec) -> None:
        self.spec = spec
        self.points: dict[UUID, Point] = {}
        self.payloads: dict[UUID, Mapping[str, JsonValue]] = {}

    def check(self, point: Point) -> None:
        """Raise IndexingError for a vector that the collection has no place for."""
        for name, vector in point.dense.items():
            self.check_dense(name, vector)
        for name, sparse in point.sparse.items():
            self.check_sparse(name, sparse)

    def check_dense(self, name: str, vector: Vector) -> None:
        dense_bytes(vector, name=name)
        if name not in self.spec.dense or len(vector) != self.spec.dense[name]:
            raise IndexingError(
                f"the vector {name!r} has {len(vector)} numbers; the collection has {self.spec.dense}"
            )

    def check_sparse(self, name: str, vector: SparseVector) -> None:
        sparse_bytes(vector, name=name)
        if name not in self.spec.sparse:
            raise IndexingError(f"no lexical vector {name!r}; the collection has {self.spec.sparse}")

    def rank(self, leg: Leg, *, where: Filter | None, limit: int) -> list[tuple[UUID, float]]:
        """Ids and scores, best first."""
        if leg.dense is not None:
            self.check_dense(leg.name, leg.dense)
            scores = self._cosines(leg.name, leg.dense)
        else:
            scores = self._bm25(leg.name, leg.sparse or SparseVector((), ()))
        visible = [
            (point, score) for point, score in scores if where is None or matches(where, self.payloads[point])
        ]
        return sorted(visible, key=lambda item: -item[1])[:limit]

    def _cosines(self, name: str, query: Vector) -> list[tuple[UUID, float]]:
        having = [point for point in self.points.values() if name in point.dense]
        if not having:
            return []
        scores = np.stack([point.dense[name] for point in having]) @ query
        return [(point.id, float(score)) for point, score in zip(having, scores, strict=True)]

    def _bm25(self, name: str, query: SparseVector) -> list[tuple[UUID, float]]:
        """Sums of key weight, query weight and ln(1 + (N - df + .5) / (df + .5)), Qdrant's `Modifier.Idf`."""
        self.check_sparse(name, query)
        having = {
            point_id: point.sparse[name] for point_id, point in self.points.items() if name in point.sparse
        }
        frequency: dict[int, int] = {}
        for key in having.values():
            for index in key.indices:
                frequency[index] = frequency.get(index, 0) + 1
        weights = {
            index: weight * math.log(1 + (len(having) - frequency[index] + 0.5) / (frequency[index] + 0.5))
            for index, weight in zip(query.indices, query.values, strict=True)
            if index in frequency
        }
        return [
            (point_id, sum(weights[index] * value for index, value in shared))
            for point_id, key in having.items()
            if (shared := [pair for pair in zip(key.indices, key.values, strict=True) if pair[0] in weights])
        ]


class ExactIndex:
    """The whole index in memory, and exact."""

    def __init__(self) -> None:
        self._collections: dict[str, _Collection] = {}
        self._lock = threading.RLock()
        self._generation = uuid4().hex
        self._closed = False

    def ensure(self, collection: str, spec: CollectionSpec) -> None:
        """Create the collection unless it is there."""
        with self._lock:
            self._check()
            found = self._collections.setdefault(collection, _Collection(spec))
            if dict(found.spec.dense) != dict(spec.dense) or found.spec.sparse != spec.sparse:
                raise IndexingError(
                    f"the collection {collection!r} has other vectors; use another, or `memsdk reindex`"
                )

    def upsert(self, collection: str, points: Iterable[Point]) -> None:
        """Add or replace the points, all or none."""
        points = list(points)  # before the lock is taken, as making them may take long
        with self._lock:
            found = self._open(collection)
            for point in points:
                found.check(point)
            for point in points:
                found.points[point.id] = point
                found.payloads[point.id] = with_record(point)

    def delete(self, collection: str, records: Sequence[UUID]) -> None:
        """Remove every point of these records."""
        with self._lock:
            found, gone = self._open(collection), set(records)
            for point_id in [point_id for point_id, point in found.points.items() if point.record in gone]:
                del found.points[point_id], found.payloads[point_id]

    def search(self, collection: str, requests: Sequence[SearchRequest]) -> list[SearchResult]:
        """Answer the requests in order."""
        with self._lock:
            found = self._open(collection)
            return [_answer(found, request) for request in requests]

    def scan(self, collection: str, *, fields: Sequence[str] = ()) -> Iterator[PointHit]:
        """Every point once, as they were at the first step."""
        with self._lock:
            found = self._open(collection)
            hits = [
                PointHit(point_id.hex, 0.0, _selected(payload, fields))
                for point_id, payload in found.payloads.items()
            ]
        yield from hits

    def vectors(self, collection: str, points: Sequence[UUID], *, name: str) -> dict[UUID, Vector]:
        """The dense vector of each point that has one."""
        with self._lock:
            found = self._open(collection)
            having = [point for each in points if (point := found.points.get(each)) is not None]
            return {point.id: point.dense[name].copy() for point in having if name in point.dense}

    @property
    def generation(self) -> str:
        """Names this object: memory is lost with it."""
        return self._generation

    def collections(self) -> dict[str, int]:
        """Points by collection."""
        with self._lock:
            self._check()
            return {name: len(found.points) for name, found in self._collections.items()}

    def flush(self) -> None:
        """There is no disk."""
        self._check()

    def optimize(self, collection: str, *, progress: Callable[[str], None] | None = None) -> bool:
        """There is no graph."""
        self._open(collection)
        return False

    def drop(self, collection: str) -> None:
        """Remove the collection; a missing one is no error."""
        with self._lock:
            self._check()
            self._collections.pop(collection, None)

    def close(self) -> None:
        """Let go of everything. Twice is once."""
        with self._lock:
            self._closed = True
            self._collections.clear()

    def _open(self, collection: str) -> _Collection:
        self._check()
        if collection not in self._collections:
            raise IndexingError(
                f"the index has no collection {collection!r}; run `memsdk repair` to build it"
            )
        return self._collections[collection]

    def _check(self) -> None:
        if self._closed:
            raise ClosedError("the index was closed; open the memory again")


def _answer(collection: _Collection, request: SearchRequest) -> SearchResult:
    request_to_plain(request)  # for its checks
    return {
        leg.name: [
            PointHit(point.hex, score, _selected(collection.payloads[point], request.payload))
            for point, score in collection.rank(leg, where=request.filter, limit=request.limit)
        ]
        for leg in request.legs
    }


def _selected(payload: Mapping[str, JsonValue], fields: Sequence[str]) -> dict[str, JsonValue]:
    return {name: payload[name] for name in fields if payload.get(name) is not None}
