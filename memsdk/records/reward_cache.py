"""The `RewardCache` port in SQL. Keys are hashed again with the store's secret, so that no text can be guessed from one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Connection

from memsdk.ports import Clock, LogProb, SampleEntry, ScoreEntry
from memsdk.records import ledger
from memsdk.records.database import Database
from memsdk.records.rows import BATCH, Keys
from memsdk.records.schema import recalls, records, reward_samples, reward_scores, texts

Id = TypeVar("Id", bytes, UUID)
_INSERT_NEW = sqlite.insert(reward_scores).on_conflict_do_nothing(index_elements=["key"])


class SqlRewardCache:
    """Scores and samples in the store; see `memsdk.ports.RewardCache`."""

    def __init__(self, database: Database, *, keys: Keys, clock: Clock) -> None:
        self._database, self._keys, self._clock = database, keys, clock

    def scores(self, keys: Sequence[bytes]) -> dict[bytes, LogProb]:
        """Those that are known."""
        asked = {self._keys.digest(key): key for key in keys}
        found: dict[bytes, LogProb] = {}
        columns = reward_scores.c
        statement = sa.select(columns.key, columns.logprob, columns.tokens)
        with self._database.read() as connection:
            for some in _runs(list(asked)):
                for row in connection.execute(statement.where(columns.key.in_(some))):
                    found[asked[row.key]] = LogProb(row.logprob, row.tokens)
        return found

    def keep_scores(self, entries: Sequence[ScoreEntry]) -> None:
        """Keep them, in one transaction; a known key stays as it is.

        They hold no text, so that one whose record is forgotten in this very moment gives nothing away.
        """
        if not entries:
            return
        now = self._clock.now()
        rows = [
            {
                "key": self._keys.digest(entry.key), "logprob": entry.value.total, "tokens": entry.value.tokens,
                "record_id": entry.origin.record, "recall_id": entry.origin.recall, "at": now,
            }
            for entry in entries
        ]  # fmt: skip
        with self._database.write(durable=False) as connection:
            connection.execute(_INSERT_NEW, rows)

    def samples(self, keys: Sequence[bytes]) -> dict[bytes, tuple[str, ...]]:
        """Those that are known."""
        asked = {self._keys.digest(key): key for key in keys}
        found: dict[bytes, tuple[str, ...]] = {}
        statement = sa.select(reward_samples.c.key, texts.c.body).join_from(
            reward_samples, texts, reward_samples.c.text_id == texts.c.id
        )
        with self._database.read() as connection:
            for some in _runs(list(asked)):
                for row in connection.execute(statement.where(reward_samples.c.key.in_(some))):
                    found[asked[row.key]] = tuple(json.loads(row.body))
        return found

    def keep_samples(self, entries: Sequence[SampleEntry]) -> None:
        """Keep them. Samples made from a record or recall that is gone meanwhile are left out."""
        if not entries:
            return
        now = self._clock.now()
        with self._database.write(durable=False) as connection:
            known = _there(connection, reward_samples.c.key, [self._keys.digest(one.key) for one in entries])
            there = _there(connection, records.c.id, [one.origin.record for one in entries])
            there |= _there(connection, recalls.c.id, [one.origin.recall for one in entries])
            kept = {
                self._keys.digest(one.key): one
                for one in entries
                if {one.origin.record, one.origin.recall} - {None} <= there
            }
            new = [(key, one) for key, one in kept.items() if key not in known]
            bodies = [(json.dumps(one.outputs, ensure_ascii=False).encode(), b"") for _, one in new]
            text_ids = ledger.write_texts(connection, bodies)
            if new:
                rows = [
                    {
                        "key": key, "text_id": text_id, "record_id": one.origin.record,
                        "recall_id": one.origin.recall, "user_id": one.origin.user_id, "at": now,
                    }
                    for (key, one), text_id in zip(new, text_ids, strict=True)
                ]  # fmt: skip
                connection.execute(sa.insert(reward_samples), rows)


def _there(connection: Connection, column: sa.ColumnElement[Id], ids: Iterable[Id | None]) -> set[Id]:
    """Which of these are in that column."""
    found: set[Id] = set()
    for some in _runs(list({each for each in ids if each is not None})):
        found.update(connection.execute(sa.select(column).where(column.in_(some))).scalars())
    return found


def _runs(ids: Sequence[Id]) -> Iterable[Sequence[Id]]:
    return (ids[start : start + BATCH] for start in range(0, len(ids), BATCH))
