"""What ranking reads of many records: few columns, past SQLAlchemy, as every recall does it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast
from uuid import UUID

from memsdk.models import Kind, Traits
from memsdk.records.database import Database
from memsdk.records.rows import batches, decode_extra
from memsdk.records.schema import from_micros

OPENING_BYTES = 1_000
"""Of a long text the beginning shows what it is like."""
_SELECT = (
    "SELECT records.id, kind, occurred_at, session_id, role, source_id, substr(texts.body, 1, {length}), texts.extra"
    " FROM records JOIN texts ON records.text_id = texts.id WHERE records.id IN ({marks})"
)


def fetch_traits(database: Database, ids: Sequence[UUID]) -> dict[UUID, Traits]:
    """Traits by record; missing ones are left out."""
    found: dict[UUID, Traits] = {}
    for some in batches(ids):
        statement = _SELECT.format(length=OPENING_BYTES, marks=", ".join("?" * len(some)))
        for row in database.fetch(statement, [each.hex for each in some]):
            id_, kind, occurred_at, session_id, role, source_id, body, extra = row
            key = UUID(cast("str", id_))
            found[key] = Traits(
                id=key,
                kind=Kind(cast("str", kind)),
                occurred_at=from_micros(cast("int", occurred_at)),
                session_id=cast("str | None", session_id),
                role=cast("str | None", role),
                name=decode_extra(cast("bytes", extra)).name if extra else None,
                source_id=UUID(cast("str", source_id)) if source_id else None,
                opening=cast("bytes", body).decode(errors="ignore"),
            )
    return found
