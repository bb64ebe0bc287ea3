"""A logged recall as plain data: what `RecallLog.recalls` gives and `restore` takes."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, ValidationError

from memsdk.errors import InvalidInputError
from memsdk.models import Kind, Scope
from memsdk.ports import RecallEntry


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Candidate(_Row):
    """One record that a recall found."""

    record: UUID
    rank: int
    score: float
    legs: dict[str, float] = Field(default_factory=dict)


class Answer(_Row):
    """What became of a recall."""

    id: UUID
    output: str | None = None
    score: float | None = None
    used: list[UUID] = Field(default_factory=list)
    metadata: dict[str, JsonValue] = Field(default_factory=dict)
    at: AwareDatetime


class LoggedRecall(_Row):
    """One answered query, with its candidates by rank and its feedback by time."""

    id: UUID
    query: str
    user_id: str | None = None
    agent_id: str | None = None
    session_id: str | None = None
    at: AwareDatetime
    fingerprint: str
    query_version: str
    kinds: list[Kind]
    k: int
    history: list[str] = Field(default_factory=list)
    candidates: list[Candidate] = Field(default_factory=list)
    feedback: list[Answer] = Field(default_factory=list)

    @property
    def entry(self) -> RecallEntry:
        """As it was logged, without its feedback."""
        return RecallEntry(
            id=self.id, query=self.query, at=self.at,
            scope=Scope(user_id=self.user_id, agent_id=self.agent_id, session_id=self.session_id),
            fingerprint=self.fingerprint, query_version=self.query_version, kinds=tuple(self.kinds), k=self.k,
            candidates=tuple((found.record, found.rank, found.score, found.legs) for found in self.candidates),
            history=tuple(self.history),
        )  # fmt: skip

    @classmethod
    def parse(cls, row: Mapping[str, JsonValue]) -> LoggedRecall:
        """The row of an export. Raises InvalidInputError."""
        try:
            return cls.model_validate(row)
        except ValidationError as error:
            raise InvalidInputError(
                f"not a logged recall: {first_complaint(error)}; export it again"
            ) from error


def first_complaint(error: ValidationError) -> str:
    """The first thing that pydantic found wrong, in a line."""
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the row'}: {first['msg']}"
