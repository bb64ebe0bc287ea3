"""The `Spaces` port: which embedder's vectors serve, and the one transaction that switches them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import cast

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from memsdk.models import Task
from memsdk.ports import Clock, EmbedderSpec, Space
from memsdk.records import ledger
from memsdk.records.database import Database
from memsdk.records.outbox_store import last_seq
from memsdk.records.rows import AnyRow
from memsdk.records.schema import EPOCH, embedders, spaces
from memsdk.records.version_store import release_other_fingerprints
from memsdk.testing import failpoints


class SqlSpaces:
    """Spaces in SQL; see `memsdk.ports.Spaces`."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def epoch(self) -> int:
        """Grows with every switch; cheap to ask before each recall."""
        ((epoch,),) = self._database.fetch(EPOCH)
        return cast("int", epoch)

    def active(self) -> tuple[EmbedderSpec, dict[Task, Space]] | None:
        """The embedder in use and its spaces; None in a new store."""
        with self._database.read() as connection:
            stored = connection.execute(
                sa.select(embedders.c.spec).where(embedders.c.state == "active")
            ).first()
            if stored is None:
                return None
            found = connection.execute(sa.select(spaces).where(spaces.c.state == "active")).all()
        return decode_spec(stored.spec), {Task(row.task): _space(row) for row in found}

    def begin(self, spec: EmbedderSpec, fingerprints: Mapping[Task, str]) -> dict[Task, Space]:
        """Register an embedder and its building spaces (or find the unfinished or retired ones again).

        A task whose active space has that fingerprint already keeps it, and it is returned as it is: active. A
        retired one is building again from now on: it missed what was written since, so it is to be built anew.
        """
        with self._database.write() as connection:
            self._register(connection, spec)
            start = last_seq(connection)
            for task, fingerprint in fingerprints.items():
                _begin_space(connection, task, fingerprint, start=start)
            found = connection.execute(sa.select(spaces)).all()
        by_key = {(row.task, row.fingerprint): _space(row) for row in found}
        return {task: by_key[task.value, fingerprint] for task, fingerprint in fingerprints.items()}

    def switch(self, spec: EmbedderSpec, *, seen_seq: int, tasks: Sequence[Task] | None = None) -> bool:
        """Make the building spaces active and the active ones retired, unless the outbox has grown past `seen_seq`."""
        with self._database.write() as connection:
            if last_seq(connection) > seen_seq:
                return False
            ledger.take(connection, "epoch", 1)
            meant = sa.true() if tasks is None else spaces.c.task.in_([task.value for task in tasks])
            ready = sa.and_(spaces.c.state == "building", meant)
            building = sa.select(spaces.c.task).where(ready).scalar_subquery()
            connection.execute(
                sa.update(spaces)
                .where(spaces.c.state == "active", spaces.c.task.in_(building))
                .values(state="retired")
            )
            connection.execute(sa.update(spaces).where(ready).values(state="active"))
            connection.execute(
                sa.update(embedders).where(embedders.c.state == "active").values(state="retired")
            )
            connection.execute(
                sa.update(embedders).where(embedders.c.id == spec_id(spec)).values(state="active")
            )
            release_other_fingerprints(connection)
            failpoints.reach("space-switch")
            return True

    def retire(self) -> list[str]:
        """Forget the spaces that no task uses any more; returns their collections, to be dropped."""
        with self._database.write() as connection:
            rows = connection.execute(sa.select(spaces)).all()
            used = {row.collection for row in rows if row.state != "retired"}
            connection.execute(sa.delete(spaces).where(spaces.c.state == "retired"))
        return sorted({row.collection for row in rows} - used)

    def _register(self, connection: Connection, spec: EmbedderSpec) -> None:
        own_id = spec_id(spec)
        if connection.execute(sa.select(embedders.c.id).where(embedders.c.id == own_id)).first() is None:
            connection.execute(
                sa.insert(embedders),
                {
                    "id": own_id,
                    "spec": encode_spec(spec),
                    "state": "building",
                    "created_at": self._clock.now(),
                },
            )


def _begin_space(connection: Connection, task: Task, fingerprint: str, *, start: int) -> None:
    """A building space of that fingerprint; another fingerprint's unfinished one for the task is given up."""
    mine = sa.and_(spaces.c.task == task.value, spaces.c.fingerprint == fingerprint)
    connection.execute(
        sa.update(spaces)
        .where(spaces.c.task == task.value, spaces.c.fingerprint != fingerprint, spaces.c.state == "building")
        .values(state="retired")
    )
    state = connection.execute(sa.select(spaces.c.state).where(mine)).scalar_one_or_none()
    if state is None:
        connection.execute(
            sa.insert(spaces),
            {
                "task": task.value, "fingerprint": fingerprint, "collection": f"space-{fingerprint[:24]}",
                "state": "building", "start_seq": start,
            },
        )  # fmt: skip
    elif state == "retired":
        connection.execute(sa.update(spaces).where(mine).values(state="building", start_seq=start))


def _space(row: AnyRow) -> Space:
    return Space(
        task=Task(row.task), fingerprint=row.fingerprint, collection=row.collection, state=row.state,
        start_seq=row.start_seq,
    )  # fmt: skip


def encode_spec(spec: EmbedderSpec) -> dict[str, object]:
    """As JSON holds it."""
    return asdict(spec) | {"prefixes": {task.value: list(pair) for task, pair in spec.prefixes.items()}}


def decode_spec(stored: Mapping[str, object]) -> EmbedderSpec:
    """The inverse of `encode_spec`."""
    pairs = cast("Mapping[str, tuple[str, str]]", stored["prefixes"])
    prefixes = {Task(task): (query, key) for task, (query, key) in pairs.items()}
    return EmbedderSpec(**{**stored, "prefixes": prefixes})  # type: ignore[arg-type]  # written by encode_spec


def spec_id(spec: EmbedderSpec) -> str:
    """Names an embedder: equal for equal specs."""
    return hashlib.sha256(json.dumps(encode_spec(spec), sort_keys=True).encode()).hexdigest()[:32]
