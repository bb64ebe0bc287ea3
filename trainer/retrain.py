"""`retrain`: rows out of the recall log, scored, a tier fitted, judged on the newest recalls, published, switched to.

It may be killed at any moment: what serves goes on serving, and the next run goes on from the last finished stage.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast
from uuid import UUID

from pydantic import JsonValue
from uuid_utils.compat import uuid7

from memsdk.models import QueryVersion, Task, TrainingRun
from memsdk.spaces import Serving
from memsdk.trainer import publish
from memsdk.trainer.collecting import collect
from memsdk.trainer.ending import (
    HELD_OUT_FROM,
    Ending,
    Metrics,
    Outcome,
    figures_of,
    note_end,
    publish_candidate,
)
from memsdk.trainer.evaluate import (
    KIND_OF,
    Asked,
    as_now,
    ask,
    askable,
    best_share,
    figures,
    latest,
    lexical_only,
    serving_task,
    trial,
)
from memsdk.trainer.fitting import Fitted, choose_tier, fit
from memsdk.trainer.gate import Check, Measured, Verdict, judge, means
from memsdk.trainer.guarding import Guarded, Guarding, allowed, frozen_clozes
from memsdk.trainer.planning import RetrainSettings, by_time, capped, heard_before, is_due, why_not_due
from memsdk.trainer.rewards.scoring import score_with_report
from memsdk.trainer.rows import Row
from memsdk.trainer.staging import Stage, State, data_hash, only_one, stage_of, up_to
from memsdk.trainer.stored import build_problem, read_stored, turns_of

if TYPE_CHECKING:
    from memsdk import Memory
    from memsdk.parts import Parts
    from memsdk.ports import Embedder
    from memsdk.trainer.rewards.port import RewardModel

Progress = Callable[[str], None]
MOST_FOR_SHARE = 100
MOST_EARLIER = 150
TELL_EVERY_S = 10.0


def retrain(
    memory: Memory,
    *,
    settings: RetrainSettings | None = None,
    model: RewardModel | None = None,
    progress: Progress | None = None,
) -> list[Outcome]:
    """Retrain every task that has enough to learn from; an outcome a task, or one that says why there was nothing to do.

    Args:
        model: scores the candidates; without one, the rows' labels (`feedback(used=...)`) are what is learnt.

    Raises:
        StoreLockedError: another retrain is under way.
        RewardModelError: the reward model fails.
    """
    settings = settings or RetrainSettings()
    parts = memory._parts  # noqa: SLF001 -- the trainer is a room of Memory
    tell = progress or (lambda line: None)
    deadline = None if settings.budget_minutes is None else time.monotonic() + 60 * settings.budget_minutes
    with only_one(parts.folder):
        publish.tidy(parts)
        if settings.if_due and not is_due(parts, settings):
            return [Outcome(task=None, ending="not due", reason=why_not_due(settings))]
        tell("collecting rows")
        users = None if settings.user_id is None else [settings.user_id]
        rows = collect(memory, users=users, mining=settings.mining)
        found: dict[Task, list[Row]] = {}
        for row in rows:
            found.setdefault(serving_task(row.task, parts.serving.current()), []).append(row)
        outcomes = [
            _Retraining(parts, task, settings=settings, model=model, tell=tell, deadline=deadline).run(
                found[task]
            )
            for task in settings.tasks or sorted(found)
            if task in found
        ]
    none = Outcome(task=None, ending="not due", reason="no recall has feedback that could be learnt from")
    return outcomes or [none]


class _Retraining:
    """One task's run, stage by stage."""

    def __init__(
        self,
        parts: Parts,
        task: Task,
        *,
        settings: RetrainSettings,
        model: RewardModel | None,
        tell: Progress,
        deadline: float | None,
    ) -> None:
        self._parts, self._task, self._settings, self._model = parts, task, settings, model
        self._tell, self._deadline = tell, deadline
        self._scoring: str | None = None
        self._stage: Stage = stage_of(parts.folder, task=task, user_id=settings.user_id)

    def run(self, rows: Sequence[Row]) -> Outcome:
        """Collect, score, fit, evaluate, judge, publish, switch."""
        settings = self._settings
        state = self._resumed() or self._started()
        rows = up_to(rows, datetime.fromisoformat(state.began))
        known = self._known(rows, state)
        rows = capped(rows, share=settings.user_share)
        if len(rows) < settings.least_rows:
            self._stage.end()
            few = f"{len(rows)} rows for {self._task.value}; {settings.least_rows} are needed"
            return Outcome(task=self._task, ending="not due", reason=few)
        state = self._stage.with_data(state, data_hash(rows))
        run = self._noted(state, rows)
        if (version := self._switched_to(state)) is not None:
            done = Check(
                name="the switch", passed=True, reason="it was switched to before the run was killed"
            )
            return self._ended(
                run, Verdict(checks=(done,)), metrics=figures_of(version), guard_means={}, fitted=None
            )
        if self._model is not None:
            rows = self._scored(rows, self._model)
        older, newest = by_time(rows, share=settings.held_out)
        serving = as_now(self._parts.serving.current())
        fitted = self._fitted(older, serving)
        if fitted is None or fitted.passes == 0:
            reason = "no step of the fit did better than the encoder as it is, on what was kept aside"
            verdict = Verdict(checks=(Check(name="the fit", passed=False, reason=reason),))
            return self._ended(run, verdict, metrics={}, guard_means={}, fitted=fitted)
        guarded = self._guarded(fitted, older, serving)
        measured, metrics = self._measured(newest, serving, guarded, known=known)
        verdict = judge(measured, settings=settings.gate)
        if verdict.promote and not settings.dry_run:
            held_out_from = min((row.at for row in newest if row.at is not None), default=run.started_at)
            publish_candidate(
                self._parts, state, run, fitted=guarded.fitted, share=guarded.share, metrics=metrics,
                lineage=self._lineage(state, run, guarded.fitted), rows=rows, held_out_from=held_out_from,
            )  # fmt: skip
            self._tell(f"{self._task.value}: {state.version} serves now")
        guard_means = {name: value for name, value in means(measured).items() if name.startswith("guard")}
        return self._ended(run, verdict, metrics=metrics, guard_means=guard_means, fitted=guarded.fitted)

    def _resumed(self) -> State | None:
        state = self._stage.state()
        if state is None or state.settings != self._asked_for():
            return None
        self._tell(f"{self._task.value}: going on with the run that began {state.began}")
        return state

    def _switched_to(self, state: State) -> QueryVersion | None:
        """The run's version, where it got as far as to serve."""
        known = {version.id: version for version in self._parts.store.versions.list()}
        found = known.get(state.version)
        return None if found is None or found.activated_at is None else found

    def _started(self) -> State:
        began, run = self._parts.clock.now(), uuid7()
        name = f"{began:%Y%m%d-%H%M%S}-{self._task.value}-{run.hex[-6:]}"
        state = State(
            run=str(run), version=name, began=began.isoformat(), data="", settings=self._asked_for()
        )
        self._stage.begin(state)
        return state

    def _asked_for(self) -> str:
        """Names what decides the result: another wish is another run."""
        settings = self._settings
        wished = [
            settings.tier, settings.held_out, settings.least_rows, settings.user_share, settings.heard_days, settings.seed,
            settings.dry_run, asdict(settings.gate), asdict(settings.residual), asdict(settings.lora), None if self._model is None else self._model.identity,
            str(settings.rewards.kind),
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(wished, default=str).encode()).hexdigest()[:32]

    def _noted(self, state: State, rows: Sequence[Row]) -> TrainingRun:
        run = TrainingRun(
            id=UUID(state.run), task=self._task, user_id=self._settings.user_id, tier=self._settings.tier,
            started_at=datetime.fromisoformat(state.began), rows=len(rows),
        )  # fmt: skip
        self._parts.store.runs.begin(run)
        return run

    def _scored(self, rows: Sequence[Row], model: RewardModel) -> list[Row]:
        """The rows with the model's rewards: those of them that half of the time is enough for."""
        task, began = self._task.value, time.monotonic()
        deadline = None if self._deadline is None else began + max(5.0, (self._deadline - began) / 2)
        tell = self._now_and_then()

        def progress(done: int, total: int) -> None:
            left = (time.monotonic() - began) / done * (total - done)
            tell(f"{done} of {total} rows scored, about {left / 60:.1f} min left")

        self._tell(f"{task}: scoring {len(rows)} rows")
        scored = score_with_report(
            rows, model, cache=self._parts.store.rewards, settings=self._settings.rewards, progress=progress,
            deadline=deadline,
        )  # fmt: skip
        self._scoring = str(scored.report)
        self._tell(f"{task}: {self._scoring}")
        return scored.rows

    def _fitted(self, older: Sequence[Row], serving: Serving) -> Fitted | None:
        """The candidate; None where the rows teach nothing."""
        stored = read_stored(self._parts, task=self._task, serving=serving)
        problem, used = build_problem(self._parts, older, stored, task=self._task, embedder=serving.embedder)
        if not used:
            return None
        base = self._base()
        tier = choose_tier(self._settings.tier, rows=len(used), user_id=self._settings.user_id, embedder=base)
        self._tell(
            f"{self._task.value}: fitting {tier} on {len(used)} rows and {len(stored.keys)} stored vectors"
        )
        return fit(
            tier, problem, [turns_of(row) for row in used], embedder=base, task=self._task,
            into=self._stage.folder / "candidate", residual=replace(self._settings.residual, seed=self._settings.seed),
            lora=replace(self._settings.lora, seed=self._settings.seed), budget_s=self._fit_budget(),
            progress=self._now_and_then(),
        )  # fmt: skip

    def _now_and_then(self) -> Progress:
        """Tells a line if the last one was told some seconds ago: a pass can take a tenth of a second, or minutes."""
        last = time.monotonic()

        def tell(line: str) -> None:
            nonlocal last
            if time.monotonic() - last >= TELL_EVERY_S:
                last = time.monotonic()
                self._tell(f"{self._task.value}: {line}")

        return tell

    def _fit_budget(self) -> float | None:
        """Half of what is left: scoring came before it, the evaluation comes after."""
        return None if self._deadline is None else max(5.0, (self._deadline - time.monotonic()) / 2)

    def _guarded(self, fitted: Fitted, older: Sequence[Row], serving: Serving) -> Guarded:
        """The candidate as far as the guard lets it go, and a share in fusion that the guard allows as well.

        The dense leg's share is fitted on the latest rows that the version was trained before.
        """
        settings, user = self._settings, self._settings.user_id
        clozes = frozen_clozes(
            self._parts, name=self._stage.folder.name, task=self._task, user_id=user, seed=settings.seed
        )
        guarding = Guarding(
            self._parts, task=self._task, user_id=user, serving=serving, clozes=clozes,
            earlier=self._earlier(older), current=self._current(),
        )  # fmt: skip
        found = guarding.strongest(fitted, base=self._base(), settings=settings.gate)
        share = best_share(
            self._parts, askable(older)[-MOST_FOR_SHARE:], serving=serving, embedder=found.embedder,
            task=self._task, user_id=user, usual=found.share,
        )  # fmt: skip
        if share == found.share:
            return found
        guards = guarding.beside(found.embedder, share=share)
        return (
            replace(found, share=share, guards=guards) if allowed(guards, settings=settings.gate) else found
        )

    def _earlier(self, older: Sequence[Row]) -> list[Asked]:
        """The questions that the version in use was judged on: what it was promoted for must not be given up again.

        New feedback that contradicts them, from however many users, would otherwise turn the memory round in a night.
        """
        current = self._current()
        since = None if current is None else current.metrics.get(HELD_OUT_FROM)
        if current is None or not isinstance(since, str):
            return []
        begin, end = datetime.fromisoformat(since), current.created_at
        return askable(row for row in older if row.at is not None and begin <= row.at <= end)[-MOST_EARLIER:]

    def _known(self, rows: Sequence[Row], state: State) -> set[str | None]:
        """The users whose word counts alone; all of them where no version serves, or where it is one user's own."""
        everybody, current = {row.user_id for row in rows}, self._current()
        if current is None or self._settings.user_id is not None or len(everybody) < 2:
            return everybody
        waited = datetime.fromisoformat(state.began) - timedelta(days=self._settings.heard_days)
        return heard_before(rows, since=max(current.created_at, waited))

    def _current(self) -> QueryVersion | None:
        """The version that serves; None where the store's own encoder does."""
        way = self._parts.serving.current().way(
            KIND_OF[self._task], user_id=self._settings.user_id, amid=self._task is Task.CONVSEARCH
        )
        known = {version.id: version for version in self._parts.store.versions.list()}
        return known.get(way.version)

    def _base(self) -> Embedder:
        return self._parts.serving.current().embedder

    def _measured(
        self, newest: Sequence[Row], serving: Serving, guarded: Guarded, *, known: Collection[str | None]
    ) -> tuple[Measured, Metrics]:
        """Every system's figures on the held-out queries, and the guards'."""
        questions = askable(newest)
        self._tell(f"{self._task.value}: asking {len(questions)} held-out queries")
        version = trial(
            "candidate", task=self._task, serving=serving, dense_weight=guarded.share,
            user_id=self._settings.user_id,
        )  # fmt: skip
        trying = serving.trying(version, guarded.embedder)
        found = {
            "candidate": ask(self._parts, questions, serving=trying),
            "current": ask(self._parts, questions, serving=serving),
            "recency": latest(self._parts, questions),
            "bm25": ask(self._parts, questions, serving=lexical_only(serving, self._task)),
        }
        each = {name: figures(lists, questions) for name, lists in found.items()}
        measured = Measured(
            candidate=each["candidate"].ndcg_10,
            current=each["current"].ndcg_10,
            baselines={name: each[name].ndcg_10 for name in ("recency", "bm25")},
            users=[asked.user_id for asked in questions],
            answers=[asked.relevant for asked in questions],
            known=[asked.user_id in known for asked in questions],
            guard_candidate={name: ours for name, (ours, _) in guarded.guards.items()},
            guard_current={name: theirs for name, (_, theirs) in guarded.guards.items()},
        )
        metrics = {name: values.means() for name, values in each.items()} if questions else {}
        return measured, metrics

    def _lineage(self, state: State, run: TrainingRun, fitted: Fitted | None) -> dict[str, JsonValue]:
        spec = self._parts.serving.current().embedder.spec
        return {
            "base": spec.name, "base weights": spec.weights, "data": state.data, "rows": run.rows,
            "seed": self._settings.seed, "reward model": None if self._model is None else self._model.identity,
            "reward": str(self._settings.rewards.kind), "scoring": self._scoring, "trained until": state.began,
            "fit": {} if fitted is None else {"passes": fitted.passes, "seconds": fitted.seconds,
                                             **cast("dict[str, JsonValue]", fitted.settings)},
        }  # fmt: skip

    def _ended(
        self,
        run: TrainingRun,
        verdict: Verdict,
        *,
        metrics: Metrics,
        guard_means: dict[str, float],
        fitted: Fitted | None,
    ) -> Outcome:
        """Note how it ended, write the report, and leave nothing of the run behind."""
        state = self._stage.state()
        assert state is not None  # it is removed at the end only
        ending: Ending = (
            "kept" if not verdict.promote else "dry-run" if self._settings.dry_run else "promoted"
        )
        outcome, report = note_end(
            self._parts, run, verdict, ending=ending, version=state.version if ending == "promoted" else None,
            fitted=fitted, metrics=metrics, guard_means=guard_means, lineage=self._lineage(state, run, fitted),
        )  # fmt: skip
        self._stage.end()
        for line in report.text().splitlines():
            self._tell(line)
        return outcome
