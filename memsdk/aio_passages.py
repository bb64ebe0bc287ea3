"""`memory.passages` for asyncio."""

from __future__ import annotations

import builtins  # a method named `list` hides the type
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from memsdk.models import Forgotten, Stream
from memsdk.passages import PassageShelf
from memsdk.stretches import PassageRecall

if TYPE_CHECKING:
    from memsdk.aio_views import Threads


class AsyncPassages:
    """See `PassageShelf`."""

    def __init__(self, shelf: PassageShelf, threads: Threads) -> None:
        self._shelf = shelf
        self._run = threads.run

    async def append(
        self, stream: str, text: str, *, at: int | None = None, user_id: str | None = None, agent_id: str | None = None,
        metadata: Mapping[str, object] | None = None, tags: Sequence[str] | None = None, shared: bool = False,
        wait: bool = True,
    ) -> Stream:  # fmt: skip
        """See `PassageShelf.append`."""
        return await self._run(
            self._shelf.append, stream, text, at=at, user_id=user_id, agent_id=agent_id, metadata=metadata, tags=tags,
            shared=shared, wait=wait,
        )  # fmt: skip

    async def recall(
        self, stream: str, recent_text: str, *, k: int = 4, before: int | None = None, user_id: str | None = None,
        agent_id: str | None = None, max_tokens: int | None = None, explain: bool = False, shared: bool = False,
    ) -> PassageRecall:  # fmt: skip
        """See `PassageShelf.recall`."""
        return await self._run(
            self._shelf.recall, stream, recent_text, k=k, before=before, user_id=user_id, agent_id=agent_id,
            max_tokens=max_tokens, explain=explain, shared=shared,
        )  # fmt: skip

    async def read(
        self, stream: str, *, start: int = 0, user_id: str | None = None, agent_id: str | None = None,
        shared: bool = False,
    ) -> str:  # fmt: skip
        """See `PassageShelf.read`."""
        return await self._run(
            self._shelf.read, stream, start=start, user_id=user_id, agent_id=agent_id, shared=shared
        )

    async def list(self, *, user_id: str | None = None, limit: int = 100) -> builtins.list[Stream]:
        """See `PassageShelf.list`."""
        return await self._run(self._shelf.list, user_id=user_id, limit=limit)

    async def remove(
        self, stream: str, *, user_id: str | None = None, agent_id: str | None = None, shared: bool = False
    ) -> Forgotten:
        """See `PassageShelf.remove`."""
        return await self._run(self._shelf.remove, stream, user_id=user_id, agent_id=agent_id, shared=shared)
