"""Inside a write transaction: a new revision of a record, the old one kept as history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from memsdk.models import Kind, Record
from memsdk.records import ledger
from memsdk.records.rows import Extra
from memsdk.records.schema import record_versions, records

_VERSION = sa.insert(record_versions)
_COPY = sa.select(
    records.c.id.label("record_id"), records.c.revision, records.c.text_id, records.c.occurred_at,
    records.c.expires_at, records.c.updated_at.label("written_at"),
).where(records.c.id == sa.bindparam("revised"))  # fmt: skip
_KEEP = _VERSION.from_select(
    ["record_id", "revision", "text_id", "occurred_at", "expires_at", "written_at"], _COPY
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """What a record says from now on, with the columns that change beside the text."""

    text: str
    extra: Extra
    columns: Mapping[str, object]
    recomposes: bool  # whether the turns beside it are indexed with what changed


def revise(
    connection: Connection,
    record: Record,
    revision: Revision,
    *,
    now: datetime,
    owner: str | None,
    neighbours: int,
) -> int:
    """Write the revision; returns its outbox entry, claimed by `owner`."""
    connection.execute(_KEEP, {"revised": record.id})
    (text_id,) = ledger.write_texts(connection, [(revision.text.encode(), revision.extra.encoded())])
    (change,) = ledger.enter(connection, [record.id], owner=owner)
    connection.execute(
        sa.update(records).where(records.c.id == record.id),
        {
            **revision.columns,
            "text_id": text_id,
            "revision": record.revision + 1,
            "updated_at": now,
            "index_seq": change.seq,
        },
    )
    if revision.recomposes:
        ledger.enter_neighbours(connection, beside(connection, record, count=neighbours))
    return change.seq


def beside(connection: Connection, record: Record, *, count: int) -> list[UUID]:
    """The turns whose indexed text quotes this record."""
    if record.kind is not Kind.MEMORY or record.session_id is None or record.position is None or not count:
        return []
    return ledger.turns_beside(connection, (record.user_id, record.session_id), record.position, count=count)
