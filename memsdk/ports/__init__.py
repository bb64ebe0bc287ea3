"""What the services need of the outside: one small Protocol each. Adapters implement them; wiring.py chooses."""

from __future__ import annotations

from memsdk.ports.embedding import (
    Embedder,
    EmbedderSpec,
    LexicalEncoder,
    LexicalText,
    TokenCounter,
    TokenEmbedder,
)
from memsdk.ports.index import (
    Index,
    IndexAdmin,
    Leg,
    PointHit,
    SearchRequest,
    SearchResult,
    VectorIndex,
    VectorReader,
)
from memsdk.ports.ingest import Chunker, Message, Parsed, Reader, Section
from memsdk.ports.outbox import Outbox, OutboxCare, OutboxState, Owner, Space, Spaces
from memsdk.ports.passages import Passages, Tail
from memsdk.ports.records import (
    Change,
    Documents,
    Eraser,
    Indexable,
    RecordFilter,
    Records,
    Sessions,
    Whose,
    Written,
)
from memsdk.ports.reranking import Reranker
from memsdk.ports.rewards import LogProb, Origin, RewardCache, SampleEntry, ScoreEntry
from memsdk.ports.store import Clock, RecallEntry, RecallLog, Store, StoreAdmin, Transfer
from memsdk.ports.versions import QueryVersions, TrainingRuns

__all__ = [
    "Change",
    "Chunker",
    "Clock",
    "Documents",
    "Embedder",
    "EmbedderSpec",
    "Eraser",
    "Index",
    "IndexAdmin",
    "Indexable",
    "Leg",
    "LexicalEncoder",
    "LexicalText",
    "LogProb",
    "Message",
    "Origin",
    "Outbox",
    "OutboxCare",
    "OutboxState",
    "Owner",
    "Parsed",
    "Passages",
    "PointHit",
    "QueryVersions",
    "Reader",
    "RecallEntry",
    "RecallLog",
    "RecordFilter",
    "Records",
    "Reranker",
    "RewardCache",
    "SampleEntry",
    "ScoreEntry",
    "SearchRequest",
    "SearchResult",
    "Section",
    "Sessions",
    "Space",
    "Spaces",
    "Store",
    "StoreAdmin",
    "Tail",
    "TokenCounter",
    "TokenEmbedder",
    "TrainingRuns",
    "Transfer",
    "VectorIndex",
    "VectorReader",
    "Whose",
    "Written",
]
