"""Inside a write transaction: drafts become records, new revisions, or one more sighting of what is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import cast
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from uuid_utils.compat import uuid7

from memsdk.errors import NotFoundError
from memsdk.models import Draft, Kind, Record
from memsdk.ports import Change, Indexable, Written
from memsdk.records import ledger
from memsdk.records.database import SqlValue
from memsdk.records.driven import LookUp, Statement
from memsdk.records.revising import Revision, revise
from memsdk.records.rows import (
    BATCH,
    SELECT_RECORDS,
    Keys,
    canonical,
    extra_of,
    extra_of_record,
    fetch_rows,
    plain_record,
    to_record,
)
from memsdk.records.schema import records, to_micros
from memsdk.records.states import by_session, last_turns, position_of

_CONTENT = LookUp(
    SELECT_RECORDS.add_columns(records.c.content_key.label("found_by")).where(
        records.c.superseded_at.is_(None)
    ),
    records.c.content_key,
)
_EXTERNAL = LookUp(
    SELECT_RECORDS.add_columns(records.c.external_key.label("found_by")), records.c.external_key
)
INSERT = Statement(sa.insert(records))
"""A row of `record_row`."""
_SEEN = (
    sa.update(records)
    .where(records.c.id == sa.bindparam("again"))
    .values(seen=records.c.seen + 1, last_seen_at=sa.bindparam("moment", type_=records.c.last_seen_at.type))
)
_SUPERSEDE = sa.update(records).where(records.c.id == sa.bindparam("old"))


@dataclass(slots=True)
class _Batch:
    """What one `add` knows, and what it has still to insert."""

    connection: Connection
    keys: Keys
    now: datetime
    owner: str | None
    neighbours: int
    by_id: dict[UUID, Record] = field(default_factory=dict)
    by_content: dict[bytes, UUID] = field(default_factory=dict)
    by_external: dict[bytes, UUID] = field(default_factory=dict)
    tails: dict[ledger.Place, list[Record]] = field(default_factory=dict)  # a session's last turns
    positions: dict[ledger.Place, int] = field(default_factory=dict)  # the last one taken
    fresh: dict[UUID, tuple[Record, bytes, bytes | None]] = field(default_factory=dict)
    seqs: dict[UUID, int] = field(default_factory=dict)
    states: dict[UUID, Indexable] = field(default_factory=dict)


def add_drafts(
    connection: Connection,
    drafts: Sequence[Draft],
    *,
    keys: Keys,
    now: datetime,
    owner: str | None,
    neighbours: int,
) -> list[Written]:
    """Store the drafts; see `memsdk.ports.Records.add`."""
    batch = _Batch(connection, keys, now, owner, neighbours)
    content, external = [keys.content(draft) for draft in drafts], [keys.external(draft) for draft in drafts]
    _look_up(batch, drafts, content, external)
    written = [_one(batch, *parts) for parts in zip(drafts, content, external, strict=True)]
    _insert_fresh(batch)
    return [
        Written(
            record=entry.record,
            outcome="added",
            seq=batch.seqs[entry.record.id],
            state=batch.states.get(entry.record.id),
        )
        if entry.outcome == "added"
        else entry
        for entry in written
    ]


def _look_up(
    batch: _Batch, drafts: Sequence[Draft], content: Sequence[bytes], external: Sequence[bytes | None]
) -> None:
    """Read what the drafts may mean, in a few statements for all of them."""
    named = [each for draft in drafts for each in (draft.id, draft.supersedes) if each is not None]
    for row in fetch_rows(batch.connection, named).values():
        batch.by_id[row.id] = to_record(row)
    nameless = [key for key, draft in zip(content, drafts, strict=True) if _is_nameless(draft)]
    for statement, keys, found in (
        (_CONTENT, nameless, batch.by_content),
        (_EXTERNAL, [key for key in external if key is not None], batch.by_external),
    ):
        unique = list(dict.fromkeys(keys))
        for start in range(0, len(unique), BATCH):
            for found_row in statement.run(batch.connection, unique[start : start + BATCH]):
                record = plain_record(found_row)
                if statement is _EXTERNAL or not _expired(record, batch.now):
                    batch.by_id.setdefault(record.id, record)
                    found[cast("bytes", found_row[-1])] = record.id


def _one(batch: _Batch, draft: Draft, content: bytes, external: bytes | None) -> Written:
    """Decide what a draft is: known by its id, known by its external id, seen before, or new."""
    if draft.id is not None and draft.id in batch.by_id:
        return Written(record=batch.by_id[draft.id], outcome="unchanged", seq=None)
    if external is not None and external in batch.by_external:
        return _external_again(batch, draft, batch.by_id[batch.by_external[external]], content)
    if _is_nameless(draft) and content in batch.by_content:
        return _seen_again(batch, draft, batch.by_id[batch.by_content[content]])
    record = _new(batch, draft)
    batch.by_id[record.id] = record
    batch.by_content.setdefault(content, record.id)
    if external is not None:
        batch.by_external[external] = record.id
    batch.fresh[record.id] = (record, content, external)
    if draft.supersedes is not None:
        _supersede(batch, draft.supersedes, by=record)
    return Written(record=record, outcome="added", seq=None)


def _is_nameless(draft: Draft) -> bool:
    """Whether only its content can tell that it is known."""
    return draft.external_id is None and draft.id is None and draft.supersedes is None


def _external_again(batch: _Batch, draft: Draft, record: Record, content: bytes) -> Written:
    """The caller's own id is known: the same content changes nothing, other content is a new revision."""
    expired = _expired(record, batch.now)
    same = (
        record.text == draft.text
        and canonical(record.metadata) == canonical(draft.metadata)
        and canonical(record.data) == canonical(draft.data)
        and (record.role, record.name, record.title, record.section)
        == (draft.role, draft.name, draft.title, draft.section)
        and draft.occurred_at in (None, record.occurred_at)
        and draft.expires_at in (None, record.expires_at)
    )
    if same and not expired:
        return Written(record=record, outcome="unchanged", seq=None)
    columns: dict[str, object] = {
        "role": draft.role,
        "occurred_at": draft.occurred_at or record.occurred_at,
        "expires_at": draft.expires_at or (None if expired else record.expires_at),
        "superseded_at": None,
        "superseded_by": None,
        "content_key": content,
    }
    recomposes = (record.text, record.role, record.name, record.occurred_at) != (
        draft.text, draft.role, draft.name, columns["occurred_at"],
    )  # fmt: skip
    extra = extra_of(draft)
    return _revised(
        batch, record, Revision(text=draft.text, extra=extra, columns=columns, recomposes=recomposes)
    )


def _seen_again(batch: _Batch, draft: Draft, record: Record) -> Written:
    """The same text in the same scope: seen once more, and revised where it brings other metadata or expiry."""
    if record.id in batch.fresh:
        _insert_fresh(batch)
    batch.connection.execute(_SEEN, {"again": record.id, "moment": batch.now})
    record = record.model_copy(update={"seen": record.seen + 1, "last_seen_at": batch.now})
    batch.by_id[record.id] = record
    other_metadata = bool(draft.metadata) and canonical(draft.metadata) != canonical(record.metadata)
    other_expiry = draft.expires_at != record.expires_at  # said again without an end, it has none
    if not (other_metadata or other_expiry):
        return Written(record=record, outcome="unchanged", seq=None)
    extra = replace(extra_of_record(record), metadata=draft.metadata or record.metadata)
    columns = {"expires_at": draft.expires_at}
    return _revised(batch, record, Revision(text=record.text, extra=extra, columns=columns, recomposes=False))


def _revised(batch: _Batch, record: Record, revision: Revision) -> Written:
    if record.id in batch.fresh:
        _insert_fresh(batch)
    seq = revise(
        batch.connection, record, revision, now=batch.now, owner=batch.owner, neighbours=batch.neighbours
    )
    after = to_record(fetch_rows(batch.connection, [record.id])[record.id])
    batch.by_id[record.id] = after
    return Written(record=after, outcome="updated", seq=seq)


def _new(batch: _Batch, draft: Draft) -> Record:
    """The record that a draft becomes, with its place in the session."""
    created = draft.created_at or batch.now
    scope = draft.scope
    return Record(
        id=draft.id or uuid7(),
        kind=draft.kind,
        text=draft.text,
        metadata=dict(draft.metadata),
        data=dict(draft.data),
        user_id=scope.user_id,
        agent_id=scope.agent_id,
        session_id=scope.session_id,
        role=draft.role,
        name=draft.name,
        title=draft.title,
        section=draft.section,
        source_id=draft.source_id,
        position=_position(batch, draft),
        external_id=draft.external_id,
        occurred_at=draft.occurred_at or created,
        created_at=created,
        updated_at=created,
        expires_at=draft.expires_at,
        last_seen_at=created,
    )


def _position(batch: _Batch, draft: Draft) -> int | None:
    """Chunks bring their place; a memory with a session comes after those already there."""
    session = draft.scope.session_id
    if draft.position is not None or draft.kind is not Kind.MEMORY or session is None:
        return draft.position
    place = (draft.scope.user_id, session)
    if place not in batch.positions:
        tail = last_turns(batch.connection, place, count=max(1, batch.neighbours))
        batch.tails[place], batch.positions[place] = tail, position_of(tail[-1]) if tail else -1
    batch.positions[place] += 1
    return batch.positions[place]


def _supersede(batch: _Batch, old_id: UUID, *, by: Record) -> None:
    """The old record is current no longer; it must be of the same user."""
    old = batch.by_id.get(old_id)
    if old is None or old.user_id != by.user_id:
        raise NotFoundError(f"no record {old_id} of this user to supersede; `list` shows what there is")
    _insert_fresh(batch)
    (change,) = ledger.enter(batch.connection, [old_id], owner=None)
    columns = {"superseded_at": by.created_at, "superseded_by": by.id}
    batch.connection.execute(_SUPERSEDE, {"old": old_id, **columns, "index_seq": change.seq})
    batch.by_id[old_id] = old.model_copy(update=columns)
    batch.by_content = {key: each for key, each in batch.by_content.items() if each != old_id}


def _insert_fresh(batch: _Batch) -> None:
    """Insert what is new so far: texts, outbox entries, records, and entries for the turns before them."""
    if not batch.fresh:
        return
    fresh = list(batch.fresh.values())
    batch.fresh = {}
    sessions = by_session(record for record, _, _ in fresh)
    beside = _turns_before(batch, sessions)
    ids = [record.id for record, _, _ in fresh]
    text_ids, seqs = ledger.take_both(batch.connection, texts=len(fresh), seqs=len(fresh) + len(beside))
    changes = [Change(*numbered) for numbered in zip(seqs, [*ids, *beside], strict=True)]
    own, others = changes[: len(fresh)], changes[len(fresh) :]
    bodies = [(record.text.encode(), extra_of_record(record).encoded()) for record, _, _ in fresh]
    ledger.insert_texts(batch.connection, text_ids, bodies)
    ledger.insert_entries(
        batch.connection, [(change, batch.owner) for change in own] + [(change, None) for change in others]
    )
    batch.states = {} if batch.seqs else _states(batch, sessions, own)
    batch.tails = {}
    batch.seqs.update((change.record, change.seq) for change in own)
    rows = [
        record_row(record, content, external, text_id=text_id, seq=change.seq)
        for (record, content, external), text_id, change in zip(fresh, text_ids, own, strict=True)
    ]
    INSERT.run_many(batch.connection, rows)
    ledger.stamp(batch.connection, others)


def _tail_before(batch: _Batch, place: ledger.Place, turns: Sequence[Record]) -> list[Record] | None:
    """The session's last turns as this transaction read them, before any was inserted; None unless these come after them."""
    tail = batch.tails.get(place)
    first = position_of(turns[0])
    return tail if tail is not None and all(position_of(turn) < first for turn in tail) else None


def _turns_before(batch: _Batch, sessions: Mapping[ledger.Place, Sequence[Record]]) -> list[UUID]:
    """The last turns that were there already: they are indexed with those that follow, so they change too."""
    if not batch.neighbours:
        return []
    found: list[UUID] = []
    for place, turns in sessions.items():
        tail = _tail_before(batch, place, turns)
        if tail is not None:
            found += [turn.id for turn in tail]
        else:
            found += ledger.turns_before(
                batch.connection, place, position_of(turns[0]), count=batch.neighbours
            )
    return found


def _states(
    batch: _Batch, sessions: Mapping[ledger.Place, Sequence[Record]], own: Sequence[Change]
) -> dict[UUID, Indexable]:
    """What is to be indexed of each, but for turns that do not come after all of their session: those are to be read."""
    around: dict[UUID, tuple[Sequence[Record], Sequence[Record]]] = {}
    unknown: set[UUID] = set()
    count = batch.neighbours
    for place, turns in sessions.items() if count else ():
        tail = _tail_before(batch, place, turns)
        if tail is None:
            unknown.update(turn.id for turn in turns)
            continue
        run = [*tail, *turns]
        for at, turn in enumerate(turns, len(tail)):
            around[turn.id] = run[max(0, at - count) : at], run[at + 1 : at + 1 + count]
    states = {}
    for change in own:
        if change.record not in unknown:
            before, after = around.get(change.record, ((), ()))
            states[change.record] = Indexable(
                id=change.record, seq=change.seq, revisions=(batch.by_id[change.record],), before=tuple(before),
                after=tuple(after),
            )  # fmt: skip
    return states


def record_row(
    record: Record, content: bytes, external: bytes | None, *, text_id: int, seq: int
) -> dict[str, SqlValue]:
    """A row of `records` as `INSERT` takes it."""
    return {
        "id": record.id.hex, "kind": record.kind.value, "user_id": record.user_id, "agent_id": record.agent_id,
        "session_id": record.session_id, "role": record.role, "position": record.position,
        "external_id": record.external_id, "external_key": external, "source_id": _hex(record.source_id),
        "text_id": text_id, "revision": record.revision, "content_key": content, "seen": record.seen,
        "last_seen_at": to_micros(record.last_seen_at), "occurred_at": to_micros(record.occurred_at),
        "created_at": to_micros(record.created_at), "updated_at": to_micros(record.updated_at),
        "expires_at": _micros(record.expires_at), "superseded_at": _micros(record.superseded_at),
        "superseded_by": _hex(record.superseded_by), "index_seq": seq, "points": 1,
    }  # fmt: skip


def _hex(id: UUID | None) -> str | None:
    return None if id is None else id.hex


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else to_micros(moment)


def _expired(record: Record, now: datetime) -> bool:
    return record.expires_at is not None and record.expires_at <= now
