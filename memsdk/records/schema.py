"""The tables, as SQLAlchemy Core describes them; `memsdk.migrations` builds the same ones step by step.

All that anybody said or wrote lies in `texts` alone, so that forgetting has one place to erase. Other tables
hold labels (ids, scopes, times), keyed hashes and the ids of texts.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

EPOCH = "SELECT value FROM counters WHERE name = 'epoch'"
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970, exactly."""
    return (moment - _BEGINNING) // _MICROSECOND


@lru_cache(maxsize=1_024)  # what was written together bears the same times
def from_micros(micros: int) -> datetime:
    """The aware UTC time that `to_micros` was given."""
    return _BEGINNING + timedelta(microseconds=micros)


class Micros(TypeDecorator[datetime]):
    """An aware UTC time as integer microseconds: exact, sortable, the same in every database."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """To the database."""
        return None if value is None else to_micros(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """From the database."""
        return None if value is None else from_micros(value)


BigKey = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""A 64-bit key; SQLite aliases it to the rowid only when it is called INTEGER."""

metadata = sa.MetaData(
    naming_convention={"pk": "pk_%(table_name)s", "ix": "ix_%(table_name)s_%(column_0_N_name)s"}
)

meta = sa.Table(
    "meta",
    metadata,
    sa.Column("key", sa.String, primary_key=True),
    sa.Column("value", sa.LargeBinary, nullable=False),
)

# Numbers handed out: the last outbox seq, the last text id, the epoch of the spaces, forgettings done and scrubbed. Never a number twice, also not
# after rows were removed; updated in the transaction that uses them, so that their order is the order of commits.
counters = sa.Table(
    "counters",
    metadata,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)

texts = sa.Table(
    "texts",
    metadata,
    sa.Column("id", BigKey, primary_key=True, autoincrement=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("extra", sa.LargeBinary, nullable=False),
)

records = sa.Table(
    "records",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("user_id", sa.String),
    sa.Column("agent_id", sa.String),
    sa.Column("session_id", sa.String),
    sa.Column("role", sa.String),
    sa.Column("position", sa.BigInteger),
    sa.Column("external_id", sa.String),
    sa.Column("external_key", sa.LargeBinary),
    sa.Column("source_id", sa.Uuid),
    sa.Column("text_id", sa.BigInteger, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("content_key", sa.LargeBinary, nullable=False),
    sa.Column("seen", sa.Integer, nullable=False),
    sa.Column("last_seen_at", Micros, nullable=False),
    sa.Column("occurred_at", Micros, nullable=False),
    sa.Column("created_at", Micros, nullable=False),
    sa.Column("updated_at", Micros, nullable=False),
    sa.Column("expires_at", Micros),
    sa.Column("superseded_at", Micros),
    sa.Column("superseded_by", sa.Uuid),
    sa.Column("index_seq", sa.BigInteger, nullable=False),
    sa.Column("points", sa.Integer, nullable=False),
    sa.Index("ix_records_content_key", "content_key"),
    sa.Index(
        "ix_records_external_key", "external_key", unique=True,
        sqlite_where=sa.text("external_key IS NOT NULL"),
    ),
    sa.Index("ix_records_user", "user_id", "id"),
    sa.Index(
        "ix_records_session", "session_id", "user_id", "position",
        sqlite_where=sa.text("session_id IS NOT NULL"),
    ),
    sa.Index(
        "ix_records_source", "source_id", "position",
        sqlite_where=sa.text("source_id IS NOT NULL"),
    ),
    sa.Index(
        "ix_records_expiry", "expires_at",
        sqlite_where=sa.text("expires_at IS NOT NULL"),
    ),
    sa.Index(
        "ix_records_superseded_by", "superseded_by",
        sqlite_where=sa.text("superseded_by IS NOT NULL"),
    ),
)  # fmt: skip

# Past revisions only; the current one is in `records`. Each was valid from its written_at to the next one's.
record_versions = sa.Table(
    "record_versions",
    metadata,
    sa.Column("record_id", sa.Uuid, primary_key=True),
    sa.Column("revision", sa.Integer, primary_key=True),
    sa.Column("text_id", sa.BigInteger, nullable=False),
    sa.Column("occurred_at", Micros, nullable=False),
    sa.Column("expires_at", Micros),
    sa.Column("written_at", Micros, nullable=False),
)

sources = sa.Table(
    "sources",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("scope_key", sa.LargeBinary, nullable=False),
    sa.Column("user_id", sa.String),
    sa.Column("agent_id", sa.String),
    sa.Column("text_id", sa.BigInteger, nullable=False),
    sa.Column("media_type", sa.String, nullable=False),
    sa.Column("content_hash", sa.String, nullable=False),
    sa.Column("created_at", Micros, nullable=False),
    sa.Column("updated_at", Micros, nullable=False),
    sa.Index("ix_sources_scope_key", "scope_key", unique=True),
    sa.Index("ix_sources_user", "user_id", "id"),
)

# state: 0 pending (claimed where it has an owner), 1 applied, 2 settled but kept for a space that is building.
outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("seq", BigKey, primary_key=True, autoincrement=False),
    sa.Column("record_id", sa.Uuid, nullable=False),
    sa.Column("state", sa.Integer, nullable=False),
    sa.Column("owner", sa.String),
    sa.Column("generation", sa.String),
    sa.Column("applied_at", sa.Float),
    sa.Index("ix_outbox_record", "record_id", "seq"),
    sa.Index(
        "ix_outbox_open",
        "owner",
        "seq",
        sqlite_where=sa.text("state = 0"),
    ),
)

embedders = sa.Table(
    "embedders",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("spec", sa.JSON, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("created_at", Micros, nullable=False),
)

spaces = sa.Table(
    "spaces",
    metadata,
    sa.Column("task", sa.String, primary_key=True),
    sa.Column("fingerprint", sa.String, primary_key=True),
    sa.Column("collection", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("start_seq", sa.BigInteger, nullable=False),
)

recalls = sa.Table(
    "recalls",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("user_id", sa.String),
    sa.Column("agent_id", sa.String),
    sa.Column("session_id", sa.String),
    sa.Column("at", Micros, nullable=False),
    sa.Column("text_id", sa.BigInteger, nullable=False),
    sa.Column("fingerprint", sa.String, nullable=False),
    sa.Column("query_version", sa.String, nullable=False),
    sa.Column("kinds", sa.String, nullable=False),
    sa.Column("k", sa.Integer, nullable=False),
    sa.Index("ix_recalls_at", "at"),
    sa.Index("ix_recalls_user", "user_id", "id"),
)

recall_candidates = sa.Table(
    "recall_candidates",
    metadata,
    sa.Column("recall_id", sa.Uuid, primary_key=True),
    sa.Column("rank", sa.Integer, primary_key=True),
    sa.Column("record_id", sa.Uuid, nullable=False),
    sa.Column("score", sa.Float, nullable=False),
    sa.Column("legs", sa.JSON, nullable=False),
    sa.Index("ix_recall_candidates_record", "record_id"),
)

feedback = sa.Table(
    "feedback",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("recall_id", sa.Uuid, nullable=False),
    sa.Column("text_id", sa.BigInteger),
    sa.Column("has_output", sa.Boolean, nullable=False),
    sa.Column("score", sa.Float),
    sa.Column("at", Micros, nullable=False),
    sa.Index("ix_feedback_recall", "recall_id"),
)

feedback_used = sa.Table(
    "feedback_used",
    metadata,
    sa.Column("feedback_id", sa.Uuid, primary_key=True),
    sa.Column("record_id", sa.Uuid, primary_key=True),
    sa.Index("ix_feedback_used_record", "record_id"),
)

# The turns before a recall's query, as a JSON list of lines; no row where there were none.
recall_histories = sa.Table(
    "recall_histories",
    metadata,
    sa.Column("recall_id", sa.Uuid, primary_key=True),
    sa.Column("text_id", sa.BigInteger, nullable=False),
)

# What a language model made of an output after a prompt, by keyed hash of all that decides it. It holds no text; the
# ids name whose it was (the candidate in the prompt, the recall it was asked for), so that `forget` reaches it.
reward_scores = sa.Table(
    "reward_scores",
    metadata,
    sa.Column("key", sa.LargeBinary, primary_key=True),
    sa.Column("logprob", sa.Float, nullable=False),
    sa.Column("tokens", sa.Integer, nullable=False),
    sa.Column("record_id", sa.Uuid),
    sa.Column("recall_id", sa.Uuid),
    sa.Column("at", Micros, nullable=False),
    sa.Index("ix_reward_scores_record", "record_id"),
    sa.Index("ix_reward_scores_recall", "recall_id"),
)

# Outputs that a language model was asked for, as a JSON list.
reward_samples = sa.Table(
    "reward_samples",
    metadata,
    sa.Column("key", sa.LargeBinary, primary_key=True),
    sa.Column("text_id", sa.BigInteger, nullable=False),
    sa.Column("record_id", sa.Uuid),
    sa.Column("recall_id", sa.Uuid),
    sa.Column("user_id", sa.String),
    sa.Column("at", Micros, nullable=False),
    sa.Index("ix_reward_samples_record", "record_id"),
    sa.Index("ix_reward_samples_recall", "recall_id"),
    sa.Index("ix_reward_samples_user", "user_id"),
)

# What embeds queries in place of the store's own encoder. `owner` is a user id, or "" for the whole store. One is
# active for each task and owner.
query_versions = sa.Table(
    "query_versions",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("tier", sa.String, nullable=False),
    sa.Column("task", sa.String, nullable=False),
    sa.Column("owner", sa.String, nullable=False),
    sa.Column("fingerprint", sa.String, nullable=False),
    sa.Column("dense_weight", sa.Float),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("replaces", sa.String),
    sa.Column("parent", sa.String),
    sa.Column("metrics", sa.JSON, nullable=False),
    sa.Column("created_at", Micros, nullable=False),
    sa.Column("activated_at", Micros),
    sa.Index(
        "ix_query_versions_active",
        "task",
        "owner",
        unique=True,
        sqlite_where=sa.text("state = 'active'"),
    ),
)

# Which records and recalls a version was trained on, so that a receipt of `forget` can name it.
query_version_items = sa.Table(
    "query_version_items",
    metadata,
    sa.Column("version_id", sa.String, primary_key=True),
    sa.Column("item_id", sa.Uuid, primary_key=True),
    sa.Column("forgotten", sa.Boolean, nullable=False),
    sa.Index("ix_query_version_items_item", "item_id"),
)

training_runs = sa.Table(
    "training_runs",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("task", sa.String, nullable=False),
    sa.Column("owner", sa.String, nullable=False),
    sa.Column("tier", sa.String, nullable=False),
    sa.Column("started_at", Micros, nullable=False),
    sa.Column("ended_at", Micros),
    sa.Column("outcome", sa.String),
    sa.Column("version_id", sa.String),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("report", sa.JSON, nullable=False),
    sa.Index("ix_training_runs_due", "task", "owner", "started_at"),
)
