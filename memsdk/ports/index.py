"""The vector index: nearest neighbours, rebuildable at any time from the records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol
from uuid import UUID

from pydantic import JsonValue

from memsdk.filters import Filter
from memsdk.models import CollectionSpec, Point, SparseVector

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One ranked list that a search asks for: by one named vector, dense or sparse."""

    name: str  # of the vector in the collection
    dense: Vectors | None = None  # [d]
    sparse: SparseVector | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """All legs of one query under one filter."""

    legs: tuple[Leg, ...]
    filter: Filter | None = None  # over payload fields
    limit: int = 100  # points a leg
    payload: tuple[str, ...] = ()  # the payload fields to bring back
    parts_only: bool = (
        False  # may leave out the payload of points whose id is no UUIDv5: such an id is its record's
    )


class PointHit(NamedTuple):
    """A point that a leg found, best first. Dense: cosine; sparse: BM25. Hundreds are made for each recall."""

    key: str  # the point's id as 32 hex digits; most are never read, so they are not parsed
    score: float
    payload: Mapping[str, JsonValue]

    @property
    def id(self) -> UUID:
        """The point's id."""
        return UUID(self.key)


SearchResult = Mapping[str, list[PointHit]]
"""By leg name, best first."""


class VectorIndex(Protocol):
    """Nearest neighbours over named vectors, collection by collection. Rebuildable; never the truth."""

    def ensure(self, collection: str, spec: CollectionSpec) -> None:
        """Create the collection unless it is there; one with other vectors raises IndexingError."""

    def upsert(self, collection: str, points: Iterable[Point]) -> None:
        """Add or replace the points; doing it twice is the same as doing it once.

        They may be made while they are taken: those before one that can't be made, or is refused, may have been written.
        """

    def delete(self, collection: str, records: Sequence[UUID]) -> None:
        """Remove every point of these records; missing ones are no error."""

    def search(self, collection: str, requests: Sequence[SearchRequest]) -> list[SearchResult]:
        """Answer the requests in order, in one round trip."""

    def scan(self, collection: str, *, fields: Sequence[str] = ()) -> Iterator[PointHit]:
        """Every point once, in no promised order, score 0, with the named payload fields."""


class VectorReader(Protocol):
    """Stored vectors, read back: what the trainer learns against. Every index adapter implements this too."""

    def vectors(self, collection: str, points: Sequence[UUID], *, name: str) -> dict[UUID, Vectors]:
        """The dense vector [d] of that name of each point; points that are gone or have none are left out.

        They may have been kept in half precision: each number is then within 2^-11 of its size.
        """


class IndexAdmin(Protocol):
    """The care of collections. Every index adapter implements this beside `VectorIndex`."""

    @property
    def generation(self) -> str:
        """Names one run of the engine: what was applied under another one may be lost unless it was flushed."""

    def collections(self) -> dict[str, int]:
        """Points by collection."""

    def flush(self) -> None:
        """Return once all that was applied before the call is on disk."""

    def optimize(self, collection: str, *, progress: Callable[[str], None] | None = None) -> bool:
        """Build the graph beside the serving shard and switch to it; False where there was nothing to do."""

    def drop(self, collection: str) -> None:
        """Remove the collection and its files; a missing one is no error."""

    def close(self) -> None:
        """Let go of the engine. Twice is once."""


class Index(VectorIndex, VectorReader, IndexAdmin, Protocol):
    """What an index adapter is: all three."""
