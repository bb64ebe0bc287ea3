"""What a retrain is asked to do, whether it is due, and which of the rows it learns from and is judged on."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from memsdk.errors import InvalidInputError
from memsdk.models import Task
from memsdk.trainer.gate import GateSettings
from memsdk.trainer.mining import Mining
from memsdk.trainer.rewards.scoring import RewardSettings
from memsdk.trainer.rows import Row
from memsdk.trainer.tiers import LoraSettings, ResidualSettings

if TYPE_CHECKING:
    from memsdk.parts import Parts


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainSettings:
    """What a retrain does.

    Attributes:
        user_id: train this user's own versions, on this user's recalls; None: the store's.
        tier: `t0`, `t1`, or `auto`.
        tasks: None for every task with enough rows.
        if_due: only where there is new feedback, or time has passed; see `due_feedback` and `due_days`.
        due_feedback: so many new answers make a task due.
        due_days: after so many days one new answer does.
        dry_run: judge, and report, but publish nothing.
        budget_minutes: for all of it; the fits end in time for the rest.
        least_rows: fewer of a task are left for later.
        held_out: the share of the rows, the newest, that the gate judges on.
        user_share: no user has more than this share of a store's rows, as soon as there are several.
        heard_days: where a version serves, users who came after it was made are known after so many days; see `heard_before`.
        rewards: None where the log's own labels are all there is to learn from.
    """

    user_id: str | None = None
    tier: Literal["auto", "t0", "t1"] = "auto"
    tasks: tuple[Task, ...] | None = None
    if_due: bool = False
    due_feedback: int = 50
    due_days: float = 7.0
    dry_run: bool = False
    budget_minutes: float | None = None
    least_rows: int = 60
    held_out: float = 0.3
    user_share: float = 0.25
    heard_days: float = 7.0
    seed: int = 0
    mining: Mining = field(default_factory=Mining)
    residual: ResidualSettings = field(default_factory=ResidualSettings)
    lora: LoraSettings = field(default_factory=LoraSettings)
    gate: GateSettings = field(default_factory=GateSettings)
    rewards: RewardSettings = field(default_factory=RewardSettings)


def is_due(parts: Parts, settings: RetrainSettings) -> bool:
    """Whether enough was answered since the last run, or anything after a while; an unfinished run is always due."""
    runs = [run for run in parts.store.runs.list() if run.user_id == settings.user_id]
    ended = [run for run in runs if run.ended_at is not None]
    if any(run.ended_at is None for run in runs[:1]):
        return True
    last = max((run.started_at for run in ended), default=None)
    fresh = parts.store.runs.new_feedback(user_id=settings.user_id, since=last)
    waited = last is None or parts.clock.now() - last >= timedelta(days=settings.due_days)
    return fresh >= settings.due_feedback or (fresh > 0 and waited and last is not None)


def why_not_due(settings: RetrainSettings) -> str:
    """What a person is told then."""
    return (
        f"fewer than {settings.due_feedback} new answers since the last run, and none that has waited for"
        f" {settings.due_days:g} days"
    )


def capped(rows: Sequence[Row], *, share: float) -> list[Row]:
    """The rows, of each user no more than that share of all (the newest), as soon as there are several users."""
    counts = Counter(row.user_id for row in rows)
    if len(counts) < 2:
        return list(rows)
    most = max(20, math.ceil(share * len(rows)))
    kept: Counter[str | None] = Counter()
    chosen = []
    for row in reversed(rows):
        kept[row.user_id] += 1
        if kept[row.user_id] <= most:
            chosen.append(row)
    return chosen[::-1]


def heard_before(rows: Sequence[Row], *, since: datetime) -> set[str | None]:
    """The users who gave feedback before that time. Those who came later have no say alone in what serves now."""
    return {row.user_id for row in rows if row.at is None or row.at < since}


def by_time(rows: Sequence[Row], *, share: float) -> tuple[list[Row], list[Row]]:
    """The older rows and the newest ones; a question that the newest ask again is in these alone."""
    if not 0 < share < 1:
        raise InvalidInputError(f"held_out is {share}, expected a share between 0 and 1")
    ordered = sorted(
        rows, key=lambda row: (row.at is not None, row.at.timestamp() if row.at else 0.0, row.id)
    )
    cut = len(ordered) - round(share * len(ordered))
    older, newest = ordered[:cut], ordered[cut:]
    again = {row.query.casefold().strip() for row in newest}
    return [row for row in older if row.query.casefold().strip() not in again], newest
