"""mem0's names for those whose fingers know them: `add`, `search`, `get`, `get_all`, `update`, `history`, `delete`.

Results have mem0's shape (dicts), and no LLM is called: what is added is what is kept (`infer=False` there).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import JsonValue

from memsdk.memory import IndexName
from memsdk.memory import Memory as _Memory
from memsdk.messages import ChatMessage
from memsdk.models import Hit, Record
from memsdk.ports import Embedder

Result = dict[str, JsonValue]


class Memory:
    """A `memsdk.Memory` behind mem0's method names. `agent_id` and `run_id` are memsdk's agent and session."""

    def __init__(self, memory: _Memory) -> None:
        """Wrap an open memory; or use `Memory.open`."""
        self.memory = memory

    @classmethod
    def open(
        cls, path: str | Path, *, embedder: str | Path | Embedder | None = None, index: IndexName = "embedded"
    ) -> Self:
        """Open a store folder. See `memsdk.Memory.open`."""
        return cls(_Memory.open(path, embedder=embedder, index=index))

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.memory.close()

    def add(
        self,
        messages: str | ChatMessage | Sequence[str | ChatMessage],
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        metadata: Mapping[str, object] | None = None,
    ) -> dict[str, list[Result]]:
        """See `memsdk.Memory.remember`."""
        items = [messages] if isinstance(messages, str | Mapping) else messages
        records = self.memory.remember(
            items, user_id=user_id, agent_id=agent_id, session_id=run_id, metadata=metadata
        )
        return {"results": [{"id": str(item.id), "memory": item.text, "event": "ADD"} for item in records]}

    def search(
        self,
        query: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        limit: int = 5,
        filters: Mapping[str, object] | None = None,
    ) -> dict[str, list[Result]]:
        """See `memsdk.Memory.recall`; with a `run_id`, only of that session."""
        hits = self.memory.recall(
            query, user_id=user_id, agent_id=agent_id, session_id=run_id, this_session=run_id is not None, k=limit,
            filters=filters,
        )  # fmt: skip
        return {"results": [_result(hit) for hit in hits]}

    def get(self, memory_id: str) -> Result:
        """See `memsdk.Memory.get`."""
        return _result(self.memory.get(memory_id))

    def get_all(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        limit: int = 100,
    ) -> dict[str, list[Result]]:
        """See `memsdk.Memory.list`."""
        records = self.memory.list(user_id=user_id, agent_id=agent_id, session_id=run_id, limit=limit)
        return {"results": [_result(record) for record in records]}

    def update(self, memory_id: str, data: str) -> dict[str, str]:
        """See `memsdk.Memory.update`."""
        self.memory.update(memory_id, data)
        return {"message": "Memory updated successfully!"}

    def history(self, memory_id: str) -> list[Result]:
        """See `memsdk.Memory.history`."""
        return [_result(revision) for revision in self.memory.history(memory_id)]

    def delete(self, memory_id: str) -> dict[str, str]:
        """See `memsdk.Memory.forget`."""
        self.memory.forget(memory_id)
        return {"message": "Memory deleted successfully!"}

    def delete_all(
        self, *, user_id: str | None = None, agent_id: str | None = None, run_id: str | None = None
    ) -> dict[str, str]:
        """See `memsdk.Memory.forget`; at least one of the ids must be given."""
        self.memory.forget(user_id=user_id, agent_id=agent_id, session_id=run_id)
        return {"message": "Memories deleted successfully!"}


def _result(record: Record) -> Result:
    result: Result = {
        "id": str(record.id),
        "memory": record.text,
        "metadata": record.metadata,
        "user_id": record.user_id,
        "agent_id": record.agent_id,
        "run_id": record.session_id,
        "created_at": record.created_at.isoformat(),
        "updated_at": record.updated_at.isoformat(),
    }
    if isinstance(record, Hit):
        result["score"] = record.score
    return result
