"""`Shelf`: one kind of record within one scope. What `memory.examples` and `memory.tools` stand on; no shelf inherits it."""

from __future__ import annotations

import builtins  # a method named `list` hides the type
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

from uuid_utils.compat import uuid7

from memsdk import filters as filter_language
from memsdk import inputs
from memsdk.errors import InvalidInputError
from memsdk.filters import All, Filter, Match
from memsdk.models import Draft, Forgotten, Hit, Kind, Record, Scope
from memsdk.ports import RecordFilter, Whose, Written
from memsdk.recalled import Recall
from memsdk.recalling import Question
from memsdk.selecting import joined

if TYPE_CHECKING:
    from memsdk.memory import Memory
    from memsdk.parts import Parts

PARTS_SHARE = 0.5
"""How much of a hit's score its best part of the query makes. Measured: docs/ranking.md."""

Choose = Callable[[Sequence[Hit]], Sequence[Hit]]
"""Picks what is shown out of what was found, best first."""


class Shelf:
    """Writes, finds, lists and removes records of one kind, no further than its scope reaches."""

    def __init__(self, memory: Memory, kind: Kind, *, scope: Scope | None = None) -> None:
        """Args: `scope` limits what can be reached, and whose what is added is; None is everybody's."""
        self._memory = memory
        self._kind = kind
        self._bound = scope

    @property
    def parts(self) -> Parts:
        """The services of the open memory. Raises ClosedError."""
        return self._memory._parts  # noqa: SLF001 -- a room of Memory

    def scope(self, *, user_id: str | None, agent_id: str | None, shared: bool) -> Scope:
        """Whose a record is that is added, or who asks; a scoped view fills it in itself."""
        if self._bound is not None:
            if (user_id, agent_id) != (None, None):
                raise InvalidInputError("a scoped view fills in user_id and agent_id; leave them out")
            return Scope(user_id=self._bound.user_id, agent_id=self._bound.agent_id)
        return self._memory._scope(user_id=user_id, agent_id=agent_id, session_id=None, shared=shared)  # noqa: SLF001

    def add(
        self, drafts: Sequence[Draft], *, wait: bool = True, ahead: Future[None] | None = None
    ) -> builtins.list[Written]:
        """Store the drafts and index them; see `Writer.add`."""
        return self.parts.writer.add(drafts, wait=wait, ahead=ahead)

    def search(
        self,
        query: str,
        *,
        scope: Scope,
        k: int,
        pool: int | None = None,
        where: Filter | None = None,
        parts_of_query: Sequence[str] = (),
        choose: Choose | None = None,
        max_tokens: int | None = None,
        explain: bool = False,
    ) -> Recall:
        """Recall of this kind; what is logged is what `choose` lets through.

        Args:
            query: already checked.
            pool: how many hits `choose` is given, at least k.
            where: a condition that the records meet.
            parts_of_query: searched beside it; see `selecting.joined`.
        """
        parts = self.parts
        question = Question(
            query=query, scope=scope, kinds=(self._kind,), k=max(k, pool or k), where=where, max_tokens=max_tokens,
            explain=explain,
        )  # fmt: skip
        recall, entry = parts.recaller.recall(question, id=uuid7())
        others = [
            parts.recaller.recall(replace(question, query=part), id=uuid7())[0].hits
            for part in parts_of_query
        ]
        found = joined(recall.hits, others, share=PARTS_SHARE)
        hits = tuple((found if choose is None else choose(found))[:k])
        if parts.settings.log_recalls:
            legs = {each: scores for each, _, _, scores in entry.candidates}
            shown = [(hit.id, rank, hit.score, legs.get(hit.id, {})) for rank, hit in enumerate(hits, 1)]
            parts.background.record(replace(entry, k=k, candidates=tuple(shown)))
        return recall.model_copy(update={"hits": hits})

    def list(
        self,
        *,
        user_id: str | None,
        where: Filter | None,
        limit: int,
        after: UUID | str | None,
    ) -> builtins.list[Record]:
        """Records, oldest first: of one user, or without a user_id all within reach."""
        cursor = None if after is None else inputs.clean_uuid(after, what="after")
        meant = RecordFilter(
            users=self._users(user_id),
            agents=self._agents,
            kinds=(self._kind,),
            metadata=where,
            current_only=True,
        )
        return self.parts.store.records.page(meant, limit=inputs.clean_limit(limit), after=cursor)

    def remove(self, ids: Sequence[UUID]) -> Forgotten:
        """Erase these records, where they are of this kind and this scope's own. Raises NotFoundError."""
        bound = self._bound
        return self.parts.forgetter.forget(
            RecordFilter(
                ids=tuple(ids),
                kinds=(self._kind,),
                users=None if bound is None else (bound.user_id,),
                agents=None if bound is None or bound.agent_id is None else (bound.agent_id,),
            )
        )

    def _users(self, user_id: str | None) -> Whose:
        reach: Whose = None if self._bound is None else tuple(dict.fromkeys((self._bound.user_id, None)))
        user = inputs.clean_id(user_id, what="user_id")
        return reach if user is None else inputs.narrow(reach, user)

    @property
    def _agents(self) -> Whose:
        agent = None if self._bound is None else self._bound.agent_id
        return None if agent is None else (agent, None)


def condition(filters: Mapping[str, object] | None, **equal: str | None) -> Filter | None:
    """The caller's filter and, joined by and, the fields that must equal what is given."""
    own: list[Filter] = [Match(name, (value,)) for name, value in equal.items() if value is not None]
    asked = filter_language.parse(filters)
    every = own if asked is None else [asked, *own]
    return All(tuple(every)) if every else None
