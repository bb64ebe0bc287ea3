"""The first schema: texts, records, sources, outbox, spaces, recall log."""

from __future__ import annotations

import os

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_BIG_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TABLES = (
    "texts",
    "records",
    "record_versions",
    "sources",
    "outbox",
    "embedders",
    "spaces",
    "recalls",
    "recall_candidates",
    "feedback",
    "feedback_used",
    "meta",
    "counters",
)


def upgrade() -> None:
    """Make the tables, the store's secret and its counters."""
    _records()
    _sources()
    _index()
    _log()
    _store()
    values = sa.table("meta", sa.column("key"), sa.column("value"))
    op.bulk_insert(values, [{"key": "secret", "value": os.urandom(32)}])
    numbers = sa.table("counters", sa.column("name"), sa.column("value"))
    op.bulk_insert(
        numbers, [{"name": name, "value": 0} for name in ("seq", "text", "epoch", "forgets", "scrubbed")]
    )


def downgrade() -> None:
    """Remove everything."""
    for table in reversed(_TABLES):
        op.drop_table(table)


def _records() -> None:
    op.create_table(
        "texts",
        sa.Column("id", _BIG_KEY, autoincrement=False, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("extra", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_texts")),
    )
    op.create_table(
        "records",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("user_id", sa.String()),
        sa.Column("agent_id", sa.String()),
        sa.Column("session_id", sa.String()),
        sa.Column("role", sa.String()),
        sa.Column("position", sa.BigInteger()),
        sa.Column("external_id", sa.String()),
        sa.Column("external_key", sa.LargeBinary()),
        sa.Column("source_id", sa.Uuid()),
        sa.Column("text_id", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("content_key", sa.LargeBinary(), nullable=False),
        sa.Column("seen", sa.Integer(), nullable=False),
        sa.Column("last_seen_at", sa.BigInteger(), nullable=False),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger()),
        sa.Column("superseded_at", sa.BigInteger()),
        sa.Column("superseded_by", sa.Uuid()),
        sa.Column("index_seq", sa.BigInteger(), nullable=False),
        sa.Column("points", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_records")),
    )
    op.create_index("ix_records_content_key", "records", ["content_key"])
    op.create_index(
        "ix_records_expiry",
        "records",
        ["expires_at"],
        sqlite_where=sa.text("expires_at IS NOT NULL"),
        postgresql_where=sa.text("expires_at IS NOT NULL"),
    )
    op.create_index(
        "ix_records_external_key",
        "records",
        ["external_key"],
        unique=True,
        sqlite_where=sa.text("external_key IS NOT NULL"),
        postgresql_where=sa.text("external_key IS NOT NULL"),
    )
    op.create_index(
        "ix_records_session",
        "records",
        ["session_id", "user_id", "position"],
        sqlite_where=sa.text("session_id IS NOT NULL"),
        postgresql_where=sa.text("session_id IS NOT NULL"),
    )
    op.create_index(
        "ix_records_source",
        "records",
        ["source_id", "position"],
        sqlite_where=sa.text("source_id IS NOT NULL"),
        postgresql_where=sa.text("source_id IS NOT NULL"),
    )
    op.create_index(
        "ix_records_superseded_by",
        "records",
        ["superseded_by"],
        sqlite_where=sa.text("superseded_by IS NOT NULL"),
        postgresql_where=sa.text("superseded_by IS NOT NULL"),
    )
    op.create_index("ix_records_user", "records", ["user_id", "id"])
    op.create_table(
        "record_versions",
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("text_id", sa.BigInteger(), nullable=False),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger()),
        sa.Column("written_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("record_id", "revision", name=op.f("pk_record_versions")),
    )


def _sources() -> None:
    op.create_table(
        "sources",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("scope_key", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", sa.String()),
        sa.Column("agent_id", sa.String()),
        sa.Column("text_id", sa.BigInteger(), nullable=False),
        sa.Column("media_type", sa.String(), nullable=False),
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sources")),
    )
    op.create_index("ix_sources_scope_key", "sources", ["scope_key"], unique=True)
    op.create_index("ix_sources_user", "sources", ["user_id", "id"])


def _index() -> None:
    op.create_table(
        "outbox",
        sa.Column("seq", _BIG_KEY, autoincrement=False, nullable=False),
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String()),
        sa.Column("generation", sa.String()),
        sa.Column("applied_at", sa.Float()),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_outbox")),
    )
    op.create_index(
        "ix_outbox_open",
        "outbox",
        ["owner", "seq"],
        sqlite_where=sa.text("state = 0"),
        postgresql_where=sa.text("state = 0"),
    )
    op.create_index("ix_outbox_record", "outbox", ["record_id", "seq"])
    op.create_table(
        "embedders",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_embedders")),
    )
    op.create_table(
        "spaces",
        sa.Column("task", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("collection", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("start_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("task", "fingerprint", name=op.f("pk_spaces")),
    )


def _log() -> None:
    op.create_table(
        "recalls",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.String()),
        sa.Column("agent_id", sa.String()),
        sa.Column("session_id", sa.String()),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("text_id", sa.BigInteger(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("query_version", sa.String(), nullable=False),
        sa.Column("kinds", sa.String(), nullable=False),
        sa.Column("k", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recalls")),
    )
    op.create_index("ix_recalls_at", "recalls", ["at"])
    op.create_index("ix_recalls_user", "recalls", ["user_id", "id"])
    op.create_table(
        "recall_candidates",
        sa.Column("recall_id", sa.Uuid(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("legs", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("recall_id", "rank", name=op.f("pk_recall_candidates")),
    )
    op.create_index("ix_recall_candidates_record", "recall_candidates", ["record_id"])
    op.create_table(
        "feedback",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("recall_id", sa.Uuid(), nullable=False),
        sa.Column("text_id", sa.BigInteger()),
        sa.Column("has_output", sa.Boolean(), nullable=False),
        sa.Column("score", sa.Float()),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feedback")),
    )
    op.create_index("ix_feedback_recall", "feedback", ["recall_id"])
    op.create_table(
        "feedback_used",
        sa.Column("feedback_id", sa.Uuid(), nullable=False),
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("feedback_id", "record_id", name=op.f("pk_feedback_used")),
    )
    op.create_index("ix_feedback_used_record", "feedback_used", ["record_id"])


def _store() -> None:
    op.create_table(
        "meta",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_meta")),
    )
    op.create_table(
        "counters",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counters")),
    )
