"""The vocabulary: what is remembered, for whom, and what comes back. Plain values; nothing here does I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, SkipValidation

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Metadata = Mapping[str, JsonValue]
"""What a caller files with a record: JSON values under string keys."""

Json = Annotated[JsonValue, SkipValidation]
"""JSON that was checked when it was written: checking it again was three quarters of what making a tool's record costs."""

FOREVER = datetime(9999, 12, 31, tzinfo=UTC)
"""The end of validity of what neither expires nor was superseded."""


class Kind(StrEnum):
    """What sort of thing a record is."""

    MEMORY = "memory"
    DOCUMENT = "document"
    EXAMPLE = "example"
    TOOL = "tool"
    PASSAGE = "passage"


class Task(StrEnum):
    """LLM-Embedder's six retrieval tasks (arXiv 2310.07554); a task fixes the prefixes."""

    CHAT = "chat"
    QA = "qa"
    CONVSEARCH = "convsearch"
    ICL = "icl"
    TOOL = "tool"
    LRLM = "lrlm"


class Side(StrEnum):
    """Which side of a search a text is on: what is asked, or what is found."""

    QUERY = "query"
    KEY = "key"


TASK_OF: Mapping[Kind, Task] = {
    Kind.MEMORY: Task.CHAT,
    Kind.DOCUMENT: Task.QA,
    Kind.EXAMPLE: Task.ICL,
    Kind.TOOL: Task.TOOL,
    Kind.PASSAGE: Task.LRLM,
}


class _Frozen(BaseModel):
    """A value at the border: checked once, never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Whose a record is. Without a `user_id` it is shared by all users."""

    user_id: str | None = None
    agent_id: str | None = None
    session_id: str | None = None


class Record(_Frozen):
    """One remembered thing, as it stands now (or, from `history`, as it stood at one revision)."""

    id: UUID
    kind: Kind
    text: str
    metadata: dict[str, Json] = Field(default_factory=dict)
    data: dict[str, Json] = Field(default_factory=dict)  # what a shelf keeps beside the text; not filtered on
    user_id: str | None = None
    agent_id: str | None = None
    session_id: str | None = None
    role: str | None = None
    name: str | None = None  # who said it; a tool's name, an example's task
    title: str | None = None  # of the document a chunk is cut from; a tool's server or group
    section: tuple[str, ...] = ()  # the headings above a chunk, outermost first
    source_id: UUID | None = None  # the document a chunk belongs to
    position: int | None = None  # 0-based place in its session or document
    external_id: str | None = None
    occurred_at: datetime
    created_at: datetime
    updated_at: datetime  # when this revision was written
    expires_at: datetime | None = None
    superseded_at: datetime | None = None
    superseded_by: UUID | None = None
    revision: int = 1
    seen: int = 1
    last_seen_at: datetime


class Traits(NamedTuple):
    """What ranking asks of a record beside its scores; made for many in each recall, so small and quick to make."""

    kind: Kind
    occurred_at: datetime
    opening: str  # the beginning of its text
    session_id: str | None = None
    role: str | None = None
    name: str | None = None
    source_id: str | None = None
    answer: str | None = None  # an example's output
    hit: Callable[[float, Why | None], Hit] | None = None  # the record as it was then; None: to be asked for


class Why(_Frozen):
    """How a hit came to its score: each leg's 1-based rank and raw score, and what was added."""

    dense_rank: int | None = None
    dense_score: float | None = None  # cosine, -1 to 1
    lexical_rank: int | None = None
    lexical_score: float | None = None  # BM25, 0 and up
    parts: dict[str, float] = Field(default_factory=dict)  # named contributions; they sum to the score
    reranker_score: float | None = None  # raw, on the reranker's own scale
    reranker_error: str | None = None  # why the reranker had no say


class Hit(Record):
    """A record that a recall found. Scores run from 0 to 1 and order the hits of one recall only."""

    score: float
    why: Why | None = None

    @property
    def schema(self) -> dict[str, JsonValue] | None:  # type: ignore[override]  # pydantic's own is long deprecated
        """A tool's name, description and parameters (a JSON Schema); None for other kinds."""
        found = self.data.get("schema")
        return found if self.kind is Kind.TOOL and isinstance(found, dict) else None

    @property
    def source(self) -> str | None:
        """The server or group that a tool came with; None for other kinds."""
        return self.title if self.kind is Kind.TOOL else None


class Session(_Frozen):
    """One conversation of one user."""

    session_id: str
    user_id: str | None = None
    records: int
    started_at: datetime
    last_at: datetime


class Stream(_Frozen):
    """One growing text of `memory.passages`, and how long it is."""

    name: str
    user_id: str | None = None
    agent_id: str | None = None
    chunks: int
    chars: int  # where the next text begins
    started_at: datetime
    grew_at: datetime


class Document(_Frozen):
    """One ingested source and how many chunks it was cut into."""

    id: UUID
    key: str  # what identifies it on re-ingest: a path, or a name given by the caller
    title: str
    media_type: str
    content_hash: str  # keyed; equal content has an equal hash within one store
    user_id: str | None = None
    agent_id: str | None = None
    metadata: dict[str, JsonValue] = Field(default_factory=dict)
    chunks: int = 0
    created_at: datetime
    updated_at: datetime


class Forgotten(_Frozen):
    """The receipt of `forget`: what was erased, and from where.

    `wal_truncated` and `vectors_deleted` say whether the last traces are gone already; where one is False
    (a reader held the log open, the index host was down), the next `sweep` or open finishes the work.
    """

    records: int = 0
    ids: tuple[UUID, ...] = ()
    revisions: int = 0
    documents: int = 0
    recalls: int = 0
    feedback: int = 0
    vectors_deleted: bool = True
    wal_truncated: bool = True
    models_trained_on_it: tuple[str, ...] = ()


class Stats(_Frozen):
    """What a store holds."""

    records: dict[str, int]  # by kind
    users: int
    sessions: int
    documents: int
    recalls: int
    feedback: int
    pending: int  # changes not yet in the index
    bytes: int  # of the whole store folder
    embedder: str
    fingerprints: dict[str, str]  # by task
    points: dict[str, int]  # by collection
    schema_revision: str


class QueryVersion(_Frozen):
    """What embeds one task's queries in place of the store's own encoder; trained, gated, switched to and back.

    Attributes:
        tier: `t0` a residual map on the query vector, `t1` a query encoder of its own, both beside unchanged stored vectors.
        user_id: whose queries it embeds; None for everybody who has none of their own.
        fingerprint: the only space that it may search.
        dense_weight: the dense leg's share in fusion, 0 to 1; None leaves the default.
        replaces: the version that was active before it; None: the store's own encoder.
        metrics: what the gate measured. Figures only, never a text.
    """

    id: str
    tier: Literal["t0", "t1"]
    task: Task
    user_id: str | None = None
    fingerprint: str
    dense_weight: float | None = Field(default=None, ge=0, le=1)
    state: Literal["ready", "active", "retired"] = "ready"
    replaces: str | None = None
    parent: str | None = None
    metrics: dict[str, JsonValue] = Field(default_factory=dict)
    created_at: datetime
    activated_at: datetime | None = None
    forgotten: int = 0  # how many of the texts that it was trained on have been forgotten since


class TrainingRun(_Frozen):
    """One `memsdk retrain` of one task: when, on how much, and how it ended. Figures and reasons, never a text."""

    id: UUID
    task: Task
    user_id: str | None = None
    tier: str
    started_at: datetime
    ended_at: datetime | None = None
    outcome: str | None = None  # "promoted", "kept", "dry-run"; None: it runs, or was killed
    version: str | None = None
    rows: int = 0
    report: dict[str, JsonValue] = Field(default_factory=dict)


class Difference(_Frozen):
    """One place where the index is not what SQL says it should be."""

    problem: Literal["missing", "stale", "orphan"]
    record_id: UUID
    collection: str


class Verification(_Frozen):
    """What `verify` found. `clean` means that SQL and the index agree and nothing waits."""

    records: int
    points: int
    pending: int
    differences: tuple[Difference, ...] = ()
    integrity: tuple[str, ...] = ()  # what SQLite's own check complains of

    @property
    def clean(self) -> bool:
        """True when nothing differs, nothing waits, and the database file is sound."""
        return not (self.differences or self.integrity or self.pending)


class Synced(_Frozen):
    """What `tools.sync` did, by the tools' names."""

    added: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()


class ExampleReport(_Frozen):
    """What one `examples.ingest` did, an example at a time."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0  # known already
    skipped: int = 0  # scored too low, or of a chat log and approved by nobody


class IngestReport(_Frozen):
    """What one `documents.ingest` did, a source at a time."""

    added: tuple[Document, ...] = ()
    updated: tuple[Document, ...] = ()
    unchanged: tuple[Document, ...] = ()
    messages: int = 0  # chat messages remembered from chat exports
    tools: int = 0  # added or changed, from lists of tools
    examples: int = 0  # added or changed, from files of solved examples
    chunks_added: int = 0
    chunks_removed: int = 0
    failed: tuple[tuple[str, str], ...] = ()  # (source, what was wrong with it)


# -- values that travel between services and adapters ------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A record about to be written; checked and cleaned, not yet stored."""

    kind: Kind
    text: str
    scope: Scope
    metadata: Metadata = field(default_factory=dict)
    data: Metadata = field(default_factory=dict)
    role: str | None = None
    name: str | None = None
    title: str | None = None
    section: tuple[str, ...] = ()
    source_id: UUID | None = None
    position: int | None = None  # given for chunks; the store counts for sessions
    external_id: str | None = None
    occurred_at: datetime | None = None
    created_at: datetime | None = None  # given by import only
    expires_at: datetime | None = None
    supersedes: UUID | None = None
    is_message: bool = False  # a chat message: the same only where session, role, name, time and text agree
    id: UUID | None = None  # given by import only

    @classmethod
    def blank(cls) -> Draft:
        """A memory of nobody's without a text: to be replaced in parts."""
        return cls(kind=Kind.MEMORY, text="", scope=Scope())


@dataclass(frozen=True, slots=True)
class SparseVector:
    """A lexical vector: parallel indices and weights."""

    indices: Sequence[int]
    values: Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One vector point: a part of one revision of a record."""

    id: UUID
    record: UUID
    dense: Mapping[str, NDArray[np.float32]]  # by vector name; each [d], unit length
    sparse: Mapping[str, SparseVector]
    payload: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionSpec:
    """What a collection can hold: its named vectors and the payload fields that are filtered on."""

    dense: Mapping[str, int]  # name -> dimensions
    sparse: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()  # payload fields with an exact-match index
    numbers: tuple[str, ...] = ()  # payload fields with a range index
    tenant: str | None = None  # the keyword by which points are stored together
