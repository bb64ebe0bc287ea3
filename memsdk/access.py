"""Reading and changing records that exist, within the users that a caller can reach. None reaches everybody's."""

from __future__ import annotations

import builtins  # a method named `list` hides the type
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from memsdk import filters as filter_language
from memsdk import inputs
from memsdk.background import Background
from memsdk.errors import InvalidInputError, NotFoundError
from memsdk.forgetting import Forgetter
from memsdk.models import Forgotten, Kind, Metadata, Record
from memsdk.ports import Clock, RecallLog, RecordFilter, Records, Whose
from memsdk.recalled import Recall
from memsdk.remembering import Writer


class Access:
    """What `Memory` may do to any record and a scoped view to its own."""

    def __init__(
        self,
        *,
        records: Records,
        recall_log: RecallLog,
        writer: Writer,
        forgetter: Forgetter,
        background: Background,
        clock: Clock,
    ) -> None:
        self._records = records
        self._recall_log = recall_log
        self._writer = writer
        self._forgetter = forgetter
        self._background = background
        self._clock = clock

    def get(self, id: UUID | str, *, users: Whose, agents: Whose = None) -> Record:
        """One record."""
        wanted = inputs.clean_uuid(id)
        found = self._records.get([wanted])
        if (
            not found
            or (users is not None and found[0].user_id not in users)
            or (agents is not None and found[0].agent_id not in agents)
        ):
            raise NotFoundError(f"no record {wanted} in this scope; `list` shows what there is")
        return found[0]

    def history(self, id: UUID | str, *, users: Whose, agents: Whose = None) -> builtins.list[Record]:
        """Every revision of a record, oldest first."""
        return self._records.history(self.get(id, users=users, agents=agents).id)

    def list(
        self,
        *,
        users: Whose,
        agent_id: str | None,
        session_id: str | None,
        kinds: Sequence[Kind | str] | None,
        filters: Mapping[str, object] | None,
        limit: int,
        after: UUID | str | None,
    ) -> builtins.list[Record]:
        """A page of records, oldest first."""
        where = self._where(
            users=users, agent_id=agent_id, session_id=session_id, kinds=kinds, filters=filters
        )
        cursor = None if after is None else inputs.clean_uuid(after, what="after")
        return self._records.page(where, limit=inputs.clean_limit(limit), after=cursor)

    def update(
        self,
        id: UUID | str,
        text: str | None,
        *,
        users: Whose,
        metadata: Mapping[str, object] | None,
        tags: Sequence[str] | None,
        occurred_at: datetime | str | None,
        expires_at: datetime | str | None,
        ttl: timedelta | float | None,
        agents: Whose = None,
    ) -> Record:
        """Write a new revision."""
        record = self.get(id, users=users, agents=agents)
        if text is not None and record.kind in (Kind.TOOL, Kind.EXAMPLE):
            raise InvalidInputError(
                f"the text of {'a tool' if record.kind is Kind.TOOL else 'an example'} is made of its parts; add it again with"
                f" `memory.{record.kind.value}s.add`"
            )
        now = self._clock.now()
        written = self._writer.update(
            record.id,
            visible=RecordFilter(users=users),
            text=None if text is None else inputs.clean_text(text),
            metadata=_changed_metadata(record, metadata=metadata, tags=tags),
            occurred_at=inputs.clean_time(occurred_at, what="occurred_at"),
            expires_at=inputs.clean_expiry(expires_at=expires_at, ttl=ttl, now=now),
        )
        return written.record

    def forget(
        self,
        id: UUID | str | Sequence[UUID | str] | None,
        *,
        users: Whose,
        user_id: str | None,
        agent_id: str | None,
        session_id: str | None,
        kinds: Sequence[Kind | str] | None,
        filters: Mapping[str, object] | None,
        before: datetime | str | None,
        older_than: timedelta | None,
    ) -> Forgotten:
        """Erase records; a user id alone erases all of that user."""
        others = (id, agent_id, session_id, kinds, before, older_than)
        user = inputs.clean_id(user_id, what="user_id")
        if user is not None and not filters and all(value is None for value in others):
            return self._forgetter.forget_user(user)
        if not filters and all(value is None for value in others):
            raise InvalidInputError(
                "forget what? give an id, a user_id, filters or an age; nothing was erased"
            )
        where = self._where(
            users=users if user is None else (user,),
            agent_id=agent_id,
            session_id=session_id,
            kinds=kinds,
            filters=filters,
            ids=inputs.clean_ids(id),
            before=self._before(before, older_than),
            exact_agent=True,
        )
        return self._forgetter.forget(where)

    def feedback(
        self,
        recall: Recall | UUID | str,
        *,
        users: Whose,
        output: str | None,
        score: float | None,
        used: Sequence[UUID | str],
        metadata: Mapping[str, object] | None,
    ) -> UUID:
        """File what became of a recall."""
        if output is None and score is None and not used:
            raise InvalidInputError("feedback needs an output, a score, or the records that were used")
        self._background.write_log()  # the recall may be of this very moment
        return self._recall_log.feedback(
            recall.id if isinstance(recall, Recall) else inputs.clean_uuid(recall, what="recall"),
            output=None if output is None else inputs.clean_text(output, what="output"),
            score=inputs.clean_score(score),
            used=inputs.clean_used(used),
            metadata=inputs.clean_metadata(metadata),
            visible=RecordFilter(users=users),
        )

    def _where(
        self,
        *,
        users: Whose,
        agent_id: str | None,
        session_id: str | None,
        kinds: Sequence[Kind | str] | None,
        filters: Mapping[str, object] | None,
        ids: tuple[UUID, ...] | None = None,
        before: datetime | None = None,
        exact_agent: bool = False,
    ) -> RecordFilter:
        agent = inputs.clean_id(agent_id, what="agent_id")
        agents = None if agent is None else (agent,) if exact_agent else (agent, None)
        return RecordFilter(
            ids=ids,
            users=users,
            agents=agents,
            session_id=inputs.clean_id(session_id, what="session_id"),
            kinds=None if kinds is None else inputs.clean_kinds(kinds, default=()),
            before=before,
            metadata=filter_language.parse(filters),
        )

    def _before(self, before: datetime | str | None, older_than: timedelta | None) -> datetime | None:
        if before is not None and older_than is not None:
            raise InvalidInputError("give before or older_than, not both")
        age = inputs.clean_age(older_than, now=self._clock.now())
        return inputs.clean_time(before, what="before") if age is None else age


def _changed_metadata(
    record: Record, *, metadata: Mapping[str, object] | None, tags: Sequence[str] | None
) -> Metadata | None:
    """The new metadata: replaced by `metadata` where given; tags alone are set beside what is there."""
    if metadata is None and tags is None:
        return None
    return inputs.clean_metadata(record.metadata if metadata is None else metadata, tags=tags)
