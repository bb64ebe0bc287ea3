"""Query versions, what they were trained on, and the runs that trained them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the three tables."""
    op.create_table(
        "query_versions",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tier", sa.String(), nullable=False),
        sa.Column("task", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("dense_weight", sa.Float()),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("replaces", sa.String()),
        sa.Column("parent", sa.String()),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("activated_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_query_versions")),
    )
    active = sa.text("state = 'active'")
    op.create_index(
        "ix_query_versions_active", "query_versions", ["task", "owner"], unique=True,
        sqlite_where=active, postgresql_where=active,
    )  # fmt: skip
    op.create_table(
        "query_version_items",
        sa.Column("version_id", sa.String(), nullable=False),
        sa.Column("item_id", sa.Uuid(), nullable=False),
        sa.Column("forgotten", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("version_id", "item_id", name=op.f("pk_query_version_items")),
    )
    op.create_index("ix_query_version_items_item", "query_version_items", ["item_id"])
    op.create_table(
        "training_runs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("task", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("tier", sa.String(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger()),
        sa.Column("outcome", sa.String()),
        sa.Column("version_id", sa.String()),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_training_runs")),
    )
    op.create_index("ix_training_runs_due", "training_runs", ["task", "owner", "started_at"])


def downgrade() -> None:
    """Remove them."""
    for table in ("training_runs", "query_version_items", "query_versions"):
        op.drop_table(table)
