"""Which trained query versions there are, which serve, and the runs that made them."""

from __future__ import annotations

import builtins  # a method named `list` hides the type
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from memsdk.models import QueryVersion, Task, TrainingRun


class QueryVersions(Protocol):
    """The versions themselves. All processes read the same rows; a switch is one transaction that moves the epoch."""

    def list(self, *, active_only: bool = False) -> list[QueryVersion]:
        """Every version, the oldest first."""

    def add(self, version: QueryVersion, *, trained_on: Sequence[UUID]) -> None:
        """Register a finished version as `ready`, with the records and recalls it saw; the same id twice is once."""

    def activate(self, id: str) -> QueryVersion:
        """Let it serve its task and user; what served them before is `ready` again.

        Raises:
            NotFoundError: no such version.
            QueryVersionError: it names another fingerprint than that of the task's active space, or is retired.
        """

    def rollback(self, *, task: Task, user_id: str | None) -> tuple[QueryVersion, QueryVersion | None]:
        """Take back the last switch: the version that no longer serves, and the one that does (None: the store's own).

        Raises:
            NotFoundError: no version serves them.
        """

    def retire(self, id: str) -> QueryVersion:
        """Make it unusable for good, so that its folder can be removed.

        Raises:
            NotFoundError: no such version.
            QueryVersionError: it serves.
        """


class TrainingRuns(Protocol):
    """What the trainer did, and whether there is something new to learn from."""

    def begin(self, run: TrainingRun) -> None:
        """Note that a run began; the same id twice is once."""

    def end(self, run: TrainingRun) -> None:
        """Note how it ended."""

    def list(self, *, limit: int = 100) -> builtins.list[TrainingRun]:
        """The latest runs, the newest first."""

    def last(self, *, task: Task, user_id: str | None) -> TrainingRun | None:
        """The latest run of the task and user that ended."""

    def new_feedback(self, *, user_id: str | None, since: datetime | None) -> int:
        """How many answers were filed since then: on this user's recalls, or on everybody's."""
