"""The `QueryVersions` and `TrainingRuns` ports: trained versions, the switch between them, and the trainer's runs."""

from __future__ import annotations

import builtins  # a method named `list` hides the type
from collections.abc import Sequence
from datetime import datetime
from typing import cast
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from memsdk.errors import NotFoundError, QueryVersionError
from memsdk.models import QueryVersion, Task, TrainingRun
from memsdk.ports import Clock
from memsdk.records import ledger
from memsdk.records.database import Database
from memsdk.records.rows import AnyRow
from memsdk.records.schema import (
    feedback,
    query_version_items,
    query_versions,
    recalls,
    spaces,
    training_runs,
)
from memsdk.testing import failpoints

_COLUMNS = query_versions.c
_FORGOTTEN = (
    sa.select(query_version_items.c.version_id, sa.func.count().label("forgotten"))
    .where(query_version_items.c.forgotten)
    .group_by(query_version_items.c.version_id)
)


class SqlQueryVersions:
    """Query versions in SQL; see `memsdk.ports.QueryVersions`."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def list(self, *, active_only: bool = False) -> list[QueryVersion]:
        """Every version, the oldest first."""
        statement = sa.select(query_versions).order_by(_COLUMNS.created_at, _COLUMNS.id)
        if active_only:
            statement = statement.where(_COLUMNS.state == "active")
        with self._database.read() as connection:
            rows = connection.execute(statement).all()
            if not rows:
                return []
            forgotten = {row.version_id: int(row.forgotten) for row in connection.execute(_FORGOTTEN)}
        return [_version(row, forgotten=forgotten.get(row.id, 0)) for row in rows]

    def add(self, version: QueryVersion, *, trained_on: Sequence[UUID]) -> None:
        """Register a finished version as `ready`, with the records and recalls it saw; the same id twice is once."""
        with self._database.write() as connection:
            if (
                connection.execute(sa.select(_COLUMNS.id).where(_COLUMNS.id == version.id)).first()
                is not None
            ):
                return
            connection.execute(
                sa.insert(query_versions),
                {
                    "id": version.id, "tier": version.tier, "task": version.task.value,
                    "owner": version.user_id or "", "fingerprint": version.fingerprint,
                    "dense_weight": version.dense_weight, "state": "ready", "replaces": None,
                    "parent": version.parent, "metrics": version.metrics, "created_at": version.created_at,
                    "activated_at": None,
                },
            )  # fmt: skip
            items = [
                {"version_id": version.id, "item_id": item, "forgotten": False}
                for item in dict.fromkeys(trained_on)
            ]
            if items:
                connection.execute(sa.insert(query_version_items), items)

    def activate(self, id: str) -> QueryVersion:
        """Let it serve its task and user; what served them before is `ready` again."""
        with self._database.write() as connection:
            row = _one(connection, id)
            if row.state == "retired":
                raise QueryVersionError(
                    f"the query version {id} is retired; train another, or activate one of `memsdk models list`"
                )
            _check_fingerprint(connection, row)
            if row.state != "active":
                before = _serving(connection, task=row.task, owner=row.owner)
                if before is not None:
                    _set(connection, before.id, state="ready")
                _set(
                    connection, id, state="active", replaces=None if before is None else before.id,
                    activated_at=self._clock.now(),
                )  # fmt: skip
                ledger.take(connection, "epoch", 1)
            failpoints.reach("version-switch")
            return _version(_one(connection, id))

    def rollback(self, *, task: Task, user_id: str | None) -> tuple[QueryVersion, QueryVersion | None]:
        """Take back the last switch; where the version before is retired or of other vectors, that before it, and so on."""
        with self._database.write() as connection:
            serving = _serving(connection, task=task.value, owner=user_id or "")
            if serving is None:
                whose = "the whole store" if user_id is None else f"the user {user_id}"
                raise NotFoundError(
                    f"no query version serves the task {task.value} for {whose}; `memsdk models list` shows what there is"
                )
            _set(connection, serving.id, state="ready")
            before, passed = serving.replaces, {serving.id}
            while before is not None:
                row = _one(connection, before)
                if row.state != "retired" and _fits(connection, row):
                    # `replaces` of the restored one stays, so that the next rollback goes one further back
                    _set(connection, before, state="active", activated_at=self._clock.now())
                    break
                passed.add(before)
                before = None if row.replaces in passed else row.replaces  # two may have replaced each other
            ledger.take(connection, "epoch", 1)
            restored = None if before is None else _version(_one(connection, before))
            return _version(_one(connection, serving.id)), restored

    def retire(self, id: str) -> QueryVersion:
        """Make it unusable for good, so that its folder can be removed."""
        with self._database.write() as connection:
            row = _one(connection, id)
            if row.state == "active":
                raise QueryVersionError(
                    f"the query version {id} serves; run `memsdk models rollback` or activate another before it is retired"
                )
            _set(connection, id, state="retired")
            return _version(_one(connection, id))


class SqlTrainingRuns:
    """The trainer's runs in SQL; see `memsdk.ports.TrainingRuns`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, run: TrainingRun) -> None:
        """Note that a run began; the same id twice is once."""
        with self._database.write() as connection:
            known = sa.select(training_runs.c.id).where(training_runs.c.id == run.id)
            if connection.execute(known).first() is None:
                connection.execute(sa.insert(training_runs), {"id": run.id, **_run_values(run)})

    def end(self, run: TrainingRun) -> None:
        """Note how it ended."""
        with self._database.write() as connection:
            connection.execute(
                sa.update(training_runs).where(training_runs.c.id == run.id).values(**_run_values(run))
            )

    def list(self, *, limit: int = 100) -> builtins.list[TrainingRun]:
        """The latest runs, the newest first."""
        statement = sa.select(training_runs).order_by(training_runs.c.started_at.desc()).limit(limit)
        with self._database.read() as connection:
            return [_run(row) for row in connection.execute(statement)]

    def last(self, *, task: Task, user_id: str | None) -> TrainingRun | None:
        """The latest run of the task and user that ended."""
        columns = training_runs.c
        statement = (
            sa.select(training_runs)
            .where(
                columns.task == task.value, columns.owner == (user_id or ""), columns.ended_at.is_not(None)
            )
            .order_by(columns.started_at.desc())
            .limit(1)
        )
        with self._database.read() as connection:
            row = connection.execute(statement).first()
        return None if row is None else _run(row)

    def new_feedback(self, *, user_id: str | None, since: datetime | None) -> int:
        """How many answers were filed since then: on this user's recalls, or on everybody's."""
        statement = sa.select(sa.func.count()).select_from(feedback)
        if user_id is not None:
            statement = statement.join(recalls, recalls.c.id == feedback.c.recall_id).where(
                recalls.c.user_id == user_id
            )
        if since is not None:
            statement = statement.where(feedback.c.at > since)
        with self._database.read() as connection:
            return int(connection.execute(statement).scalar_one())


def release_other_fingerprints(connection: Connection) -> None:
    """In the transaction that switches spaces: versions that name other vectors than the active ones serve no more."""
    fitting = sa.select(spaces.c.fingerprint).where(
        spaces.c.task == _COLUMNS.task,
        spaces.c.state == "active",
        spaces.c.fingerprint == _COLUMNS.fingerprint,
    )
    connection.execute(
        sa.update(query_versions).where(_COLUMNS.state == "active", ~fitting.exists()).values(state="ready")
    )


def _serving(connection: Connection, *, task: str, owner: str) -> AnyRow | None:
    return connection.execute(
        sa.select(query_versions).where(
            _COLUMNS.state == "active", _COLUMNS.task == task, _COLUMNS.owner == owner
        )
    ).first()


def _one(connection: Connection, id: str) -> AnyRow:
    row = connection.execute(sa.select(query_versions).where(_COLUMNS.id == id)).first()
    if row is None:
        raise NotFoundError(f"no query version {id!r:.80}; `memsdk models list` shows what there is")
    return row


def _active_fingerprint(connection: Connection, task: str) -> str | None:
    return cast(
        "str | None",
        connection.execute(
            sa.select(spaces.c.fingerprint).where(spaces.c.task == task, spaces.c.state == "active")
        ).scalar_one_or_none(),
    )


def _fits(connection: Connection, row: AnyRow) -> bool:
    return bool(_active_fingerprint(connection, row.task) == row.fingerprint)


def _check_fingerprint(connection: Connection, row: AnyRow) -> None:
    if not _fits(connection, row):
        raise QueryVersionError(
            f"the query version {row.id} was trained against the vectors {row.fingerprint}, and the task {row.task} is"
            f" served from {_active_fingerprint(connection, row.task)}; activate one of these vectors"
            " (`memsdk models list`), or run `memsdk retrain`"
        )


def _set(connection: Connection, id: str, **values: object) -> None:
    connection.execute(sa.update(query_versions).where(_COLUMNS.id == id).values(**values))


def _version(row: AnyRow, *, forgotten: int = 0) -> QueryVersion:
    return QueryVersion(
        id=row.id, tier=row.tier, task=Task(row.task), user_id=row.owner or None,
        fingerprint=row.fingerprint, dense_weight=row.dense_weight, state=row.state, replaces=row.replaces,
        parent=row.parent, metrics=dict(row.metrics), created_at=row.created_at, activated_at=row.activated_at,
        forgotten=forgotten,
    )  # fmt: skip


def _run_values(run: TrainingRun) -> dict[str, object]:
    return {
        "task": run.task.value, "owner": run.user_id or "", "tier": run.tier, "started_at": run.started_at,
        "ended_at": run.ended_at, "outcome": run.outcome, "version_id": run.version, "rows": run.rows,
        "report": run.report,
    }  # fmt: skip


def _run(row: AnyRow) -> TrainingRun:
    return TrainingRun(
        id=row.id, task=Task(row.task), user_id=row.owner or None, tier=row.tier, started_at=row.started_at,
        ended_at=row.ended_at, outcome=row.outcome, version=row.version_id, rows=row.rows, report=dict(row.report),
    )  # fmt: skip
