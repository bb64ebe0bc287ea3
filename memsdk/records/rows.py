"""Rows to records and back: the columns read, the JSON beside a text, the keyed hashes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any, cast
from uuid import UUID

import sqlalchemy as sa
from pydantic import JsonValue
from pydantic_core import from_json, to_json
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Connection, Row

from memsdk.models import Draft, Hit, Kind, Metadata, Record, Scope, Why
from memsdk.records.database import Database
from memsdk.records.schema import from_micros, record_versions, records, texts

FIELDS = (
    "id", "kind", "user_id", "agent_id", "session_id", "role", "source_id", "position", "external_id",
    "occurred_at", "created_at", "updated_at", "expires_at", "superseded_at", "superseded_by", "revision", "seen",
    "last_seen_at",
)  # fmt: skip

SELECT_RECORDS = sa.select(
    *(records.c[name] for name in FIELDS), texts.c.body, texts.c.extra, records.c.text_id, records.c.index_seq,
    records.c.points, records.c.content_key,
).join_from(records, texts, records.c.text_id == texts.c.id)  # fmt: skip
"""What `to_record` reads; add `.where(...)`."""

_BY_ID = SELECT_RECORDS.where(records.c.id.in_(sa.bindparam("ids", expanding=True)))
_VERSIONS = (
    sa.select(record_versions, texts.c.body, texts.c.extra)
    .join_from(record_versions, texts, record_versions.c.text_id == texts.c.id)
    .where(record_versions.c.record_id.in_(sa.bindparam("ids", expanding=True)))
    .order_by(record_versions.c.record_id, record_versions.c.revision)
)
AnyRow = Row[*tuple[Any, ...]]  # columns are read by name, and typed where they become a value
"""A row of any statement."""

BATCH = 500
"""How many ids one statement is given."""
PLAIN_SELECT = str(SELECT_RECORDS.compile(dialect=sqlite.dialect()))
"""`SELECT_RECORDS` as text, for the driver: for what every recall and write does, where SQLAlchemy took most of the time."""
_TIMES = ("occurred_at", "created_at", "updated_at", "expires_at", "superseded_at", "last_seen_at")


_STORED = {"m": "metadata", "n": "name", "t": "title", "s": "section", "d": "data"}
"""What the parts of a stored `Extra` are called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extra:
    """What was said beside the text: erased with it."""

    metadata: Metadata
    name: str | None = None
    title: str | None = None
    section: tuple[str, ...] = ()
    data: Metadata = field(default_factory=dict)

    def encoded(self) -> bytes:
        """As stored; empty where there is nothing."""
        parts: dict[str, object] = {
            "m": dict(self.metadata), "n": self.name, "t": self.title, "s": list(self.section), "d": dict(self.data),
        }  # fmt: skip
        kept = {key: value for key, value in parts.items() if value}
        return to_json(kept) if kept else b""


def decode_extra(stored: bytes) -> Extra:
    """The inverse of `Extra.encoded`."""
    parts = _parts(stored)
    return Extra(**{"metadata": {}, **parts, "section": tuple(parts.get("section", ()))})


def _parts(stored: bytes) -> dict[str, Any]:
    """The fields of an `Extra` that something was stored of."""
    if not stored:
        return {}
    parts = from_json(stored)  # a quarter of json.loads' time, or less
    return {name: parts[key] for key, name in _STORED.items() if key in parts}


def name_and_data(stored: bytes) -> tuple[str | None, Metadata]:
    """Of `Extra` what ranking asks of many records in each recall."""
    if not stored:
        return None, {}
    parts = from_json(stored)
    return parts.get("n"), parts.get("d", {})


def extra_of(draft: Draft) -> Extra:
    """What a draft says beside its text."""
    return Extra(
        metadata=draft.metadata, name=draft.name, title=draft.title, section=draft.section, data=draft.data
    )


def extra_of_record(record: Record) -> Extra:
    """What a record says beside its text."""
    return Extra(
        metadata=record.metadata,
        name=record.name,
        title=record.title,
        section=record.section,
        data=record.data,
    )


def to_record(row: AnyRow) -> Record:
    """The record that a row of `SELECT_RECORDS` holds."""
    return _record(dict(zip(FIELDS, row, strict=False)), body=row[18], extra=row[19])


def _record(values: dict[str, object], *, body: object, extra: object) -> Record:
    return Record.model_validate(_with_text(values, body=body, extra=extra))


def _with_text(values: dict[str, object], *, body: object, extra: object) -> dict[str, object]:
    values["text"] = cast(bytes, body).decode()
    values.update(_parts(cast(bytes, extra)))
    return values


def fetch_records(database: Database, ids: Sequence[UUID]) -> dict[UUID, Record]:
    """Records by id; missing ones are left out."""
    found: dict[UUID, Record] = {}
    for some in batches(ids):
        marks = ", ".join("?" * len(some))
        statement = f"{PLAIN_SELECT} WHERE records.id IN ({marks})"
        for row in database.fetch(statement, [each.hex for each in some]):
            record = plain_record(row)
            found[record.id] = record
    return found


def plain_record(row: Sequence[object]) -> Record:
    """The record that a row of `PLAIN_SELECT` holds."""
    return Record.model_validate(_plain_values(row))


def plain_hit(row: Sequence[object], score: float, why: Why | None) -> Hit:
    """The same as a hit, checked once and not twice."""
    values = _plain_values(row)
    values["score"], values["why"] = score, why
    return Hit.model_validate(values)


def _plain_values(row: Sequence[object]) -> dict[str, object]:
    values: dict[str, object] = dict(zip(FIELDS, row, strict=False))
    for name in _TIMES:
        if (micros := values[name]) is not None:
            values[name] = from_micros(cast(int, micros))
    return _with_text(values, body=row[18], extra=row[19])


def batches(ids: Sequence[UUID]) -> Iterable[Sequence[UUID]]:
    """The ids in runs that fit one statement."""
    return (ids[start : start + BATCH] for start in range(0, len(ids), BATCH))


def fetch_rows(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, AnyRow]:
    """Rows of `SELECT_RECORDS` by id; missing ones are left out."""
    found: dict[UUID, AnyRow] = {}
    for some in batches(ids):
        found.update((row[0], row) for row in connection.execute(_BY_ID, {"ids": list(some)}))
    return found


def fetch_past(
    connection: Connection, ids: Sequence[UUID], current: Mapping[UUID, Record]
) -> dict[UUID, list[Record]]:
    """The earlier revisions of each current record, oldest first."""
    past: dict[UUID, list[Record]] = {}
    revised = [each for each in ids if each in current and current[each].revision > 1]
    for some in batches(revised):
        for row in connection.execute(_VERSIONS, {"ids": list(some)}):
            now = current[row.record_id]
            values = {name: getattr(now, name) for name in FIELDS}
            values.update(
                revision=row.revision, occurred_at=row.occurred_at, expires_at=row.expires_at,
                updated_at=row.written_at,
            )  # fmt: skip
            past.setdefault(now.id, []).append(_record(values, body=row.body, extra=row.extra))
    return past


class Keys:
    """Keyed hashes: equal content has equal keys within one store, and means nothing outside it."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def of(self, *parts: str | datetime | UUID | None) -> bytes:
        """A 16-byte key of the parts; no two different lists of parts are confused."""
        plain = ", ".join(["null" if part is None else encode_basestring(str(part)) for part in parts])
        return hashlib.blake2b(f"[{plain}]".encode(), key=self._secret, digest_size=16).digest()  # as JSON

    def digest(self, content: bytes) -> bytes:
        """A 32-byte key of a hash that others could compute too, which this one tells nothing about."""
        return hashlib.blake2b(content, key=self._secret, digest_size=32).digest()

    def content(self, draft: Draft) -> bytes:
        """Equal for drafts that mean one record: see DESIGN, dedup."""
        scope = draft.scope
        whose = (draft.kind.value, scope.user_id, scope.agent_id, scope.session_id)
        beside: tuple[str | datetime | UUID | None, ...] = ()
        if draft.is_message:
            beside = ("message", draft.role, draft.name, draft.occurred_at)
        if draft.source_id is not None:
            beside = (*beside, "chunk", draft.source_id, draft.title, *draft.section)
        if draft.kind not in (Kind.MEMORY, Kind.DOCUMENT) and draft.name is not None:
            beside = (*beside, "name", draft.name)
        if draft.data:
            beside = (*beside, "data", canonical(draft.data))
        return _place(draft) + self.of(*whose, draft.external_id, draft.text, *beside)

    def external(self, draft: Draft) -> bytes | None:
        """The key under which the caller's own id is unique; None without one."""
        if draft.external_id is None:
            return None
        place = f"source {draft.source_id}" if draft.source_id else f"session {draft.scope.session_id}"
        beside = (draft.scope.agent_id, draft.title) if draft.kind is Kind.TOOL else ()
        names = ("external", draft.kind.value, draft.scope.user_id, place, draft.external_id)
        return _place(draft) + self.of(*names, *beside)


def _place(draft: Draft) -> bytes:
    """4 bytes before a key, the same for a session or a source: its keys lie side by side in their indexes.

    When each lay somewhere else, 50 turns changed a hundred pages of a large store, all of which went to the disk.
    """
    return _place_of(draft.scope.user_id, draft.scope.session_id or (draft.source_id and draft.source_id.hex))


@lru_cache(maxsize=1_024)
def _place_of(user_id: str | None, within: str | None) -> bytes:
    return hashlib.blake2b(f"{user_id}\0{within}".encode(), digest_size=4).digest()


def canonical(metadata: Mapping[str, JsonValue]) -> str:
    """Equal for equal metadata."""
    return json.dumps(metadata, sort_keys=True)


def as_draft(record: Record) -> Draft:
    """The draft that would be told apart as this record.

    Messages are known by their role; a time that is the record's creation was not given.
    """
    timed = record.occurred_at != record.created_at
    return Draft(
        kind=record.kind,
        text=record.text,
        scope=Scope(user_id=record.user_id, agent_id=record.agent_id, session_id=record.session_id),
        role=record.role,
        name=record.name,
        title=record.title,
        section=record.section,
        source_id=record.source_id,
        external_id=record.external_id,
        data=record.data,
        occurred_at=record.occurred_at if timed else None,
        is_message=record.role is not None,
    )
