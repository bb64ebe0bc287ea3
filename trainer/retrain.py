"""`retrain`: rows out of the recall log, scored, a tier fitted, judged on the newest recalls, published, switched to.

It may be killed at any moment: what serves goes on serving, and the next run goes on from the last finished stage.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from statistics import mean
from typing import TYPE_CHECKING, Literal, cast
from uuid import UUID

from pydantic import JsonValue
from uuid_utils.compat import uuid7

from memsdk.models import QueryVersion, Task, TrainingRun
from memsdk.ports import Embedder
from memsdk.spaces import Serving
from memsdk.trainer import guard, publish
from memsdk.trainer.collecting import collect
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
from memsdk.trainer.fitting import Fitted, choose_tier, copy_fitted, fit, load_fitted, weakened
from memsdk.trainer.folders import model_card
from memsdk.trainer.gate import Check, Measured, Verdict, judge, means
from memsdk.trainer.planning import RetrainSettings, by_time, capped, is_due, why_not_due
from memsdk.trainer.report import Report
from memsdk.trainer.rewards.scoring import recall_of, score_rows
from memsdk.trainer.rows import Row
from memsdk.trainer.staging import (
    REPORTS,
    TRAINING,
    Stage,
    State,
    data_hash,
    only_one,
    records_of,
    stage_of,
    up_to,
)
from memsdk.trainer.stored import build_problem, read_stored

if TYPE_CHECKING:
    from memsdk import Memory
    from memsdk.parts import Parts
    from memsdk.trainer.rewards.port import RewardModel

Progress = Callable[[str], None]
Ending = Literal["promoted", "kept", "dry-run", "not due"]
MOST_FOR_SHARE = 100
STRENGTHS = (1.0, 0.7, 0.5, 0.35, 0.25)
"""How far a candidate goes from the base's weights to its own; the guard chooses (LM-Cocktail, arXiv 2311.13534)."""
HELD_OUT_FROM = "held_out_from"
"""In a version's metrics: when the first of the questions that it was judged on was asked."""
MOST_EARLIER = 150
Guards = dict[str, tuple[list[float], list[float]]]
"""By guard set: the nDCG@10 of each of its questions, with the candidate and with what serves now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one task's retrain ended, and why; `report` is the path of its page, where there is one."""

    task: Task | None
    ending: Ending
    reason: str
    version: str | None = None
    report: str | None = None
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)


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
        self._stage: Stage = stage_of(parts.folder, task=task, user_id=settings.user_id)

    def run(self, rows: Sequence[Row]) -> Outcome:
        """Collect, score, fit, evaluate, judge, publish, switch."""
        settings = self._settings
        state = self._resumed() or self._started()
        rows = capped(up_to(rows, datetime.fromisoformat(state.began)), share=settings.user_share)
        if len(rows) < settings.least_rows:
            self._stage.end()
            few = f"{len(rows)} rows for {self._task.value}; {settings.least_rows} are needed"
            return Outcome(task=self._task, ending="not due", reason=few)
        state = self._stage.with_data(state, data_hash(rows))
        run = self._noted(state, rows)
        if self._model is not None:
            self._tell(f"{self._task.value}: scoring {len(rows)} rows")
            rows = score_rows(rows, self._model, self._parts.store.rewards, settings.rewards)
        older, newest = by_time(rows, share=settings.held_out)
        serving = as_now(self._parts.serving.current())
        fitted = self._fitted(older, serving)
        if fitted is None or fitted.passes == 0:
            reason = "no step of the fit did better than the encoder as it is, on what was kept aside"
            verdict = Verdict(checks=(Check(name="the fit", passed=False, reason=reason),))
            return self._ended(run, verdict, metrics={}, guard_means={}, fitted=fitted)
        fitted, candidate, guards = self._strongest(fitted, serving, earlier=self._earlier(older))
        share = self._share(older, serving, candidate)
        measured, metrics = self._measured(newest, serving, candidate, share=share, guards=guards)
        verdict = judge(measured, settings=settings.gate)
        if verdict.promote and not settings.dry_run:
            held_out_from = min((row.at for row in newest if row.at is not None), default=run.started_at)
            self._publish(
                state,
                run,
                fitted=fitted,
                share=share,
                metrics=metrics,
                rows=rows,
                held_out_from=held_out_from,
            )
        guard_means = {name: value for name, value in means(measured).items() if name.startswith("guard")}
        return self._ended(run, verdict, metrics=metrics, guard_means=guard_means, fitted=fitted)

    def _resumed(self) -> State | None:
        state = self._stage.state()
        if state is None or state.settings != self._asked_for():
            return None
        self._tell(f"{self._task.value}: going on with the run that began {state.began}")
        return state

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
            settings.tier, settings.held_out, settings.least_rows, settings.user_share, settings.seed,
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
            tier, problem, [row.query for row in used], embedder=base, task=self._task,
            into=self._stage.folder / "candidate", residual=replace(self._settings.residual, seed=self._settings.seed),
            lora=replace(self._settings.lora, seed=self._settings.seed), budget_s=self._fit_budget(),
            progress=lambda line: self._tell(f"{self._task.value}: {line}"),
        )  # fmt: skip

    def _fit_budget(self) -> float | None:
        """Half of what is left: scoring came before it, the evaluation comes after."""
        return None if self._deadline is None else max(5.0, (self._deadline - time.monotonic()) / 2)

    def _share(self, older: Sequence[Row], serving: Serving, candidate: Embedder) -> float | None:
        """The dense leg's share in fusion, fitted on the latest rows that the version was trained before."""
        questions = askable(older)[-MOST_FOR_SHARE:]
        return best_share(
            self._parts, questions, serving=serving, embedder=candidate, task=self._task,
            user_id=self._settings.user_id,
        )  # fmt: skip

    def _earlier(self, older: Sequence[Row]) -> list[Asked]:
        """The questions that the version in use was judged on: what it was promoted for must not be given up again.

        New feedback that contradicts them, from however many users, would otherwise turn the memory round in a night.
        """
        way = self._parts.serving.current().way(
            KIND_OF[self._task], user_id=self._settings.user_id, amid=self._task is Task.CONVSEARCH
        )
        found = [version for version in self._parts.store.versions.list() if version.id == way.version]
        since = found[0].metrics.get(HELD_OUT_FROM) if found else None
        if not isinstance(since, str):
            return []
        begin, end = datetime.fromisoformat(since), found[0].created_at
        return askable(row for row in older if row.at is not None and begin <= row.at <= end)[-MOST_EARLIER:]

    def _strongest(
        self, fitted: Fitted, serving: Serving, *, earlier: Sequence[Asked]
    ) -> tuple[Fitted, Embedder, Guards]:
        """The candidate as far from the base as the guard allows; the weakest where it allows none.

        The guard then no longer judges what it chose, but the gate's other conditions still do, on other figures.
        """
        tolerance = self._settings.gate.tolerance
        weakest: tuple[Fitted, Embedder, Guards] | None = None
        for strength in STRENGTHS:
            some = fitted if strength == 1 else weakened(fitted, self._base(), strength=strength)
            candidate = load_fitted(some, serving.embedder)
            guards = self._guards(serving, candidate, earlier=earlier)
            weakest = (some, candidate, guards)
            if all(not ours or mean(ours) >= mean(theirs) - tolerance for ours, theirs in guards.values()):
                break
        assert weakest is not None  # there are strengths
        return weakest

    def _base(self) -> Embedder:
        return self._parts.serving.current().embedder

    def _measured(
        self,
        newest: Sequence[Row],
        serving: Serving,
        candidate: Embedder,
        *,
        share: float | None,
        guards: Guards,
    ) -> tuple[Measured, dict[str, dict[str, float]]]:
        """Every system's figures on the held-out queries, and the guards'."""
        questions = askable(newest)
        self._tell(f"{self._task.value}: asking {len(questions)} held-out queries")
        version = trial(
            "candidate", task=self._task, serving=serving, dense_weight=share, user_id=self._settings.user_id
        )
        trying = serving.trying(version, candidate)
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
            guard_candidate={name: ours for name, (ours, _) in guards.items()},
            guard_current={name: theirs for name, (_, theirs) in guards.items()},
        )
        metrics = {name: values.means() for name, values in each.items()} if questions else {}
        return measured, metrics

    def _guards(self, serving: Serving, candidate: Embedder, *, earlier: Sequence[Asked]) -> Guards:
        user = self._settings.user_id
        version = trial("guarded", task=self._task, serving=serving, dense_weight=None, user_id=user)
        trying = serving.trying(version, candidate)
        way = serving.way(KIND_OF[self._task], user_id=user, amid=self._task is Task.CONVSEARCH)
        asked = self._clozes()
        return {
            "shipped": (
                guard.shipped_quality(candidate, task=self._task, base=serving.embedder),
                guard.shipped_quality(way.embedder, task=self._task, base=serving.embedder),
            ),
            "own texts": (
                guard.cloze_quality(self._parts, asked, serving=trying),
                guard.cloze_quality(self._parts, asked, serving=serving),
            ),
            "earlier feedback": (
                guard.cloze_quality(self._parts, earlier, serving=trying),
                guard.cloze_quality(self._parts, earlier, serving=serving),
            ),
        }

    def _clozes(self) -> list[Asked]:
        """The store's own part of the guard, frozen at the first run of the task."""
        folder = self._parts.folder / TRAINING / "guard"
        folder.mkdir(parents=True, exist_ok=True)
        kept = Stage(folder)
        name = f"{self._stage.folder.name}.json"
        stored = kept.load(name)
        if stored is None:
            drawn = guard.draw_clozes(
                self._parts, task=self._task, user_id=self._settings.user_id, seed=self._settings.seed
            )
            stored = {"clozes": [[str(one.record), one.first, one.last] for one in drawn]}
            kept.save(name, stored)
        entries = cast("list[tuple[str, int, int]]", stored["clozes"])
        clozes = [guard.Cloze(record=UUID(record), first=first, last=last) for record, first, last in entries]
        return guard.questions(self._parts, clozes)

    def _publish(
        self,
        state: State,
        run: TrainingRun,
        *,
        fitted: Fitted,
        share: float | None,
        metrics: dict[str, dict[str, float]],
        rows: Sequence[Row],
        held_out_from: datetime,
    ) -> None:
        parts, spec = self._parts, self._parts.serving.current().embedder.spec
        now = self._parts.serving.current()
        own = now.way(KIND_OF[self._task], user_id=self._settings.user_id, amid=self._task is Task.CONVSEARCH)
        version = QueryVersion(
            id=state.version, tier=fitted.tier, task=self._task, user_id=self._settings.user_id,
            fingerprint=now.spaces[self._task].fingerprint, dense_weight=share,
            parent=None if own.is_own else own.version,
            metrics={**cast("dict[str, JsonValue]", metrics), HELD_OUT_FROM: held_out_from.isoformat()},
            created_at=run.started_at,
        )  # fmt: skip
        lineage = self._lineage(state, run, fitted)
        card = model_card(
            f"{fitted.tier} query encoder for {self._task.value}",
            base=spec.name,
            facts={**lineage, "vectors it may search": version.fingerprint},
            metrics={
                f"{system} {name}": value for system, each in metrics.items() for name, value in each.items()
            },
        )
        publish.write_version(
            parts.folder / "models", version, build=lambda into: copy_fitted(fitted, into), lineage=lineage, card=card
        )  # fmt: skip
        recalls = [recall for row in rows if (recall := recall_of(row)) is not None]
        known = {one.id: one for one in parts.store.versions.list()}
        publish.register(parts, version, trained_on=[*recalls, *records_of(rows)])
        if (
            version.id not in known or known[version.id].activated_at is None
        ):  # else it was switched to, and maybe back
            publish.activate(parts, version.id)
        self._tell(f"{self._task.value}: {version.id} serves now")

    def _lineage(self, state: State, run: TrainingRun, fitted: Fitted | None) -> dict[str, JsonValue]:
        spec = self._parts.serving.current().embedder.spec
        return {
            "base": spec.name, "base weights": spec.weights, "data": state.data, "rows": run.rows,
            "seed": self._settings.seed, "reward model": None if self._model is None else self._model.identity,
            "reward": str(self._settings.rewards.kind), "trained until": state.began,
            "fit": {} if fitted is None else {"passes": fitted.passes, "seconds": fitted.seconds,
                                             **cast("dict[str, JsonValue]", fitted.settings)},
        }  # fmt: skip

    def _ended(
        self,
        run: TrainingRun,
        verdict: Verdict,
        *,
        metrics: dict[str, dict[str, float]],
        guard_means: dict[str, float],
        fitted: Fitted | None,
    ) -> Outcome:
        """Note how it ended, write the report, and leave nothing of the run behind."""
        state = self._stage.state()
        assert state is not None  # it is removed at the end only
        ending: Ending = (
            "kept" if not verdict.promote else "dry-run" if self._settings.dry_run else "promoted"
        )
        version = state.version if ending == "promoted" else None
        run = run.model_copy(
            update={
                "tier": fitted.tier if fitted else run.tier, "outcome": ending, "version": version,
                "ended_at": self._parts.clock.now(), "report": {"reason": verdict.reason, "metrics": metrics},
            }
        )  # fmt: skip
        report = Report(
            run=run, verdict=verdict, metrics=metrics, guard=guard_means,
            curve=fitted.curve if fitted else (), lineage=self._lineage(state, run, fitted),
        )  # fmt: skip
        page = report.write(self._parts.folder / TRAINING / REPORTS)
        self._parts.store.runs.end(run)
        self._stage.end()
        for line in report.text().splitlines():
            self._tell(line)
        return Outcome(
            task=self._task,
            ending=ending,
            reason=verdict.reason,
            version=version,
            report=str(page),
            metrics=metrics,
        )
