"""What `AsyncMemory` hands out: the shelves and the scoped view for asyncio, and the worker threads of all of them."""

from __future__ import annotations

import asyncio
import builtins  # a method named `list` hides the type
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar, overload
from uuid import UUID

from memsdk.aio_passages import AsyncPassages
from memsdk.aio_shelves import AsyncExamples, AsyncTools
from memsdk.documents import DocumentShelf, OnSource, Source
from memsdk.errors import ClosedError
from memsdk.messages import ChatMessage
from memsdk.models import Document, Forgotten, IngestReport, Kind, Record, Session
from memsdk.recalled import Recall
from memsdk.sessions import SessionShelf

if TYPE_CHECKING:
    from memsdk.scoped import ScopedMemory

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """Runs calls in worker threads: this object's own and few."""

    def __init__(self, most: int) -> None:
        self._pool = ThreadPoolExecutor(max_workers=most, thread_name_prefix="memsdk")
        self._closed = False

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The call's result, once a thread is free and has made it."""
        if self._closed:
            raise ClosedError("this memory was closed; open it again with AsyncMemory.open(...)")
        return await asyncio.get_running_loop().run_in_executor(self._pool, partial(call, *args, **kwargs))

    async def close(self) -> None:
        """Take no more calls; wait for those under way."""
        self._closed = True
        await asyncio.to_thread(self._pool.shutdown)


class AsyncDocuments:
    """See `DocumentShelf`."""

    def __init__(self, shelf: DocumentShelf, threads: Threads) -> None:
        self._shelf = shelf
        self._run = threads.run

    async def ingest(
        self, sources: Source | Sequence[Source] = (), *, text: str | None = None, title: str | None = None,
        key: str | None = None, media_type: str = "text/plain", user_id: str | None = None, agent_id: str | None = None,
        metadata: Mapping[str, object] | None = None, tags: Sequence[str] | None = None, shared: bool = False,
        on_source: OnSource | None = None,
    ) -> IngestReport:  # fmt: skip
        """See `DocumentShelf.ingest`; `on_source` is called in the worker thread."""
        return await self._run(
            self._shelf.ingest, sources, text=text, title=title, key=key, media_type=media_type, user_id=user_id,
            agent_id=agent_id, metadata=metadata, tags=tags, shared=shared, on_source=on_source,
        )  # fmt: skip

    async def list(
        self, *, user_id: str | None = None, limit: int = 100, after: UUID | str | None = None
    ) -> builtins.list[Document]:
        """See `DocumentShelf.list`."""
        return await self._run(self._shelf.list, user_id=user_id, limit=limit, after=after)

    async def remove(self, document: Document | UUID | str) -> Forgotten:
        """See `DocumentShelf.remove`."""
        return await self._run(self._shelf.remove, document)


class AsyncSessions:
    """See `SessionShelf`."""

    def __init__(self, shelf: SessionShelf, threads: Threads) -> None:
        self._shelf = shelf
        self._run = threads.run

    async def list(self, user_id: str | None = None, *, limit: int = 100) -> builtins.list[Session]:
        """See `SessionShelf.list`."""
        return await self._run(self._shelf.list, user_id, limit=limit)

    async def transcript(
        self, session_id: str, *, user_id: str | None = None, last: int | None = None
    ) -> builtins.list[Record]:
        """See `SessionShelf.transcript`."""
        return await self._run(self._shelf.transcript, session_id, user_id=user_id, last=last)


class AsyncScopedMemory:
    """See `ScopedMemory`."""

    def __init__(self, view: ScopedMemory, threads: Threads) -> None:
        """Use `AsyncMemory.scoped`."""
        self._view = view
        self.scope = view.scope
        self._run = threads.run
        self.documents = AsyncDocuments(view.documents, threads)
        self.examples = AsyncExamples(view.examples, threads)
        self.passages = AsyncPassages(view.passages, threads)
        self.sessions = AsyncSessions(view.sessions, threads)
        self.tools = AsyncTools(view.tools, threads)

    @overload
    async def remember(  # type: ignore[overload-overlap]  # a str is a sequence of str
        self,
        content: str | ChatMessage,
        *,
        metadata: Mapping[str, object] | None = None,
        tags: Sequence[str] | None = None,
        occurred_at: datetime | str | None = None,
        expires_at: datetime | str | None = None,
        ttl: timedelta | float | None = None,
        id: str | None = None,
        supersedes: UUID | str | None = None,
        wait: bool = True,
    ) -> Record: ...

    @overload
    async def remember(
        self,
        content: Sequence[str | ChatMessage],
        *,
        metadata: Mapping[str, object] | None = None,
        tags: Sequence[str] | None = None,
        occurred_at: datetime | str | None = None,
        expires_at: datetime | str | None = None,
        ttl: timedelta | float | None = None,
        id: str | None = None,
        supersedes: UUID | str | None = None,
        wait: bool = True,
    ) -> builtins.list[Record]: ...

    async def remember(
        self,
        content: str | ChatMessage | Sequence[str | ChatMessage],
        *,
        metadata: Mapping[str, object] | None = None,
        tags: Sequence[str] | None = None,
        occurred_at: datetime | str | None = None,
        expires_at: datetime | str | None = None,
        ttl: timedelta | float | None = None,
        id: str | None = None,
        supersedes: UUID | str | None = None,
        wait: bool = True,
    ) -> Record | list[Record]:
        """See `ScopedMemory.remember`."""
        return await self._run(
            self._view.remember,
            content,
            metadata=metadata,
            tags=tags,
            occurred_at=occurred_at,
            expires_at=expires_at,
            ttl=ttl,
            id=id,
            supersedes=supersedes,
            wait=wait,
        )

    async def recall(
        self,
        query: str,
        *,
        kinds: Sequence[Kind | str] | None = None,
        k: int = 5,
        filters: Mapping[str, object] | None = None,
        as_of: datetime | str | None = None,
        history: Sequence[str | ChatMessage] | None = None,
        max_tokens: int | None = None,
        recency: timedelta | float | None = None,
        diversity: float = 0.0,
        collapse: bool = False,
        budget: Mapping[Kind | str, int] | None = None,
        explain: bool = False,
        this_session: bool = False,
    ) -> Recall:
        """See `ScopedMemory.recall`."""
        return await self._run(
            self._view.recall,
            query,
            kinds=kinds,
            k=k,
            filters=filters,
            as_of=as_of,
            history=history,
            max_tokens=max_tokens,
            recency=recency,
            diversity=diversity,
            collapse=collapse,
            budget=budget,
            explain=explain,
            this_session=this_session,
        )

    async def get(self, id: UUID | str) -> Record:
        """See `ScopedMemory.get`."""
        return await self._run(self._view.get, id)

    async def list(
        self,
        *,
        kinds: Sequence[Kind | str] | None = None,
        filters: Mapping[str, object] | None = None,
        this_session: bool = False,
        limit: int = 100,
        after: UUID | str | None = None,
    ) -> builtins.list[Record]:
        """See `ScopedMemory.list`."""
        return await self._run(
            self._view.list, kinds=kinds, filters=filters, this_session=this_session, limit=limit, after=after
        )

    async def history(self, id: UUID | str) -> builtins.list[Record]:
        """See `ScopedMemory.history`."""
        return await self._run(self._view.history, id)

    async def update(
        self,
        id: UUID | str,
        text: str | None = None,
        *,
        metadata: Mapping[str, object] | None = None,
        tags: Sequence[str] | None = None,
        occurred_at: datetime | str | None = None,
        expires_at: datetime | str | None = None,
        ttl: timedelta | float | None = None,
    ) -> Record:
        """See `ScopedMemory.update`."""
        return await self._run(
            self._view.update,
            id,
            text,
            metadata=metadata,
            tags=tags,
            occurred_at=occurred_at,
            expires_at=expires_at,
            ttl=ttl,
        )

    async def forget(
        self,
        id: UUID | str | Sequence[UUID | str] | None = None,
        *,
        kinds: Sequence[Kind | str] | None = None,
        filters: Mapping[str, object] | None = None,
        before: datetime | str | None = None,
        older_than: timedelta | None = None,
        this_session: bool = False,
        everything: bool = False,
    ) -> Forgotten:
        """See `ScopedMemory.forget`."""
        return await self._run(
            self._view.forget,
            id,
            kinds=kinds,
            filters=filters,
            before=before,
            older_than=older_than,
            this_session=this_session,
            everything=everything,
        )

    async def feedback(
        self,
        recall: Recall | UUID | str,
        *,
        output: str | None = None,
        score: float | None = None,
        used: Sequence[UUID | str] = (),
        metadata: Mapping[str, object] | None = None,
    ) -> UUID:
        """See `ScopedMemory.feedback`."""
        return await self._run(
            self._view.feedback, recall, output=output, score=score, used=used, metadata=metadata
        )
