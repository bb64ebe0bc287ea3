"""`AsyncMemory`: the same surface for asyncio. SQLite and torch block by nature, so each call runs in a worker thread.

The threads are this object's own and few, so that a bulk ingest can't starve the event loop's default executor.
"""

from __future__ import annotations

import asyncio
import builtins  # a method named `list` hides the type
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, overload
from uuid import UUID

from memsdk.aio_passages import AsyncPassages
from memsdk.aio_shelves import AsyncExamples, AsyncTools
from memsdk.aio_views import AsyncDocuments, AsyncScopedMemory, AsyncSessions, Threads
from memsdk.memory import IndexName, Memory
from memsdk.messages import ChatMessage
from memsdk.models import Forgotten, Kind, Record, Stats, Task, Verification
from memsdk.recalled import Recall
from memsdk.transfer import Imported
from memsdk.verification import Progress

if TYPE_CHECKING:
    from memsdk.ports import Embedder, Index, Reranker

THREADS = 4


class AsyncMemory:
    """`Memory` for asyncio: every verb has the same name, arguments and errors, and is awaited.

    Example:
        async with await AsyncMemory.open("agent-memory") as memory:
            await memory.remember("Ana is allergic to peanuts.", user_id="ana")
            recall = await memory.recall("What can't Ana eat?", user_id="ana")
    """

    def __init__(self, memory: Memory) -> None:
        """Use `AsyncMemory.open`, or wrap a Memory; closing this closes that."""
        self._memory = memory
        self._threads = Threads(THREADS)
        self._run = self._threads.run
        self.documents = AsyncDocuments(memory.documents, self._threads)
        self.examples = AsyncExamples(memory.examples, self._threads)
        self.passages = AsyncPassages(memory.passages, self._threads)
        self.sessions = AsyncSessions(memory.sessions, self._threads)
        self.tools = AsyncTools(memory.tools, self._threads)

    @classmethod
    async def open(
        cls,
        path: str | Path,
        *,
        embedder: str | Path | Embedder | None = None,
        index: IndexName | Index = "embedded",
        reranker: str | Path | Reranker | None = None,
        **settings: object,
    ) -> Self:
        """See `Memory.open`."""
        return cls(
            await asyncio.to_thread(
                partial(Memory.open, path, embedder=embedder, index=index, reranker=reranker, **settings)
            )
        )

    async def close(self) -> None:
        """See `Memory.close`. Calls under way are finished first."""
        await self._threads.close()
        await asyncio.to_thread(self._memory.close)

    async def __aenter__(self) -> Self:
        """The memory itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()

    def scoped(
        self, *, user_id: str | None = None, agent_id: str | None = None, session_id: str | None = None
    ) -> AsyncScopedMemory:
        """See `Memory.scoped`; it does no I/O and is not awaited."""
        view = self._memory.scoped(user_id=user_id, agent_id=agent_id, session_id=session_id)
        return AsyncScopedMemory(view, self._threads)

    @overload
    async def remember(  # type: ignore[overload-overlap]  # a str is a sequence of str
        self,
        content: str | ChatMessage,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        session_id: str | None = None,
        metadata: Mapping[str, object] | None = None,
        tags: Sequence[str] | None = None,
        occurred_at: datetime | str | None = None,
        expires_at: datetime | str | None = None,
        ttl: timedelta | float | None = None,
        id: str | None = None,
        supersedes: UUID | str | None = None,
        shared: bool = False,
        wait: bool = True,
    ) -> Record: ...

    @overload
    async def remember(
        self,
        content: Sequence[str | ChatMessage],
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        session_id: str | None = None,
        metadata: Mapping[str, object] | None = None,
        tags: Sequence[str] | None = None,
        occurred_at: datetime | str | None = None,
        expires_at: datetime | str | None = None,
        ttl: timedelta | float | None = None,
        id: str | None = None,
        supersedes: UUID | str | None = None,
        shared: bool = False,
        wait: bool = True,
    ) -> builtins.list[Record]: ...

    async def remember(
        self,
        content: str | ChatMessage | Sequence[str | ChatMessage],
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        session_id: str | None = None,
        metadata: Mapping[str, object] | None = None,
        tags: Sequence[str] | None = None,
        occurred_at: datetime | str | None = None,
        expires_at: datetime | str | None = None,
        ttl: timedelta | float | None = None,
        id: str | None = None,
        supersedes: UUID | str | None = None,
        shared: bool = False,
        wait: bool = True,
    ) -> Record | list[Record]:
        """See `Memory.remember`."""
        return await self._run(
            self._memory.remember,
            content,
            user_id=user_id,
            agent_id=agent_id,
            session_id=session_id,
            metadata=metadata,
            tags=tags,
            occurred_at=occurred_at,
            expires_at=expires_at,
            ttl=ttl,
            id=id,
            supersedes=supersedes,
            shared=shared,
            wait=wait,
        )

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
        """See `Memory.update`."""
        return await self._run(
            self._memory.update,
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
        user_id: str | None = None,
        agent_id: str | None = None,
        session_id: str | None = None,
        kinds: Sequence[Kind | str] | None = None,
        filters: Mapping[str, object] | None = None,
        before: datetime | str | None = None,
        older_than: timedelta | None = None,
    ) -> Forgotten:
        """See `Memory.forget`."""
        return await self._run(
            self._memory.forget,
            id,
            user_id=user_id,
            agent_id=agent_id,
            session_id=session_id,
            kinds=kinds,
            filters=filters,
            before=before,
            older_than=older_than,
        )

    async def recall(
        self,
        query: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        session_id: str | None = None,
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
        shared: bool = False,
    ) -> Recall:
        """See `Memory.recall`."""
        return await self._run(
            self._memory.recall,
            query,
            user_id=user_id,
            agent_id=agent_id,
            session_id=session_id,
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
            shared=shared,
        )

    async def get(self, id: UUID | str) -> Record:
        """See `Memory.get`."""
        return await self._run(self._memory.get, id)

    async def list(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        session_id: str | None = None,
        kinds: Sequence[Kind | str] | None = None,
        filters: Mapping[str, object] | None = None,
        limit: int = 100,
        after: UUID | str | None = None,
    ) -> builtins.list[Record]:
        """See `Memory.list`."""
        return await self._run(
            self._memory.list,
            user_id=user_id,
            agent_id=agent_id,
            session_id=session_id,
            kinds=kinds,
            filters=filters,
            limit=limit,
            after=after,
        )

    async def history(self, id: UUID | str) -> builtins.list[Record]:
        """See `Memory.history`."""
        return await self._run(self._memory.history, id)

    async def feedback(
        self,
        recall: Recall | UUID | str,
        *,
        output: str | None = None,
        score: float | None = None,
        used: Sequence[UUID | str] = (),
        metadata: Mapping[str, object] | None = None,
    ) -> UUID:
        """See `Memory.feedback`."""
        return await self._run(
            self._memory.feedback, recall, output=output, score=score, used=used, metadata=metadata
        )

    async def flush(self) -> None:
        """See `Memory.flush`."""
        return await self._run(self._memory.flush)

    async def stats(self) -> Stats:
        """See `Memory.stats`."""
        return await self._run(self._memory.stats)

    async def verify(self) -> Verification:
        """See `Memory.verify`."""
        return await self._run(self._memory.verify)

    async def repair(self, *, progress: Progress | None = None) -> Verification:
        """See `Memory.repair`."""
        return await self._run(self._memory.repair, progress=progress)

    async def reindex(
        self, *, embedder: str | Path | Embedder | None = None, progress: Progress | None = None
    ) -> None:
        """See `Memory.reindex`."""
        return await self._run(self._memory.reindex, embedder=embedder, progress=progress)

    async def enable(self, task: Task | str, *, progress: Progress | None = None) -> bool:
        """See `Memory.enable`."""
        return await self._run(self._memory.enable, task, progress=progress)

    async def retire(self) -> builtins.list[str]:
        """See `Memory.retire`."""
        return await self._run(self._memory.retire)

    async def optimize(self) -> bool:
        """See `Memory.optimize`."""
        return await self._run(self._memory.optimize)

    async def sweep(self) -> Forgotten:
        """See `Memory.sweep`."""
        return await self._run(self._memory.sweep)

    async def backup(self, path: str | Path) -> Path:
        """See `Memory.backup`."""
        return await self._run(self._memory.backup, path)

    async def export_jsonl(
        self, path: str | Path, *, user_id: str | None = None, progress: Progress | None = None
    ) -> int:
        """See `Memory.export_jsonl`."""
        return await self._run(self._memory.export_jsonl, path, user_id=user_id, progress=progress)

    async def import_jsonl(self, path: str | Path, *, progress: Progress | None = None) -> Imported:
        """See `Memory.import_jsonl`."""
        return await self._run(self._memory.import_jsonl, path, progress=progress)
