"""What the services need of the outside: one small Protocol each. Adapters implement them; wiring.py chooses."""

from __future__ import annotations

import builtins  # a method named `list` hides the type
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from pydantic import JsonValue

from memsdk.filters import Filter
from memsdk.models import (
    CollectionSpec,
    Document,
    Draft,
    Forgotten,
    Kind,
    Metadata,
    Point,
    Record,
    Scope,
    Session,
    Side,
    SparseVector,
    Task,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]


Owner = Callable[[], str]
"""Asks for the name under which this process claims outbox entries; it changes in a forked child."""


class Clock(Protocol):
    """The time, so that tests can set it."""

    def now(self) -> datetime:
        """The current time, aware, in UTC."""


# -- embedding -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedderSpec:
    """What decides an embedder's vectors. Stored, so that a store can load its embedder again.

    Attributes:
        name: what a person calls it: a preset, a folder or a hub id.
        source: what loads it again: `packaged`, an absolute folder, or a hub id.
        revision: the hub revision, where there is one.
        weights: sha256 of the weight file(s).
        tokenizer: sha256 of the tokenizer file(s).
        pooling: `mean`, `cls`, ...
        normalize: whether vectors are scaled to unit length (memsdk always does; kept for the record).
        prefixes: task -> (query prefix, key prefix); a missing task has none.
    """

    name: str
    source: str
    revision: str | None = None
    weights: str
    tokenizer: str
    pooling: str
    dims: int
    max_tokens: int
    normalize: bool = True
    prefixes: Mapping[Task, tuple[str, str]] = field(default_factory=dict)


class Embedder(Protocol):
    """Texts to unit vectors. Thread-safe."""

    @property
    def spec(self) -> EmbedderSpec:
        """What decides this embedder's vectors."""

    def embed(self, texts: Sequence[str], *, task: Task, side: Side) -> Vectors:
        """Embed with the prefix of task and side: float32 [n, d], rows of unit length, in the order given."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has, without prefix, special tokens or truncation."""


class LexicalEncoder(Protocol):
    """Texts to BM25 vectors; the index supplies the IDF."""

    def encode_keys(self, texts: Sequence[str], *, average_length: float, b: float) -> list[SparseVector]:
        """Term weights of texts that are found.

        Args:
            average_length: BM25's avgdl, in words.
            b: how much long texts are discounted, 0 to 1.
        """

    def encode_query(self, text: str) -> SparseVector:
        """Term weights of what is asked; empty where the text holds stopwords only."""


class TokenCounter(Protocol):
    """Counts tokens as the agent's LLM would."""

    def count(self, text: str) -> int:
        """How many tokens the text has."""


# -- the vector index ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One ranked list that a search asks for: by one named vector, dense or sparse."""

    name: str  # of the vector in the collection
    dense: Vectors | None = None  # [d]
    sparse: SparseVector | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """All legs of one query under one filter."""

    legs: tuple[Leg, ...]
    filter: Filter | None = None  # over payload fields
    limit: int = 100  # points a leg
    payload: tuple[str, ...] = ()  # the payload fields to bring back


@dataclass(frozen=True, slots=True)
class PointHit:
    """A point that a leg found, best first. Dense: cosine; sparse: BM25."""

    id: UUID
    score: float
    payload: Mapping[str, JsonValue]


SearchResult = Mapping[str, list[PointHit]]
"""By leg name, best first."""


class VectorIndex(Protocol):
    """Nearest neighbours over named vectors, collection by collection. Rebuildable; never the truth."""

    def ensure(self, collection: str, spec: CollectionSpec) -> None:
        """Create the collection unless it is there; one with other vectors raises IndexingError."""

    def upsert(self, collection: str, points: Sequence[Point]) -> None:
        """Add or replace the points; doing it twice is the same as doing it once."""

    def delete(self, collection: str, records: Sequence[UUID]) -> None:
        """Remove every point of these records; missing ones are no error."""

    def search(self, collection: str, requests: Sequence[SearchRequest]) -> list[SearchResult]:
        """Answer the requests in order, in one round trip."""

    def scan(self, collection: str, *, fields: Sequence[str] = ()) -> Iterator[PointHit]:
        """Every point once, in no promised order, score 0, with the named payload fields."""


class IndexAdmin(Protocol):
    """The care of collections. Every index adapter implements this beside `VectorIndex`."""

    @property
    def generation(self) -> str:
        """Names one run of the engine: what was applied under another one may be lost unless it was flushed."""

    def collections(self) -> dict[str, int]:
        """Points by collection."""

    def flush(self) -> None:
        """Return once all that was applied before the call is on disk."""

    def optimize(self, collection: str, *, progress: Callable[[str], None] | None = None) -> bool:
        """Build the graph beside the serving shard and switch to it; False where there was nothing to do."""

    def drop(self, collection: str) -> None:
        """Remove the collection and its files; a missing one is no error."""

    def close(self) -> None:
        """Let go of the engine. Twice is once."""


class Index(VectorIndex, IndexAdmin, Protocol):
    """What an index adapter is: both halves."""


# -- the truth -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What `add` or `update` did with one draft."""

    record: Record
    outcome: str  # "added", "updated", "unchanged"
    seq: int | None  # its outbox entry, claimed by the writer; None where nothing is to be indexed


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFilter:
    """Which records a listing, an export or a `forget` means; conditions are joined by and.

    `users`: None for every user's; else the user ids, where a None among them stands for shared records.
    """

    ids: tuple[UUID, ...] | None = None
    users: tuple[str | None, ...] | None = None
    agents: tuple[str | None, ...] | None = None
    session_id: str | None = None
    kinds: tuple[Kind, ...] | None = None
    source_id: UUID | None = None
    before: datetime | None = None  # created before
    metadata: Filter | None = None
    current_only: bool = False  # neither superseded nor expired


class Records(Protocol):
    """The records themselves. Every write puts the outbox entries of what it changes in its own transaction."""

    def add(self, drafts: Sequence[Draft], *, owner: str | None) -> list[Written]:
        """Store the drafts in one transaction, each as new, as an update of its external id, or as seen again.

        The outbox entries of the records themselves are claimed by `owner`; those of neighbours by nobody.
        """

    def update(
        self, id: UUID, *, visible: RecordFilter, owner: str | None, text: str | None, metadata: Metadata | None,
        occurred_at: datetime | None, expires_at: datetime | None,
    ) -> Written:  # fmt: skip
        """Write a new revision; None leaves a field as it is. Raises NotFoundError."""

    def get(self, ids: Sequence[UUID]) -> list[Record]:
        """The records that exist, in the order asked."""

    def page(
        self, where: RecordFilter, *, limit: int, after: UUID | None, newest_first: bool = False
    ) -> list[Record]:
        """Up to `limit` records by id (so by time), beyond `after`."""

    def history(self, id: UUID) -> list[Record]:
        """Every revision, oldest first. Raises NotFoundError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexable:
    """All that decides a record's points: its revisions and its neighbours, read in one snapshot."""

    id: UUID
    seq: int  # the last outbox entry that touched it: a stamp of this state
    revisions: tuple[Record, ...]  # oldest first; empty where the record is gone
    before: tuple[Record, ...] = ()  # the turns before it in its session, oldest first
    after: tuple[Record, ...] = ()
    points: int = 0  # how many points it had when last indexed


@dataclass(frozen=True, slots=True)
class Change:
    """An outbox entry: this record changed."""

    seq: int
    record: UUID


class Outbox(Protocol):
    """What the index has still to be told. An entry is pending, claimed, applied, then settled (removed)."""

    def claim(self, *, owner: str, limit: int) -> list[Change]:
        """Take pending entries, and those whose owner is dead, oldest first."""

    def read(self, records: Sequence[UUID], *, neighbours: int) -> list[Indexable]:
        """The state to index, a value a record, in the order asked."""

    def applied(self, changes: Sequence[Change], *, states: Sequence[Indexable], points: Sequence[int],
                generation: str) -> list[Change]:  # fmt: skip
        """Note that these states (parallel to `changes`) are in the index; returns those that changed since.

        The returned ones are pending again.
        """

    def settle(self, *, generation: str, upto: float) -> int:
        """Remove entries applied under this generation before the monotonic reading `upto`, now flushed."""

    def recover(self, *, generation: str) -> int:
        """Make pending what was applied under another generation and never settled; returns how many."""


class OutboxState(Protocol):
    """How far the outbox is."""

    def release(self, changes: Sequence[Change]) -> None:
        """Give claimed entries back, after a failure."""

    def pending(self) -> int:
        """How many entries are not applied yet."""

    def last_seq(self) -> int:
        """The highest entry ever made."""

    def since(self, seq: int, *, limit: int) -> list[Change]:
        """Entries beyond `seq`, oldest first, settled ones included while a space is building."""

    def waiting(self) -> list[UUID]:
        """The records with an entry that is not applied yet."""

    def touch(self, records: Sequence[UUID], *, owner: str | None = None) -> list[Change]:
        """Make entries for these records, existing or not, claimed by `owner`: they are to be indexed anew."""

    def stamps(self) -> Iterator[tuple[UUID, int, int]]:
        """Every record's id, last outbox seq and number of points: what `verify` compares."""


class Eraser(Protocol):
    """Forgetting, so that no byte stays."""

    def forget(self, where: RecordFilter, *, owner: str | None) -> tuple[Forgotten, list[Change]]:
        """Erase the records, their revisions, recalls and feedback; returns the receipt and the outbox entries."""

    def forget_users(self, users: Sequence[str], *, owner: str | None) -> tuple[Forgotten, list[Change]]:
        """All that a user ever said or asked: records, documents, recalls, feedback."""

    def expire(self, *, now: datetime, recalls_before: datetime | None, owner: str | None,
               ) -> tuple[Forgotten, list[Change]]:  # fmt: skip
        """Erase what has expired, and recalls older than the log's retention."""

    def scrub(self) -> bool:
        """Truncate the write-ahead log, retrying while readers hold it; True once nothing is left in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallEntry:
    """One answered query, as it is logged."""

    id: UUID
    query: str
    scope: Scope
    at: datetime
    fingerprint: str
    query_version: str
    kinds: tuple[Kind, ...]
    k: int
    candidates: tuple[
        tuple[UUID, int, float, Mapping[str, float]], ...
    ]  # record, rank, score, the legs' scores


class RecallLog(Protocol):
    """What was asked, what was found, and how that was received: the raw material of training."""

    def log(self, entries: Sequence[RecallEntry]) -> None:
        """Write them in one transaction; candidates that were forgotten meanwhile are left out."""

    def feedback(self, recall_id: UUID, *, output: str | None, score: float | None,
                 used: Sequence[UUID], metadata: Metadata, visible: RecordFilter) -> UUID:  # fmt: skip
        """File what became of a recall. Raises NotFoundError."""

    def recalls(self, *, users: tuple[str | None, ...] | None, after: UUID | None, limit: int,
                ) -> list[dict[str, JsonValue]]:  # fmt: skip
        """Recalls with candidates and feedback as plain data, oldest first (export and training)."""

    def restore(self, rows: Sequence[Mapping[str, JsonValue]]) -> int:
        """Write back what `recalls` gave, skipping what is there; returns how many were new."""


class Documents(Protocol):
    """The ingested sources. Their chunks are records of kind `document` with this source id."""

    def find(self, *, key: str, scope: Scope) -> Document | None:
        """The source with that key in exactly that scope."""

    def replace(self, document: Document, *, chunks: Sequence[Draft], owner: str | None,
                ) -> tuple[Document, builtins.list[Written], int, builtins.list[Change]]:  # fmt: skip
        """Make the source's chunks equal to these in one transaction.

        Chunks whose text, section and title did not change stay the records they are. Returns the document as stored,
        what was written, how many chunks were removed, and the outbox entries of the removed ones.
        """

    def list(
        self, *, users: tuple[str | None, ...] | None, limit: int, after: UUID | None
    ) -> builtins.list[Document]:
        """Sources by id, beyond `after`."""

    def remove(self, id: UUID, *, users: tuple[str | None, ...] | None, owner: str | None,
               ) -> tuple[Forgotten, builtins.list[Change]]:  # fmt: skip
        """Erase a source and its chunks. Raises NotFoundError."""


class Sessions(Protocol):
    """Conversations, as the records' session labels draw them."""

    def list(self, *, users: tuple[str | None, ...] | None, limit: int) -> list[Session]:
        """Sessions, the latest first."""

    def transcript(
        self, session_id: str, *, users: tuple[str | None, ...] | None, last: int | None
    ) -> builtins.list[Record]:
        """A session's records in their order; the last so many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """One task's vectors made by one embedder: what is built, switched to and retired."""

    task: Task
    fingerprint: str
    collection: str
    state: str  # "building", "active", "retired"
    start_seq: int  # outbox entries beyond this one are replayed before a building space is switched to


class Spaces(Protocol):
    """Which embedder's vectors serve. All processes read the same rows; a switch is one transaction."""

    def epoch(self) -> int:
        """Grows with every switch; cheap to ask before each recall."""

    def active(self) -> tuple[EmbedderSpec, dict[Task, Space]] | None:
        """The embedder in use and its spaces; None in a new store."""

    def begin(self, spec: EmbedderSpec, fingerprints: Mapping[Task, str]) -> dict[Task, Space]:
        """Register an embedder and its building spaces (or find the unfinished or retired ones again)."""

    def switch(self, spec: EmbedderSpec, *, seen_seq: int) -> bool:
        """Make the building spaces active and the active ones retired, unless the outbox has grown past `seen_seq`."""

    def retire(self) -> list[str]:
        """Forget the spaces that no task uses any more; returns their collections, to be dropped."""


class StoreAdmin(Protocol):
    """The care of the store."""

    def secret(self) -> bytes:
        """The key of this store's hashes: 32 bytes made once."""

    def counts(self) -> dict[str, JsonValue]:
        """Records by kind, users, sessions, documents, recalls, feedback, pending, schema_revision."""

    def backup(self, path: Path, *, progress: Callable[[int, int], None] | None = None) -> None:
        """Copy the database while others write."""

    def check(self) -> list[str]:
        """What the database's own integrity check complains of; empty when it is sound."""


class Transfer(Protocol):
    """The store as plain rows and back."""

    def dump(self, *, users: tuple[str | None, ...] | None) -> Iterator[dict[str, JsonValue]]:
        """Every document, record (all revisions, times, counts, links) and recall with feedback; `type` names which."""

    def load(self, rows: Sequence[Mapping[str, JsonValue]], *, owner: str | None,
             ) -> tuple[dict[str, int], list[Change]]:  # fmt: skip
        """Write back rows of `dump` in one transaction, leaving what is there; new ones by type, and their entries.

        Raises InvalidInputError for a row that lacks a field or has one of the wrong type; then nothing is written.
        """


class Store(Protocol):
    """The parts of one open store, each behind its own port. `close` lets go of the database."""

    @property
    def token(self) -> str:
        """Names this open store, in this process, as the owner of what it claims."""

    records: Records
    outbox: Outbox
    outbox_state: OutboxState
    eraser: Eraser
    recall_log: RecallLog
    documents: Documents
    sessions: Sessions
    spaces: Spaces
    admin: StoreAdmin
    transfer: Transfer

    def close(self) -> None:
        """Let go of the database. Twice is once."""


# -- ingest --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A stretch of a document under one path of headings."""

    headings: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a chat export."""

    role: str
    content: str
    name: str | None = None
    time: datetime | None = None
    id: str | None = None
    session_id: str | None = None
    metadata: Metadata = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """What a reader made of one source: sections of a document, or the messages of a chat."""

    key: str
    title: str
    media_type: str
    sections: tuple[Section, ...] = ()
    messages: tuple[Message, ...] = ()
    metadata: Metadata = field(default_factory=dict)


class Reader(Protocol):
    """Reads sources. Given a file or folder it yields what it holds, a source at a time."""

    def sources(self, paths: Iterable[Path]) -> Iterator[Path]:
        """Every readable file under the paths, sorted, each once; links that loop are followed once."""

    def read(self, path: Path) -> list[Parsed]:
        """Parse one file. Raises IngestError, MissingExtraError."""

    def read_text(
        self, text: str, *, title: str, media_type: str = "text/plain", key: str | None = None
    ) -> list[Parsed]:
        """Parse a text as if it were a file of that type. Raises IngestError."""


class Chunker(Protocol):
    """Cuts sections to pieces that fit the embedder."""

    def chunk(self, sections: Sequence[Section], *, max_tokens: int) -> list[Section]:
        """Pieces of at most `max_tokens`, cut at paragraphs, sentences, words; together they hold the whole text."""
