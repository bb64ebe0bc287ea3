"""The `RecallLog` port: what was asked, what was found, and how that was received."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

import sqlalchemy as sa
from pydantic import JsonValue
from sqlalchemy.engine import Connection
from uuid_utils.compat import uuid7

from memsdk.errors import NotFoundError
from memsdk.models import Metadata
from memsdk.ports import Clock, RecallEntry, RecordFilter
from memsdk.records import ledger
from memsdk.records.database import Database
from memsdk.records.driven import Statement
from memsdk.records.recall_rows import Answer, LoggedRecall
from memsdk.records.rows import AnyRow, Extra, batches, decode_extra
from memsdk.records.schema import (
    feedback,
    feedback_used,
    recall_candidates,
    recall_histories,
    recalls,
    records,
    texts,
    to_micros,
)
from memsdk.records.where import one_of

SELECT_RECALLS = sa.select(recalls, texts.c.body).join_from(recalls, texts, recalls.c.text_id == texts.c.id)
_ANSWERS = (
    sa.select(feedback, texts.c.body, texts.c.extra)
    .join_from(feedback, texts, feedback.c.text_id == texts.c.id, isouter=True)
    .order_by(feedback.c.id)
)

_INSERT = Statement(sa.insert(recalls))
_SHOWN = ("recall_id", "rank", "record_id", "score", "legs")
_INSERT_CANDIDATE = Statement(
    sa.insert(recall_candidates).from_select(
        _SHOWN,
        sa.select(*map(sa.bindparam, _SHOWN)).where(
            sa.exists().where(records.c.id == sa.bindparam("record_id"))  # one that was forgotten is left out
        ),
    )
)


class SqlRecallLog:
    """The recall log in SQL; see `memsdk.ports.RecallLog`."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def log(self, entries: Sequence[RecallEntry]) -> None:
        """Write them in one transaction; candidates that were forgotten meanwhile are left out."""
        if entries:
            with self._database.write(durable=False) as connection:
                _insert(connection, entries)

    def feedback(
        self, recall_id: UUID, *, output: str | None, score: float | None, used: Sequence[UUID], metadata: Metadata,
        visible: RecordFilter,
    ) -> UUID:  # fmt: skip
        """File what became of a recall; records that are gone or not visible are left out of `used`.

        Raises:
            NotFoundError: no such recall of these users in the log.
        """
        whose = one_of(recalls.c.user_id, visible.users)
        with self._database.write() as connection:
            if (
                connection.execute(sa.select(recalls.c.id).where(recalls.c.id == recall_id, *whose)).first()
                is None
            ):
                raise NotFoundError(
                    f"no recall {recall_id} in the log; give feedback on a recall of this user, and before its"
                    " retention ends"
                )
            seen = [*one_of(records.c.user_id, visible.users)]
            kept = _existing(connection, used, seen)
            answer = Answer(
                id=uuid7(), output=output, score=score, used=[each for each in used if each in kept],
                metadata=dict(metadata), at=self._clock.now(),
            )  # fmt: skip
            _insert_answers(connection, [(recall_id, answer)])
        return answer.id

    def recalls(
        self, *, users: tuple[str | None, ...] | None, after: UUID | None, limit: int
    ) -> list[dict[str, JsonValue]]:
        """Recalls with candidates and feedback as plain data, oldest first: see `recall_rows.LoggedRecall`."""
        beyond = [] if after is None else [recalls.c.id > after]
        statement = (
            SELECT_RECALLS.where(*one_of(recalls.c.user_id, users), *beyond)
            .order_by(recalls.c.id)
            .limit(limit)
        )
        with self._database.read() as connection:
            found = read_recalls(connection, connection.execute(statement).all())
        return [entry.model_dump(mode="json") for entry in found]

    def restore(self, rows: Sequence[Mapping[str, JsonValue]]) -> int:
        """Write back what `recalls` gave, skipping what is there; returns how many were new."""
        entries = [LoggedRecall.parse(row) for row in rows]
        with self._database.write() as connection:
            return restore_recalls(connection, entries)


def restore_recalls(connection: Connection, entries: Sequence[LoggedRecall]) -> int:
    """Insert the recalls that are not there yet; returns how many."""
    unique = {entry.id: entry for entry in entries}
    for some in batches(list(unique)):
        for each in connection.execute(sa.select(recalls.c.id).where(recalls.c.id.in_(some))).scalars().all():
            del unique[each]
    _insert(connection, [entry.entry for entry in unique.values()])
    answers = [
        (entry.id, replace_used(answer, there=_existing(connection, answer.used, [])))
        for entry in unique.values()
        for answer in entry.feedback
    ]
    _insert_answers(connection, answers)
    return len(unique)


def read_recalls(connection: Connection, rows: Sequence[AnyRow]) -> list[LoggedRecall]:
    """The recalls of these rows, with candidates and feedback."""
    ids = [row.id for row in rows]
    candidates: dict[UUID, list[dict[str, object]]] = {}
    histories: dict[UUID, list[str]] = {}
    answers: dict[UUID, list[Answer]] = {}
    for some in batches(ids):
        histories.update(_read_histories(connection, some))
        shown = sa.select(recall_candidates).where(recall_candidates.c.recall_id.in_(some))
        for row in connection.execute(
            shown.order_by(recall_candidates.c.recall_id, recall_candidates.c.rank)
        ):
            candidates.setdefault(row.recall_id, []).append(
                {"record": row.record_id, "rank": row.rank, "score": row.score, "legs": row.legs}
            )
        for row in connection.execute(_ANSWERS.where(feedback.c.recall_id.in_(some))).all():
            answers.setdefault(row.recall_id, []).append(_answer(connection, row))
    return [
        LoggedRecall.model_validate(
            {
                "id": row.id, "query": row.body.decode(), "user_id": row.user_id, "agent_id": row.agent_id,
                "session_id": row.session_id, "at": row.at, "fingerprint": row.fingerprint,
                "query_version": row.query_version, "kinds": row.kinds.split(",") if row.kinds else [], "k": row.k,
                "history": histories.get(row.id, []),
                "candidates": candidates.get(row.id, []), "feedback": answers.get(row.id, []),
            }
        )
        for row in rows
    ]  # fmt: skip


def _read_histories(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, list[str]]:
    """The turns before each of these recalls' queries, where there were some."""
    statement = sa.select(recall_histories.c.recall_id, texts.c.body).join_from(
        recall_histories, texts, recall_histories.c.text_id == texts.c.id
    )
    rows = connection.execute(statement.where(recall_histories.c.recall_id.in_(ids)))
    return {row.recall_id: json.loads(row.body) for row in rows}


def _insert_histories(connection: Connection, entries: Sequence[RecallEntry]) -> None:
    said = [entry for entry in entries if entry.history]
    bodies = [(json.dumps(entry.history, ensure_ascii=False).encode(), b"") for entry in said]
    text_ids = ledger.write_texts(connection, bodies)
    if said:
        rows = [{"recall_id": entry.id, "text_id": at} for entry, at in zip(said, text_ids, strict=True)]
        connection.execute(sa.insert(recall_histories), rows)


def _answer(connection: Connection, row: AnyRow) -> Answer:
    used = connection.execute(
        sa.select(feedback_used.c.record_id).where(feedback_used.c.feedback_id == row.id)
    )
    return Answer(
        id=row.id, output=row.body.decode() if row.has_output else None, score=row.score,
        used=list(used.scalars()), metadata=dict(decode_extra(row.extra or b"").metadata), at=row.at,
    )  # fmt: skip


def _insert(connection: Connection, entries: Sequence[RecallEntry]) -> None:
    if not entries:
        return
    text_ids = ledger.write_texts(connection, [(entry.query.encode(), b"") for entry in entries])
    _INSERT.run_many(
        connection,
        [
            {
                "id": entry.id.hex, "user_id": entry.scope.user_id, "agent_id": entry.scope.agent_id,
                "session_id": entry.scope.session_id, "at": to_micros(entry.at), "text_id": text_id,
                "fingerprint": entry.fingerprint, "query_version": entry.query_version,
                "kinds": ",".join(entry.kinds), "k": entry.k,
            }
            for entry, text_id in zip(entries, text_ids, strict=True)
        ],
    )  # fmt: skip
    _insert_histories(connection, entries)
    _INSERT_CANDIDATE.run_many(
        connection,
        [
            {
                "recall_id": entry.id.hex, "rank": rank, "record_id": record.hex, "score": score,
                "legs": json.dumps(dict(legs)),
            }
            for entry in entries
            for record, rank, score, legs in entry.candidates
        ],
    )  # fmt: skip


def replace_used(answer: Answer, *, there: set[UUID]) -> Answer:
    """The answer without records that are gone."""
    return answer.model_copy(update={"used": [each for each in answer.used if each in there]})


def _insert_answers(connection: Connection, answers: Sequence[tuple[UUID, Answer]]) -> None:
    if not answers:
        return
    said = [
        ((answer.output or "").encode(), Extra(metadata=answer.metadata).encoded()) for _, answer in answers
    ]
    text_ids = ledger.write_texts(connection, said)
    connection.execute(
        sa.insert(feedback),
        [
            {
                "id": answer.id, "recall_id": recall_id, "text_id": text_id, "has_output": answer.output is not None,
                "score": answer.score, "at": answer.at,
            }
            for (recall_id, answer), text_id in zip(answers, text_ids, strict=True)
        ],
    )  # fmt: skip
    used = [
        {"feedback_id": answer.id, "record_id": each}
        for _, answer in answers
        for each in dict.fromkeys(answer.used)
    ]
    if used:
        connection.execute(sa.insert(feedback_used), used)


def _existing(
    connection: Connection, ids: Iterable[UUID], conditions: Sequence[sa.ColumnElement[bool]]
) -> set[UUID]:
    found: set[UUID] = set()
    for some in batches(list(dict.fromkeys(ids))):
        found.update(
            connection.execute(sa.select(records.c.id).where(records.c.id.in_(some), *conditions)).scalars()
        )
    return found
