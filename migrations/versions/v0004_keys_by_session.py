"""Keys of records begin with 4 bytes that a session or a source has in common: they lie side by side in their indexes."""

from __future__ import annotations

import hashlib
import sqlite3

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_INDEXES = ("ix_records_content_key", "ix_records_external_key")


def upgrade() -> None:
    """Put the 4 bytes before every key."""
    driver = op.get_bind().connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)  # no store is elsewhere yet
    driver.create_function("place_of", 3, _place_of, deterministic=True)
    _rewrite("place_of(user_id, session_id, source_id) || {key}")


def downgrade() -> None:
    """Take them away."""
    _rewrite("substr({key}, 5)")


def _rewrite(key: str) -> None:
    """Every key anew; the indexes are made again, as each entry would move."""
    for name in _INDEXES:
        op.drop_index(name, "records")
    content, external = (f"CAST({key.format(key=name)} AS BLOB)" for name in ("content_key", "external_key"))
    op.execute(f"UPDATE records SET content_key = {content}, external_key = {external}")  # noqa: S608 -- our own names
    op.create_index("ix_records_content_key", "records", ["content_key"])
    there = sa.text("external_key IS NOT NULL")
    op.create_index(
        "ix_records_external_key", "records", ["external_key"], unique=True,
        sqlite_where=there, postgresql_where=there,
    )  # fmt: skip


def _place_of(user_id: str | None, session_id: str | None, source_id: str | None) -> bytes:
    """As `memsdk.records.rows` does it, now and for good."""
    place = f"{user_id}\0{session_id or source_id}"
    return hashlib.blake2b(place.encode(), digest_size=4).digest()
