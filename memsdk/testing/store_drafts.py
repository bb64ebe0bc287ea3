"""What the store contracts share: drafts, a clock that is set, an empty store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from memsdk.models import Document, Draft, Kind, Record, Scope, Task
from memsdk.ports import Clock, EmbedderSpec, RecallEntry, RecordFilter, Store, Written

EVERYTHING = RecordFilter()
START = datetime(2026, 1, 1, tzinfo=UTC)
SPEC = EmbedderSpec(
    name="small", source="packaged", weights="w", tokenizer="t", pooling="mean", dims=4, max_tokens=64,
    prefixes={Task.CHAT: ("ask: ", "keep: ")},
)  # fmt: skip


@dataclass(slots=True)
class SetClock:
    """A clock that a test moves on; each reading is a microsecond later, so that times order."""

    at: datetime = field(default=START)

    def now(self) -> datetime:
        """The time set, a little later each time."""
        self.at += timedelta(microseconds=1)
        return self.at

    def pass_time(self, **by: float) -> None:
        """Let time pass, in the units of `timedelta`."""
        self.at += timedelta(**by)


Open = Callable[[Clock], Store]


def said(text: str, *, user: str | None = "ana", session: str | None = "s1", role: str = "user") -> Draft:
    """A chat message."""
    scope = Scope(user_id=user, session_id=session)
    return Draft(kind=Kind.MEMORY, text=text, scope=scope, role=role, is_message=True)


def fact(text: str, *, user: str | None = "ana") -> Draft:
    """A bare text."""
    return Draft(kind=Kind.MEMORY, text=text, scope=Scope(user_id=user))


def chunk(text: str, position: int = 0, *, user: str | None = "ana") -> Draft:
    """A piece of a document."""
    return Draft(
        kind=Kind.DOCUMENT, text=text, scope=Scope(user_id=user), position=position, section=("Top",)
    )


def document(key: str = "a.md", *, user: str | None = "ana", content: str = "1") -> Document:
    """A source."""
    return Document(
        id=uuid4(), key=key, title=f"Title of {key}", media_type="text/markdown", content_hash=content, user_id=user,
        metadata={"shelf": "x"}, created_at=START, updated_at=START,
    )  # fmt: skip


def entry(
    query: str, shown: Sequence[UUID], *, user: str | None = "ana", at: datetime = START
) -> RecallEntry:
    """An answered query that showed these records."""
    return RecallEntry(
        id=uuid4(), query=query, scope=Scope(user_id=user), at=at, fingerprint="f", query_version="q",
        kinds=(Kind.MEMORY,), k=5,
        candidates=tuple((id_, rank, 1 / rank, {"dense": 0.5}) for rank, id_ in enumerate(shown, 1)),
    )  # fmt: skip


def index_all(store: Store, *, generation: str = "g1") -> None:
    """Do what an indexer does, with an index that forgets nothing."""
    while changes := store.outbox.claim(owner="indexer", limit=100):
        states = store.outbox.read([change.record for change in changes], neighbours=2)
        store.outbox.applied(changes, states=states, points=[1] * len(changes), generation=generation)


def texts(records: Sequence[Record]) -> list[str]:
    """What they say."""
    return [record.text for record in records]


def revise(store: Store, id_: UUID, *, text: str, visible: RecordFilter = EVERYTHING) -> Written:
    """Write a new revision with another text."""
    return store.records.update(
        id_, visible=visible, owner=None, text=text, metadata=None, occurred_at=None, expires_at=None
    )


class OnStore:
    """Gives each test an empty store and a clock of its own."""

    @pytest.fixture
    def clock(self) -> SetClock:
        """Time stands still unless a test moves it."""
        return SetClock()

    @pytest.fixture
    def store(self, opened: Open, clock: SetClock) -> Store:
        """An empty store."""
        return opened(clock)
