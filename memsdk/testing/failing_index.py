"""An index that fails when told to, around any other: for tests of what a failing engine may cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from memsdk.errors import IndexUnavailableError
from memsdk.models import CollectionSpec, Point
from memsdk.ports import Index, PointHit, SearchRequest, SearchResult

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

Fails = Callable[[str], bool]
"""Asked before each call, by the method's name, whether it is to fail now."""


class FailingIndex:
    """Implements Index. A failing call raises before it does anything, or (`late`) after it did it all."""

    def __init__(self, index: Index, *, fails: Fails, late: Fails = lambda call: False) -> None:
        """Wrap `index`, which is closed with this one."""
        self._index = index
        self.fails = fails
        self.late = late

    @property
    def generation(self) -> str:
        """See `IndexAdmin.generation`."""
        return self._index.generation

    def ensure(self, collection: str, spec: CollectionSpec) -> None:
        """See `VectorIndex.ensure`."""
        self._fail("ensure")
        self._index.ensure(collection, spec)

    def upsert(self, collection: str, points: Iterable[Point]) -> None:
        """See `VectorIndex.upsert`."""
        self._fail("upsert")
        self._index.upsert(collection, points)
        self._fail("upsert", done=True)

    def delete(self, collection: str, records: Sequence[UUID]) -> None:
        """See `VectorIndex.delete`."""
        self._fail("delete")
        self._index.delete(collection, records)
        self._fail("delete", done=True)

    def search(self, collection: str, requests: Sequence[SearchRequest]) -> list[SearchResult]:
        """See `VectorIndex.search`."""
        self._fail("search")
        return self._index.search(collection, requests)

    def scan(self, collection: str, *, fields: Sequence[str] = ()) -> Iterator[PointHit]:
        """See `VectorIndex.scan`."""
        self._fail("scan")
        yield from self._index.scan(collection, fields=fields)

    def vectors(self, collection: str, points: Sequence[UUID], *, name: str) -> dict[UUID, Vectors]:
        """See `VectorReader.vectors`."""
        self._fail("vectors")
        return self._index.vectors(collection, points, name=name)

    def collections(self) -> dict[str, int]:
        """See `IndexAdmin.collections`."""
        self._fail("collections")
        return self._index.collections()

    def flush(self) -> None:
        """See `IndexAdmin.flush`."""
        self._fail("flush")
        self._index.flush()

    def optimize(self, collection: str, *, progress: Callable[[str], None] | None = None) -> bool:
        """See `IndexAdmin.optimize`."""
        self._fail("optimize")
        return self._index.optimize(collection, progress=progress)

    def drop(self, collection: str) -> None:
        """See `IndexAdmin.drop`."""
        self._fail("drop")
        self._index.drop(collection)

    def close(self) -> None:
        """See `IndexAdmin.close`; it never fails."""
        self._index.close()

    def _fail(self, call: str, *, done: bool = False) -> None:
        if (self.late if done else self.fails)(call):
            raise IndexUnavailableError(f"the test asked {call} to fail; ask it to stop")
