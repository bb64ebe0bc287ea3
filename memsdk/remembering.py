"""Writing: drafts stored in one transaction, then indexed before the call returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from memsdk.background import Background
from memsdk.indexing import Indexer
from memsdk.models import Draft, Metadata
from memsdk.ports import Change, Owner, RecordFilter, Records, Written
from memsdk.testing.failpoints import reach

Item = TypeVar("Item")

SLICE = 2_048
"""Drafts a transaction: what one `kill -9` can cost of a long list is at most what was not returned yet."""
FIRST, GROWTH = 512, 4
"""Drafts of a list's first transaction, and how many times more each next one has: the encoder soon has something to do, for
longer than the next drafts take to be written. Each seam costs, too: 500 turns took 1.11 times their encoding in one slice,
and 1.16 in two of 128 and 372."""
AHEAD = 4
"""Calls with so few drafts embed them while the disk keeps them, which takes as long. Of more, many may be known already."""


class Writer:
    """Stores and indexes. Once a call returns, its records survive `kill -9` and the next recall finds them."""

    def __init__(
        self,
        *,
        records: Records,
        indexer: Indexer,
        background: Background,
        owner: Owner,
        prepare: Callable[[], object],
    ) -> None:
        """Args: `prepare` gives a new store its embedder and spaces, before anything is written."""
        self._records = records
        self._indexer = indexer
        self._background = background
        self._owner = owner
        self._prepare = prepare

    def embed_ahead(self, drafts: Sequence[Draft]) -> Future[None]:
        """Embed what these drafts will be found by while their caller is still at others; `add` meets any error again."""
        self._prepare()
        return self._indexer.embed_ahead(drafts)

    def add(
        self, drafts: Sequence[Draft], *, wait: bool = True, ahead: Future[None] | None = None
    ) -> list[Written]:
        """Store the drafts, all or none of each 512 and then 2,048, and index them meanwhile.

        Args:
            wait: False leaves the indexing to the background.
            ahead: what `embed_ahead` gave for some of them.

        Raises:
            IndexingError, EmbedderError: the records are stored, and will be found once the cause is mended.
        """
        self._prepare()
        if ahead is None and wait and len(drafts) <= AHEAD:
            ahead = self.embed_ahead(drafts)
        written: list[Written] = []
        with self._indexer.pipeline(after=ahead) as pipeline:

            def expect(stored: Sequence[Written]) -> None:
                pipeline.expect(changes_of(stored))

            for part in slices(drafts):
                reach("sql-before-commit")
                batch = self._records.add(
                    part,
                    owner=self._owner() if wait else None,
                    before_commit=expect if wait else None,
                )
                reach("sql-after-commit")
                written += batch
                pipeline.take(changes_of(batch) if wait else [])
        self._background.nudge()
        return written

    def update(
        self,
        id: UUID,
        *,
        visible: RecordFilter,
        text: str | None,
        metadata: Metadata | None,
        occurred_at: datetime | None,
        expires_at: datetime | None,
        wait: bool = True,
    ) -> Written:
        """Write a new revision of a record and index it."""
        self._prepare()
        reach("sql-before-commit")
        written = self._records.update(
            id,
            visible=visible,
            owner=self._owner() if wait else None,
            text=text,
            metadata=metadata,
            occurred_at=occurred_at,
            expires_at=expires_at,
        )
        reach("sql-after-commit")
        self.index(changes_of([written]), wait=wait)
        return written

    def index(self, changes: Sequence[Change], *, wait: bool) -> None:
        """Index these changes now, or let the background do it; then have it look for neighbours."""
        if wait and changes:
            self._indexer.index_now(changes)
        self._background.nudge()


def slices(drafts: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """A list in the parts that are stored in one transaction each."""
    start, size = 0, FIRST
    while start < len(drafts):
        yield drafts[start : start + size]
        start, size = start + size, min(size * GROWTH, SLICE)


def changes_of(written: Sequence[Written]) -> list[Change]:
    """The outbox entries of what was written."""
    return [Change(item.seq, item.record.id, item.state) for item in written if item.seq is not None]
