"""`memory.examples` and `memory.tools` for asyncio."""

from __future__ import annotations

import builtins  # a method named `list` hides the type
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from memsdk.examples import ExampleRecall, ExampleShelf
from memsdk.models import ExampleReport, Forgotten, Record, Synced
from memsdk.tools import ToolRecall, ToolShelf

if TYPE_CHECKING:
    from memsdk.aio_views import Threads


class AsyncExamples:
    """See `ExampleShelf`."""

    def __init__(self, shelf: ExampleShelf, threads: Threads) -> None:
        self._shelf = shelf
        self._run = threads.run

    async def add(
        self, input: str, output: str, *, task: str | None = None, instruction: str | None = None,
        label: str | None = None, score: float | None = None, id: str | None = None, user_id: str | None = None,
        agent_id: str | None = None, metadata: Mapping[str, object] | None = None, tags: Sequence[str] | None = None,
        shared: bool = False, wait: bool = True,
    ) -> Record:  # fmt: skip
        """See `ExampleShelf.add`."""
        return await self._run(
            self._shelf.add, input, output, task=task, instruction=instruction, label=label, score=score, id=id,
            user_id=user_id, agent_id=agent_id, metadata=metadata, tags=tags, shared=shared, wait=wait,
        )  # fmt: skip

    async def ingest(
        self, sources: str | Path | Sequence[str | Path] | Iterable[Mapping[str, object]], *, task: str | None = None,
        min_score: float | None = None, user_id: str | None = None, agent_id: str | None = None,
        metadata: Mapping[str, object] | None = None, tags: Sequence[str] | None = None, shared: bool = False,
    ) -> ExampleReport:  # fmt: skip
        """See `ExampleShelf.ingest`."""
        return await self._run(
            self._shelf.ingest, sources, task=task, min_score=min_score, user_id=user_id, agent_id=agent_id,
            metadata=metadata, tags=tags, shared=shared,
        )  # fmt: skip

    async def recall(
        self, input: str, *, k: int = 4, task: str | None = None, min_score: float | None = None,
        diversify: float | None = None, balance: str | None = None, user_id: str | None = None,
        agent_id: str | None = None, filters: Mapping[str, object] | None = None, max_tokens: int | None = None,
        explain: bool = False, shared: bool = False,
    ) -> ExampleRecall:  # fmt: skip
        """See `ExampleShelf.recall`."""
        return await self._run(
            self._shelf.recall, input, k=k, task=task, min_score=min_score, diversify=diversify, balance=balance,
            user_id=user_id, agent_id=agent_id, filters=filters, max_tokens=max_tokens, explain=explain, shared=shared,
        )  # fmt: skip

    async def list(
        self, *, task: str | None = None, user_id: str | None = None, limit: int = 100,
        after: UUID | str | None = None,
    ) -> builtins.list[Record]:  # fmt: skip
        """See `ExampleShelf.list`."""
        return await self._run(self._shelf.list, task=task, user_id=user_id, limit=limit, after=after)

    async def remove(self, example: Record | UUID | str | Sequence[UUID | str]) -> Forgotten:
        """See `ExampleShelf.remove`."""
        return await self._run(self._shelf.remove, example)


class AsyncTools:
    """See `ToolShelf`."""

    def __init__(self, shelf: ToolShelf, threads: Threads) -> None:
        self._shelf = shelf
        self._run = threads.run

    async def add(
        self, tools: object, *, source: str | None = None,
        requests: Sequence[str] | Mapping[str, Sequence[str]] = (), user_id: str | None = None,
        agent_id: str | None = None, metadata: Mapping[str, object] | None = None, tags: Sequence[str] | None = None,
        shared: bool = False, wait: bool = True,
    ) -> builtins.list[Record]:  # fmt: skip
        """See `ToolShelf.add`."""
        return await self._run(
            self._shelf.add, tools, source=source, requests=requests, user_id=user_id, agent_id=agent_id,
            metadata=metadata, tags=tags, shared=shared, wait=wait,
        )  # fmt: skip

    async def sync(
        self, source: str, tools: object, *, user_id: str | None = None, agent_id: str | None = None,
        shared: bool = False,
    ) -> Synced:  # fmt: skip
        """See `ToolShelf.sync`."""
        return await self._run(
            self._shelf.sync, source, tools, user_id=user_id, agent_id=agent_id, shared=shared
        )

    async def recall(
        self, request: str, *, k: int = 5, source: str | None = None, user_id: str | None = None,
        agent_id: str | None = None, filters: Mapping[str, object] | None = None, diversify: float | None = None,
        max_tokens: int | None = None, explain: bool = False, shared: bool = False,
    ) -> ToolRecall:  # fmt: skip
        """See `ToolShelf.recall`."""
        return await self._run(
            self._shelf.recall, request, k=k, source=source, user_id=user_id, agent_id=agent_id, filters=filters,
            diversify=diversify, max_tokens=max_tokens, explain=explain, shared=shared,
        )  # fmt: skip

    async def list(
        self, *, source: str | None = None, user_id: str | None = None, limit: int = 100,
        after: UUID | str | None = None,
    ) -> builtins.list[Record]:  # fmt: skip
        """See `ToolShelf.list`."""
        return await self._run(self._shelf.list, source=source, user_id=user_id, limit=limit, after=after)

    async def remove(
        self, tool: Record | UUID | str | None = None, *, source: str | None = None, user_id: str | None = None,
        agent_id: str | None = None,
    ) -> Forgotten:  # fmt: skip
        """See `ToolShelf.remove`."""
        return await self._run(self._shelf.remove, tool, source=source, user_id=user_id, agent_id=agent_id)
