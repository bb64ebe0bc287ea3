"""`memory.sessions`: conversations, as the records' session labels draw them."""

from __future__ import annotations

import builtins  # a method named `list` hides the type
from typing import TYPE_CHECKING

from memsdk import inputs
from memsdk.errors import InvalidInputError, NotFoundError
from memsdk.models import Record, Session
from memsdk.ports import Sessions, Whose

if TYPE_CHECKING:
    from memsdk.memory import Memory


class SessionShelf:
    """Lists conversations and reads them back in their order."""

    def __init__(self, memory: Memory, *, users: Whose = None, agents: Whose = None) -> None:
        """Args: `users` and `agents` limit what can be reached; None is everybody's."""
        self._memory = memory
        self._users = users
        self._agents = agents

    def list(self, user_id: str | None = None, *, limit: int = 100) -> builtins.list[Session]:
        """Sessions, the latest first: of one user, or without a user_id of all within reach."""
        user = inputs.clean_id(user_id, what="user_id")
        users = self._users if user is None else inputs.narrow(self._users, user)
        return self._port.list(users=users, agents=self._agents, limit=inputs.clean_limit(limit))

    def transcript(
        self, session_id: str, *, user_id: str | None = None, last: int | None = None
    ) -> builtins.list[Record]:
        """What was said in a session, in its order; the last so many.

        Raises:
            NotFoundError: no such session within reach.
        """
        session = inputs.clean_id(session_id, what="session_id")
        if session is None:
            raise InvalidInputError(
                "session_id is None, expected a session's id; `sessions.list()` shows them"
            )
        user = inputs.clean_id(user_id, what="user_id")
        users = self._users if user is None else inputs.narrow(self._users, user)
        wanted = None if last is None else inputs.clean_limit(last, what="last")
        records = self._port.transcript(session, users=users, agents=self._agents, last=wanted)
        if not records:
            raise NotFoundError(
                f"no session {session_id!r} in this scope; `sessions.list()` shows what there is"
            )
        return records

    @property
    def _port(self) -> Sessions:
        return self._memory._parts.store.sessions  # noqa: SLF001 -- a room of Memory
