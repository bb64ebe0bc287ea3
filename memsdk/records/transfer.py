"""The `Transfer` port: the store as plain rows and back, so that it can be rebuilt elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from uuid import UUID

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from sqlalchemy.engine import Connection

from memsdk.errors import InvalidInputError
from memsdk.models import Document, Record
from memsdk.ports import Change
from memsdk.records import ledger
from memsdk.records.adding import INSERT, record_row
from memsdk.records.database import Database
from memsdk.records.document_store import list_sources, source_key, write_source
from memsdk.records.recall_log import SELECT_RECALLS, read_recalls, restore_recalls
from memsdk.records.recall_rows import LoggedRecall, first_complaint
from memsdk.records.rows import (
    SELECT_RECORDS,
    Keys,
    as_draft,
    batches,
    extra_of_record,
    fetch_past,
    to_record,
)
from memsdk.records.schema import recalls, record_versions, records, sources
from memsdk.records.where import one_of

PAGE = 500


class _Exported(BaseModel):
    """A record with its past: earlier revisions are records too, oldest first."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    record: Record
    past: list[Record] = Field(default_factory=list)


class SqlTransfer:
    """The store as rows; see `memsdk.ports.Transfer`."""

    def __init__(self, database: Database, *, keys: Keys) -> None:
        self._database, self._keys = database, keys

    def dump(self, *, users: tuple[str | None, ...] | None) -> Iterator[dict[str, JsonValue]]:
        """Documents, then records (with their past), then recalls, each by id; read page by page, without a lock."""
        after: UUID | None = None
        while True:
            with self._database.read() as connection:
                documents = list_sources(connection, users=users, limit=PAGE, after=after)
            yield from ({"type": "document", **document.model_dump(mode="json")} for document in documents)
            if len(documents) < PAGE:
                break
            after = documents[-1].id
        yield from self._dump_records(users)
        yield from self._dump_recalls(users)

    def load(
        self, rows: Sequence[Mapping[str, JsonValue]], *, owner: str | None
    ) -> tuple[dict[str, int], list[Change]]:
        """Write back rows of `dump` in one transaction, leaving what is there.

        A document whose key is known stays as it is, and the chunks of the exported one are left out. So is a record
        whose external id is taken.

        Raises:
            InvalidInputError: a row lacks a field or has one of the wrong type; then nothing is written.
        """
        parsed = [(str(row.get("type")), _parse(row)) for row in rows]
        documents = [value for _, value in parsed if isinstance(value, Document)]
        exported = [value for _, value in parsed if isinstance(value, _Exported)]
        logged = [value for _, value in parsed if isinstance(value, LoggedRecall)]
        with self._database.write() as connection:
            new_documents = self._load_documents(connection, documents)
            changes = self._load_records(connection, exported, owner=owner)
            new_recalls = restore_recalls(connection, logged)
        return {"documents": new_documents, "records": len(changes), "recalls": new_recalls}, changes

    def _dump_records(self, users: tuple[str | None, ...] | None) -> Iterator[dict[str, JsonValue]]:
        after: UUID | None = None
        statement = SELECT_RECORDS.where(*one_of(records.c.user_id, users)).order_by(records.c.id).limit(PAGE)
        while True:
            beyond = [] if after is None else [records.c.id > after]
            with self._database.read() as connection:
                current = {row.id: to_record(row) for row in connection.execute(statement.where(*beyond))}
                past = fetch_past(connection, list(current), current)
            for each, record in current.items():
                yield {
                    "type": "record",
                    **_Exported(record=record, past=past.get(each, [])).model_dump(mode="json"),
                }
            if len(current) < PAGE:
                return
            after = next(reversed(current))

    def _dump_recalls(self, users: tuple[str | None, ...] | None) -> Iterator[dict[str, JsonValue]]:
        after: UUID | None = None
        statement = SELECT_RECALLS.where(*one_of(recalls.c.user_id, users)).order_by(recalls.c.id).limit(PAGE)
        while True:
            beyond = [] if after is None else [recalls.c.id > after]
            with self._database.read() as connection:
                page = read_recalls(connection, connection.execute(statement.where(*beyond)).all())
            yield from ({"type": "recall", **entry.model_dump(mode="json")} for entry in page)
            if len(page) < PAGE:
                return
            after = page[-1].id

    def _load_documents(self, connection: Connection, documents: Sequence[Document]) -> int:
        new = 0
        for document in documents:
            key = source_key(self._keys, document.key, document.user_id, document.agent_id)
            taken = sa.select(sources.c.id).where(
                sa.or_(sources.c.id == document.id, sources.c.scope_key == key)
            )
            if connection.execute(taken).first() is None:
                write_source(connection, document, scope_key=key, known=False)
                new += 1
        return new

    def _load_records(
        self, connection: Connection, exported: Sequence[_Exported], *, owner: str | None
    ) -> list[Change]:
        fresh = self._fresh(connection, exported)
        if not fresh:
            return []
        texts = [_stored(record) for entry in fresh for record in (*entry.past, entry.record)]
        text_ids = iter(ledger.write_texts(connection, texts))
        changes = ledger.enter(connection, [entry.record.id for entry in fresh], owner=owner)
        rows, versions = [], []
        for entry, change in zip(fresh, changes, strict=True):
            versions += [_version(past, text_id=next(text_ids)) for past in entry.past]
            draft = as_draft(entry.record)
            content, external = self._keys.content(draft), self._keys.external(draft)
            rows.append(record_row(entry.record, content, external, text_id=next(text_ids), seq=change.seq))
        INSERT.run_many(connection, rows)
        if versions:
            connection.execute(sa.insert(record_versions), versions)
        return changes

    def _fresh(self, connection: Connection, exported: Sequence[_Exported]) -> list[_Exported]:
        """The records that are not there: neither their id nor their external id, and their source is."""
        unique = {entry.record.id: entry for entry in exported}
        taken: set[UUID] = set()
        keys: set[bytes] = set()
        known: set[UUID] = set()
        for some in batches(list(unique)):
            taken |= set(connection.execute(sa.select(records.c.id).where(records.c.id.in_(some))).scalars())
        for _, group in groupby(unique.values(), key=lambda entry: entry.record.source_id):
            source = next(group).record.source_id
            if (
                source is not None
                and connection.execute(sa.select(sources.c.id).where(sources.c.id == source)).first()
            ):
                known.add(source)
        fresh = []
        for each, entry in unique.items():
            key = self._keys.external(as_draft(entry.record))
            held = sa.select(records.c.id).where(records.c.external_key == key)
            if each in taken or (entry.record.source_id is not None and entry.record.source_id not in known):
                continue
            if key is not None and (key in keys or connection.execute(held).first() is not None):
                continue
            if key is not None:
                keys.add(key)
            fresh.append(entry)
        return fresh


def _parse(row: Mapping[str, JsonValue]) -> Document | _Exported | LoggedRecall:
    values = {name: value for name, value in row.items() if name != "type"}
    try:
        match row.get("type"):
            case "document":
                return Document.model_validate(values)
            case "record":
                return _Exported.model_validate(values)
            case "recall":
                return LoggedRecall.model_validate(values)
            case other:
                raise InvalidInputError(f"a row is a document, a record or a recall, not {other!r:.40}")
    except ValidationError as error:
        raise InvalidInputError(
            f"not a {row['type']} row: {first_complaint(error)}; export it again"
        ) from error


def _stored(record: Record) -> tuple[bytes, bytes]:
    return record.text.encode(), extra_of_record(record).encoded()


def _version(past: Record, *, text_id: int) -> dict[str, object]:
    return {
        "record_id": past.id, "revision": past.revision, "text_id": text_id, "occurred_at": past.occurred_at,
        "expires_at": past.expires_at, "written_at": past.updated_at,
    }  # fmt: skip
