"""The trainer's rewards: what the language model said of texts, kept by keyed hash; and what stood before a query."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TABLES = ("recall_histories", "reward_scores", "reward_samples")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "recall_histories",
        sa.Column("recall_id", sa.Uuid(), nullable=False),
        sa.Column("text_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("recall_id", name=op.f("pk_recall_histories")),
    )
    op.create_table(
        "reward_scores",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("logprob", sa.Float(), nullable=False),
        sa.Column("tokens", sa.Integer(), nullable=False),
        sa.Column("record_id", sa.Uuid()),
        sa.Column("recall_id", sa.Uuid()),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_reward_scores")),
    )
    op.create_table(
        "reward_samples",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("text_id", sa.BigInteger(), nullable=False),
        sa.Column("record_id", sa.Uuid()),
        sa.Column("recall_id", sa.Uuid()),
        sa.Column("user_id", sa.String()),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_reward_samples")),
    )
    for table, columns in (
        ("reward_scores", ("record", "recall")),
        ("reward_samples", ("record", "recall", "user")),
    ):
        for column in columns:
            op.create_index(f"ix_{table}_{column}", table, [f"{column}_id"])


def downgrade() -> None:
    """Remove them."""
    for table in reversed(_TABLES):
        op.drop_table(table)
