"""Inside a write transaction that forgets: what the texts left in turns kept before queries, and in the reward cache."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from memsdk.records import ledger
from memsdk.records.rows import batches
from memsdk.records.schema import recall_histories, recalls, records, reward_samples, reward_scores, texts
from memsdk.records.where import one_of

QUOTED_CHARS = 20
"""Shorter texts are looked for as whole turns only: "yes" is in every conversation, and quotes nobody."""


def bodies(connection: Connection, ids: Sequence[int]) -> list[str]:
    """What these texts say now."""
    found: list[str] = []
    for start in range(0, len(ids), 500):
        statement = sa.select(texts.c.body).where(texts.c.id.in_(ids[start : start + 500]))
        found.extend(body.decode(errors="replace") for body in connection.execute(statement).scalars())
    return [body for body in found if body.strip("\0")]


def users_of(connection: Connection, ids: Sequence[UUID]) -> set[str | None]:
    """The users whose records these are."""
    found: set[str | None] = set()
    for some in batches(ids):
        statement = sa.select(records.c.user_id).where(records.c.id.in_(some)).distinct()
        found.update(connection.execute(statement).scalars())
    return found


def erase_quotes(connection: Connection, said: Sequence[str], *, users: set[str | None]) -> int:
    """Erase the turns before recalls' queries that repeat one of these texts; returns how many recalls lost theirs.

    Args:
        said: the texts that are being forgotten: of records, and of outputs that may quote them.
        users: whose records they were; a shared record (None) may be quoted in anybody's conversation.
    """
    if not said:
        return 0
    whose = [] if None in users else one_of(recalls.c.user_id, tuple(users))
    statement = (
        sa.select(recall_histories.c.recall_id, recall_histories.c.text_id, texts.c.body)
        .join_from(recall_histories, texts, recall_histories.c.text_id == texts.c.id)
        .join(recalls, recalls.c.id == recall_histories.c.recall_id)
        .where(*whose)
    )
    whole, long = set(said), [text for text in said if len(text) >= QUOTED_CHARS]
    quoting = [row for row in connection.execute(statement) if _quotes(json.loads(row.body), whole, long)]
    ledger.erase_texts(connection, [row.text_id for row in quoting])
    ledger.delete_by(connection, recall_histories, "recall_id", [row.recall_id for row in quoting])
    return len(quoting)


def erase_histories(connection: Connection, ids: Sequence[UUID]) -> None:
    """Erase the turns before these recalls' queries."""
    kept = ledger.text_ids(connection, recall_histories.c.text_id, recall_histories.c.recall_id, ids)
    ledger.erase_texts(connection, kept)
    ledger.delete_by(connection, recall_histories, "recall_id", ids)


def erase_rewards(connection: Connection, *, gone: Sequence[UUID], asked: Sequence[UUID]) -> None:
    """Erase what the reward cache holds of these records, and of these recalls.

    Samples asked for a recall that showed a forgotten record go too: a model that saw it may have repeated it.
    """
    for table in (reward_scores, reward_samples):
        for column, ids in (("record_id", gone), ("recall_id", asked)):
            if table is reward_samples:
                kept = ledger.text_ids(connection, reward_samples.c.text_id, reward_samples.c[column], ids)
                ledger.erase_texts(connection, kept)
            ledger.delete_by(connection, table, column, ids)


def erase_samples_of(connection: Connection, users: Sequence[str]) -> None:
    """Erase samples asked for these users' rows that came from no recall of this store."""
    theirs = reward_samples.c.user_id.in_(users)
    kept = connection.execute(sa.select(reward_samples.c.text_id).where(theirs)).scalars().all()
    ledger.erase_texts(connection, kept)
    connection.execute(sa.delete(reward_samples).where(theirs))


def _quotes(turns: Iterable[str], whole: set[str], long: Sequence[str]) -> bool:
    """Whether a turn is one of the texts, repeats a long one, or is cut from one."""
    for turn in turns:
        words = turn.partition(": ")[2] or turn  # without the speaker
        if turn in whole or words in whole:
            return True
        if any(text in turn or (len(words) >= QUOTED_CHARS and words in text) for text in long):
            return True
    return False
