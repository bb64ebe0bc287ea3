"""`memory.scoped(...)`: the same surface with the scope filled in. It can't reach beyond that scope."""

from __future__ import annotations

import builtins  # a method named `list` hides the type
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, overload
from uuid import UUID

from memsdk.documents import DocumentShelf
from memsdk.errors import InvalidInputError
from memsdk.examples import ExampleShelf
from memsdk.messages import ChatMessage
from memsdk.models import Forgotten, Kind, Record, Scope
from memsdk.passages import PassageShelf
from memsdk.recalled import Recall
from memsdk.sessions import SessionShelf
from memsdk.tools import ToolShelf

if TYPE_CHECKING:
    from memsdk.access import Access
    from memsdk.memory import Memory


class ScopedMemory:
    """A memory seen by one user, agent or session: reads their own and the shared records, changes only their own."""

    def __init__(self, memory: Memory, scope: Scope) -> None:
        """Use `Memory.scoped`."""
        self._memory = memory
        self.scope = scope
        self._own = (scope.user_id,)
        self._seen = tuple(dict.fromkeys((scope.user_id, None)))
        self._own_agent = None if scope.agent_id is None else (scope.agent_id,)
        self._seen_agents = None if scope.agent_id is None else (scope.agent_id, None)
        self.documents = DocumentShelf(memory, scope=scope)
        self.examples = ExampleShelf(memory, scope=scope)
        self.passages = PassageShelf(memory, scope=scope)
        self.sessions = SessionShelf(memory, users=self._own, agents=self._seen_agents)
        self.tools = ToolShelf(memory, scope=scope)

    @overload
    def remember(  # type: ignore[overload-overlap]  # a str is a sequence of str
        self, content: str | ChatMessage, *, metadata: Mapping[str, object] | None = None,
        tags: Sequence[str] | None = None, occurred_at: datetime | str | None = None,
        expires_at: datetime | str | None = None, ttl: timedelta | float | None = None, id: str | None = None,
        supersedes: UUID | str | None = None, wait: bool = True,
    ) -> Record: ...  # fmt: skip
    @overload
    def remember(
        self, content: Sequence[str | ChatMessage], *, metadata: Mapping[str, object] | None = None,
        tags: Sequence[str] | None = None, occurred_at: datetime | str | None = None,
        expires_at: datetime | str | None = None, ttl: timedelta | float | None = None, id: str | None = None,
        supersedes: UUID | str | None = None, wait: bool = True,
    ) -> builtins.list[Record]: ...  # fmt: skip
    def remember(
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
        """See `Memory.remember`."""
        return self._memory.remember(
            content, user_id=self.scope.user_id, agent_id=self.scope.agent_id, session_id=self.scope.session_id,
            metadata=metadata, tags=tags, occurred_at=occurred_at, expires_at=expires_at, ttl=ttl, id=id,
            supersedes=supersedes, shared=self._shared, wait=wait,
        )  # fmt: skip

    def recall(
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
        """See `Memory.recall`."""
        return self._memory.recall(
            query, user_id=self.scope.user_id, agent_id=self.scope.agent_id, session_id=self.scope.session_id,
            kinds=kinds, k=k, filters=filters, as_of=as_of, history=history, max_tokens=max_tokens, recency=recency, diversity=diversity, collapse=collapse, budget=budget, explain=explain,
            this_session=this_session, shared=self._shared,
        )  # fmt: skip

    def get(self, id: UUID | str) -> Record:
        """See `Memory.get`; the user's own and the shared records."""
        return self._access.get(id, users=self._seen, agents=self._seen_agents)

    def list(
        self,
        *,
        kinds: Sequence[Kind | str] | None = None,
        filters: Mapping[str, object] | None = None,
        this_session: bool = False,
        limit: int = 100,
        after: UUID | str | None = None,
    ) -> builtins.list[Record]:
        """See `Memory.list`; the user's own records, of this session only where asked."""
        return self._access.list(
            users=self._own, agent_id=self.scope.agent_id, session_id=self._session(only=this_session), kinds=kinds,
            filters=filters, limit=limit, after=after,
        )  # fmt: skip

    def history(self, id: UUID | str) -> builtins.list[Record]:
        """See `Memory.history`."""
        return self._access.history(id, users=self._seen, agents=self._seen_agents)

    def update(
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
        """See `Memory.update`; the user's own records only."""
        return self._access.update(
            id,
            text,
            users=self._own,
            agents=self._own_agent,
            metadata=metadata,
            tags=tags,
            occurred_at=occurred_at,
            expires_at=expires_at,
            ttl=ttl,
        )

    def forget(
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
        """See `Memory.forget`; the user's own records only. `everything=True` erases all of this user."""
        if everything:
            if self.scope.user_id is None or self.scope.agent_id is not None:
                raise InvalidInputError(
                    "everything=True needs a view of one user and all agents; this one is of"
                    f" {'one agent' if self.scope.user_id else 'the shared records'}"
                )
            return self._access.forget(
                None, users=self._own, user_id=self.scope.user_id, agent_id=None, session_id=None, kinds=None,
                filters=None, before=None, older_than=None,
            )  # fmt: skip
        if id is None and not (kinds or filters or before or older_than or this_session):
            raise InvalidInputError(
                "forget what? give an id, filters, an age, or everything=True; nothing was erased"
            )
        return self._access.forget(
            id, users=self._own, user_id=None, agent_id=self.scope.agent_id, session_id=self._session(only=this_session),
            kinds=kinds, filters=filters, before=before, older_than=older_than,
        )  # fmt: skip

    def feedback(
        self,
        recall: Recall | UUID | str,
        *,
        output: str | None = None,
        score: float | None = None,
        used: Sequence[UUID | str] = (),
        metadata: Mapping[str, object] | None = None,
    ) -> UUID:
        """See `Memory.feedback`; this user's recalls only."""
        return self._access.feedback(
            recall, users=self._own, output=output, score=score, used=used, metadata=metadata
        )

    @property
    def _access(self) -> Access:
        return self._memory._parts.access  # noqa: SLF001 -- a view of Memory

    @property
    def _shared(self) -> bool:
        """A view without a user was asked for knowingly."""
        return self.scope.user_id is None

    def _session(self, *, only: bool) -> str | None:
        if only and self.scope.session_id is None:
            raise InvalidInputError("this_session=True needs a view with a session_id")
        return self.scope.session_id if only else None
