"""The `Documents` port: ingested sources, whose chunks are records."""

from __future__ import annotations

import builtins  # a method named `list` hides the type
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from memsdk.errors import NotFoundError
from memsdk.models import Document, Draft, Forgotten, Record, Scope
from memsdk.ports import Change, Clock, Whose, Written
from memsdk.records import ledger
from memsdk.records.adding import add_drafts
from memsdk.records.database import Database
from memsdk.records.erasing import erase_records, erase_sources, leaving, leaving_ids, together
from memsdk.records.revising import Revision, revise
from memsdk.records.rows import (
    SELECT_RECORDS,
    AnyRow,
    Extra,
    Keys,
    canonical,
    decode_extra,
    extra_of,
    fetch_rows,
    to_record,
)
from memsdk.records.schema import records, sources, texts
from memsdk.records.where import one_of

_CHUNKS = (
    sa.select(sa.func.count())
    .select_from(records)
    .where(records.c.source_id == sources.c.id)
    .scalar_subquery()
)
_SOURCES = sa.select(sources, texts.c.body, texts.c.extra, _CHUNKS.label("chunks")).join_from(
    sources, texts, sources.c.text_id == texts.c.id
)


class SqlDocuments:
    """Sources in SQL; see `memsdk.ports.Documents`."""

    def __init__(self, database: Database, *, keys: Keys, clock: Clock, neighbours: int) -> None:
        self._database, self._keys, self._clock, self._neighbours = database, keys, clock, neighbours

    def find(self, *, key: str, scope: Scope) -> Document | None:
        """The source with that key in exactly that scope; the session is no part of it."""
        with self._database.read() as connection:
            return _find(connection, source_key(self._keys, key, scope.user_id, scope.agent_id))

    def replace(
        self, document: Document, *, chunks: Sequence[Draft], owner: str | None
    ) -> tuple[Document, builtins.list[Written], int, builtins.list[Change]]:
        """Make the source's chunks equal to these in one transaction; see the port.

        A source known by its key keeps its id and creation time. A chunk that only brings other metadata is revised.
        """
        scope_key = source_key(self._keys, document.key, document.user_id, document.agent_id)
        with self._database.write() as connection:
            now = self._clock.now()
            known = _find(connection, scope_key)
            if known is not None:
                document = document.model_copy(update={"id": known.id, "created_at": known.created_at})
            document = document.model_copy(update={"updated_at": now})
            write_source(connection, document, scope_key=scope_key, known=known is not None)
            drafts = [replace(chunk, source_id=document.id) for chunk in chunks]
            written, removed = self._replace_chunks(connection, document.id, drafts, owner=owner)
            receipt, gone = erase_records(
                connection, leaving_ids(connection, removed), owner=owner, neighbours=0
            )
            stored = _find(connection, scope_key)
        assert stored is not None
        return stored, written, receipt.records, gone

    def list(
        self, *, users: Whose, agents: Whose = None, limit: int, after: UUID | None
    ) -> builtins.list[Document]:
        """Sources by id, beyond `after`."""
        with self._database.read() as connection:
            return list_sources(connection, users=users, agents=agents, limit=limit, after=after)

    def remove(
        self, id: UUID, *, users: Whose, agents: Whose = None, owner: str | None
    ) -> tuple[Forgotten, builtins.list[Change]]:
        """Erase a source and its chunks. Raises NotFoundError."""
        with self._database.write() as connection:
            whose = [*one_of(sources.c.user_id, users), *one_of(sources.c.agent_id, agents)]
            if connection.execute(sa.select(sources.c.id).where(sources.c.id == id, *whose)).first() is None:
                raise NotFoundError(f"no document {id} here; `documents.list` shows what there is")
            gone = leaving(connection, [records.c.source_id == id])
            chunks, changes = erase_records(connection, gone, owner=owner, neighbours=0)
            return together([chunks, erase_sources(connection, [id])]), changes

    def _replace_chunks(
        self, connection: Connection, source: UUID, drafts: Sequence[Draft], *, owner: str | None
    ) -> tuple[builtins.list[Written], builtins.list[UUID]]:
        """Keep, revise and add chunks; returns what was written, in order, and the ids that are left over."""
        now = self._clock.now()
        rows = connection.execute(SELECT_RECORDS.where(records.c.source_id == source)).all()
        there = {row.content_key: to_record(row) for row in rows}
        keys = [self._keys.content(draft) for draft in drafts]
        new = [draft for draft, key in zip(drafts, keys, strict=True) if key not in there]
        added = iter(
            add_drafts(connection, new, keys=self._keys, now=now, owner=owner, neighbours=0) if new else []
        )
        written = [
            self._keep(connection, there[key], draft, owner=owner) if key in there else next(added)
            for draft, key in zip(drafts, keys, strict=True)
        ]
        kept = {entry.record.id for entry in written}
        return written, [row.id for row in rows if row.id not in kept]

    def _keep(self, connection: Connection, record: Record, draft: Draft, *, owner: str | None) -> Written:
        """The chunk stays the record that it is; its place and its metadata may be others now."""
        if record.position != draft.position:
            connection.execute(
                sa.update(records).where(records.c.id == record.id).values(position=draft.position)
            )
            record = record.model_copy(update={"position": draft.position})
        if canonical(record.metadata) == canonical(draft.metadata):  # equal keys: the data is equal too
            return Written(record=record, outcome="unchanged", seq=None)
        revision = Revision(text=draft.text, extra=extra_of(draft), columns={}, recomposes=False)
        seq = revise(connection, record, revision, now=self._clock.now(), owner=owner, neighbours=0)
        after = to_record(fetch_rows(connection, [record.id])[record.id])
        return Written(record=after, outcome="updated", seq=seq)


def source_key(keys: Keys, key: str, user_id: str | None, agent_id: str | None) -> bytes:
    """The keyed hash under which a source is unique."""
    return keys.of("source", user_id, agent_id, key)


def list_sources(
    connection: Connection, *, users: Whose, limit: int, after: UUID | None, agents: Whose = None
) -> list[Document]:
    """Sources by id, beyond `after`."""
    beyond = [] if after is None else [sources.c.id > after]
    statement = (
        _SOURCES.where(*one_of(sources.c.user_id, users), *one_of(sources.c.agent_id, agents), *beyond)
        .order_by(sources.c.id)
        .limit(limit)
    )
    return [_document(row) for row in connection.execute(statement)]


def write_source(connection: Connection, document: Document, *, scope_key: bytes, known: bool) -> None:
    """Insert the source, or replace what is known of it."""
    if known:
        old = ledger.text_ids(connection, sources.c.text_id, sources.c.id, [document.id])
        ledger.take(connection, "forgets", 1)
        ledger.erase_texts(connection, old)
        connection.execute(sa.delete(sources).where(sources.c.id == document.id))
    extra = Extra(metadata=document.metadata, name=document.key).encoded()
    (text_id,) = ledger.write_texts(connection, [(document.title.encode(), extra)])
    connection.execute(
        sa.insert(sources),
        {
            "id": document.id, "scope_key": scope_key, "user_id": document.user_id, "agent_id": document.agent_id,
            "text_id": text_id, "media_type": document.media_type, "content_hash": document.content_hash,
            "created_at": document.created_at, "updated_at": document.updated_at,
        },
    )  # fmt: skip


def _find(connection: Connection, scope_key: bytes) -> Document | None:
    row = connection.execute(_SOURCES.where(sources.c.scope_key == scope_key)).first()
    return None if row is None else _document(row)


def _document(row: AnyRow) -> Document:
    beside = decode_extra(row.extra)
    return Document(
        id=row.id, key=beside.name or "", title=row.body.decode(), media_type=row.media_type,
        content_hash=row.content_hash, user_id=row.user_id, agent_id=row.agent_id, metadata=dict(beside.metadata),
        chunks=row.chunks, created_at=row.created_at, updated_at=row.updated_at,
    )  # fmt: skip
