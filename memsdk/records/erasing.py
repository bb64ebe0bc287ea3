"""Inside a write transaction: records, recalls and sources leave, with every text that was theirs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from memsdk.models import Forgotten, Kind
from memsdk.ports import Change
from memsdk.records import ledger, traces
from memsdk.records.rows import batches
from memsdk.records.schema import (
    feedback,
    feedback_used,
    query_version_items,
    query_versions,
    recall_candidates,
    recalls,
    record_versions,
    records,
    sources,
)

_Condition = sa.ColumnElement[bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """A record that is about to be erased: what is needed of it."""

    id: UUID
    place: ledger.Place | None  # of a turn
    position: int | None


def leaving(connection: Connection, conditions: Sequence[_Condition]) -> list[Leaving]:
    """The records that meet the conditions, without their texts."""
    columns = records.c
    statement = sa.select(columns.id, columns.kind, columns.user_id, columns.session_id, columns.position)
    found = []
    for row in connection.execute(statement.where(*conditions).order_by(columns.id)):
        is_turn = row.kind == Kind.MEMORY.value and row.session_id is not None and row.position is not None
        place = (row.user_id, row.session_id) if is_turn else None
        found.append(Leaving(id=row.id, place=place, position=row.position))
    return found


def leaving_ids(connection: Connection, ids: Sequence[UUID]) -> list[Leaving]:
    """The records with these ids."""
    return [entry for some in batches(ids) for entry in leaving(connection, [records.c.id.in_(some)])]


def erase_records(
    connection: Connection, gone: Sequence[Leaving], *, owner: str | None, neighbours: int
) -> tuple[Forgotten, list[Change]]:
    """Erase the records, their history, and what the recall log says of them.

    What an agent answered after it was shown one of them may quote it: those outputs are erased too.
    """
    ids = [entry.id for entry in gone]
    if not ids:
        return Forgotten(), []
    ledger.take(connection, "forgets", 1)
    current = ledger.text_ids(connection, records.c.text_id, records.c.id, ids)
    past = ledger.text_ids(connection, record_versions.c.text_id, record_versions.c.record_id, ids)
    said, users = traces.bodies(connection, [*current, *past]), traces.users_of(connection, ids)
    ledger.erase_texts(connection, [*current, *past])
    shown = _ids(connection, recall_candidates.c.recall_id, recall_candidates.c.record_id, ids)
    used = _ids(connection, feedback_used.c.feedback_id, feedback_used.c.record_id, ids)
    answered, outputs = _erase_outputs(connection, recalls_shown=shown, feedback_ids=used)
    traces.erase_quotes(connection, [*said, *answered], users=users)
    traces.erase_rewards(connection, gone=ids, asked=shown)
    for table, column in (
        (recall_candidates, "record_id"),
        (feedback_used, "record_id"),
        (record_versions, "record_id"),
        (records, "id"),
    ):
        ledger.delete_by(connection, table, column, ids)
    for some in batches(ids):
        connection.execute(
            sa.update(records).where(records.c.superseded_by.in_(some)).values(superseded_by=None)
        )
    changes = ledger.enter(connection, ids, owner=owner)
    if neighbours:
        ledger.enter_neighbours(connection, _beside(connection, gone, count=neighbours))
    receipt = Forgotten(
        records=len(ids),
        ids=tuple(ids),
        revisions=len(current) + len(past),
        recalls=len(shown),
        feedback=outputs,
        models_trained_on_it=_models_trained_on(connection, ids),
    )
    return receipt, changes


def erase_recalls(connection: Connection, ids: Sequence[UUID]) -> Forgotten:
    """Erase recalls: queries, candidates, and what was answered."""
    if not ids:
        return Forgotten()
    ledger.take(connection, "forgets", 1)
    answers = _ids(connection, feedback.c.id, feedback.c.recall_id, ids)
    texts = ledger.text_ids(connection, recalls.c.text_id, recalls.c.id, ids)
    texts += ledger.text_ids(connection, feedback.c.text_id, feedback.c.recall_id, ids)
    ledger.erase_texts(connection, texts)
    ledger.delete_by(connection, feedback_used, "feedback_id", answers)
    ledger.delete_by(connection, feedback, "recall_id", ids)
    ledger.delete_by(connection, recall_candidates, "recall_id", ids)
    traces.erase_histories(connection, ids)
    traces.erase_rewards(connection, gone=(), asked=ids)
    ledger.delete_by(connection, recalls, "id", ids)
    return Forgotten(
        recalls=len(ids), feedback=len(answers), models_trained_on_it=_models_trained_on(connection, ids)
    )


def erase_sources(connection: Connection, ids: Sequence[UUID]) -> Forgotten:
    """Erase sources: title, key and metadata. Their chunks are records, to be erased as such."""
    if not ids:
        return Forgotten()
    ledger.take(connection, "forgets", 1)
    ledger.erase_texts(connection, ledger.text_ids(connection, sources.c.text_id, sources.c.id, ids))
    return Forgotten(documents=ledger.delete_by(connection, sources, "id", ids))


def together(receipts: Iterable[Forgotten]) -> Forgotten:
    """One receipt of several."""
    several = list(receipts)
    return Forgotten(
        records=sum(one.records for one in several),
        ids=tuple(each for one in several for each in one.ids),
        revisions=sum(one.revisions for one in several),
        documents=sum(one.documents for one in several),
        recalls=sum(one.recalls for one in several),
        feedback=sum(one.feedback for one in several),
        models_trained_on_it=tuple(
            dict.fromkeys(name for one in several for name in one.models_trained_on_it)
        ),
    )


def retire_owned(connection: Connection, users: Sequence[str]) -> Forgotten:
    """These users' own query versions, which are made of what they asked, are usable no more; the receipt names them."""
    columns = query_versions.c
    own = sa.and_(columns.owner.in_(users), columns.state != "retired")
    names = connection.execute(sa.select(columns.id).where(own)).scalars().all()
    if names:
        connection.execute(sa.update(query_versions).where(own).values(state="retired"))
        ledger.take(connection, "epoch", 1)
    return Forgotten(models_trained_on_it=tuple(names))


def _models_trained_on(connection: Connection, items: Sequence[UUID]) -> tuple[str, ...]:
    """The versions, not retired ones, that were trained on these records or recalls; and a note that these are gone."""
    found: dict[str, None] = {}
    seen = query_version_items.c
    for some in batches(items):
        names = (
            sa.select(seen.version_id)
            .join(query_versions, query_versions.c.id == seen.version_id)
            .where(seen.item_id.in_(some), query_versions.c.state != "retired")
            .distinct()
        )
        found.update(dict.fromkeys(connection.execute(names).scalars()))
        if found:
            connection.execute(
                sa.update(query_version_items).where(seen.item_id.in_(some)).values(forgotten=True)
            )
    return tuple(sorted(found))


def _erase_outputs(
    connection: Connection, *, recalls_shown: Sequence[UUID], feedback_ids: Sequence[UUID]
) -> tuple[list[str], int]:
    """Erase outputs and their metadata; the scores stay. Returns what they said, and how many had something to erase."""
    by_recall = _ids(connection, feedback.c.id, feedback.c.recall_id, recalls_shown)
    ids = list(dict.fromkeys([*by_recall, *feedback_ids]))
    outputs = ledger.text_ids(connection, feedback.c.text_id, feedback.c.id, ids)
    said = traces.bodies(connection, outputs)
    ledger.erase_texts(connection, outputs)
    for some in batches(ids):
        connection.execute(
            sa.update(feedback)
            .where(feedback.c.id.in_(some), feedback.c.text_id.is_not(None))
            .values(text_id=None, has_output=False)
        )
    return said, len(outputs)


def _beside(connection: Connection, gone: Sequence[Leaving], *, count: int) -> list[UUID]:
    """The turns that are left beside those that went."""
    turns = (
        (entry.place, entry.position)
        for entry in gone
        if entry.place is not None and entry.position is not None
    )
    found: dict[UUID, None] = {}
    for place, positions in ledger.by_place(turns).items():
        for at, position in enumerate(positions):
            if at == 0 or positions[at - 1] != position - 1:
                found.update(dict.fromkeys(ledger.turns_before(connection, place, position, count=count)))
            if at == len(positions) - 1 or positions[at + 1] != position + 1:
                found.update(dict.fromkeys(ledger.turns_after(connection, place, position, count=count)))
    return list(found)


def _ids(
    connection: Connection,
    column: sa.ColumnElement[UUID],
    keyed_by: sa.ColumnElement[UUID],
    ids: Sequence[UUID],
) -> list[UUID]:
    found: dict[UUID, None] = {}
    for some in batches(ids):
        statement = sa.select(column).where(keyed_by.in_(some)).distinct()
        found.update(dict.fromkeys(connection.execute(statement).scalars()))
    return list(found)
