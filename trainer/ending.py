"""How a task's retrain ends: a version published and switched to, or not, and the report that says why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal, cast

from pydantic import JsonValue

from memsdk.models import QueryVersion, Task, TrainingRun
from memsdk.parts import MODELS
from memsdk.trainer import publish
from memsdk.trainer.evaluate import KIND_OF
from memsdk.trainer.fitting import Fitted, copy_fitted
from memsdk.trainer.folders import model_card
from memsdk.trainer.gate import Verdict
from memsdk.trainer.report import Report
from memsdk.trainer.rewards.scoring import recall_of
from memsdk.trainer.rows import Row
from memsdk.trainer.staging import REPORTS, TRAINING, State, records_of

if TYPE_CHECKING:
    from memsdk.parts import Parts

Ending = Literal["promoted", "kept", "dry-run", "not due"]
Metrics = Mapping[str, Mapping[str, float]]
"""By system (candidate, current, recency, bm25) and metric: means over the held-out queries."""
HELD_OUT_FROM = "held_out_from"
"""In a version's metrics: when the first of the questions that it was judged on was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one task's retrain ended, and why; `report` is the path of its page, where there is one."""

    task: Task | None
    ending: Ending
    reason: str
    version: str | None = None
    report: str | None = None
    metrics: Metrics = field(default_factory=dict)


def figures_of(version: QueryVersion) -> Metrics:
    """What it was judged by."""
    each = {name: values for name, values in version.metrics.items() if isinstance(values, dict)}
    return cast("Metrics", each)


def publish_candidate(
    parts: Parts,
    state: State,
    run: TrainingRun,
    *,
    fitted: Fitted,
    share: float | None,
    metrics: Metrics,
    lineage: Mapping[str, JsonValue],
    rows: Sequence[Row],
    held_out_from: datetime,
) -> None:
    """Write the version's folder, register it, switch to it; killed between any two of these, the old one serves.

    Args:
        share: the dense leg's in fusion while it serves; None: the default.
        rows: all that it was trained and judged on; forgetting their records names the version.
        held_out_from: when the first of the questions that it was judged on was asked.
    """
    now = parts.serving.current()
    own = now.way(KIND_OF[run.task], user_id=run.user_id, amid=run.task is Task.CONVSEARCH)
    version = QueryVersion(
        id=state.version, tier=fitted.tier, task=run.task, user_id=run.user_id,
        fingerprint=now.spaces[run.task].fingerprint, dense_weight=share,
        parent=None if own.is_own else own.version,
        metrics={**cast("dict[str, JsonValue]", metrics), HELD_OUT_FROM: held_out_from.isoformat()},
        created_at=run.started_at,
    )  # fmt: skip
    card = model_card(
        f"{fitted.tier} query encoder for {run.task.value}",
        base=now.embedder.spec.name,
        facts={**lineage, "vectors it may search": version.fingerprint},
        metrics={
            f"{system} {name}": value for system, each in metrics.items() for name, value in each.items()
        },
    )
    publish.write_version(
        parts.folder / MODELS, version, build=lambda into: copy_fitted(fitted, into), lineage=lineage, card=card
    )  # fmt: skip
    recalls = [recall for row in rows if (recall := recall_of(row)) is not None]
    known = {one.id: one for one in parts.store.versions.list()}
    publish.register(parts, version, trained_on=[*recalls, *records_of(rows)])
    if version.id not in known or known[version.id].activated_at is None:
        publish.activate(parts, version.id)  # else it was switched to, and maybe back


def note_end(
    parts: Parts,
    run: TrainingRun,
    verdict: Verdict,
    *,
    ending: Ending,
    version: str | None,
    fitted: Fitted | None,
    metrics: Metrics,
    guard_means: Mapping[str, float],
    lineage: Mapping[str, JsonValue],
) -> tuple[Outcome, Report]:
    """Write the report and note in the store that the run is over."""
    told = {"reason": verdict.reason, "metrics": metrics}
    run = run.model_copy(
        update={
            "tier": fitted.tier if fitted else run.tier, "outcome": ending, "version": version,
            "ended_at": parts.clock.now(), "report": told,
        }
    )  # fmt: skip
    report = Report(
        run=run, verdict=verdict, metrics=metrics, guard=guard_means, curve=fitted.curve if fitted else (),
        lineage=lineage,
    )  # fmt: skip
    page = report.write(parts.folder / TRAINING / REPORTS)
    parts.store.runs.end(run)
    outcome = Outcome(
        task=run.task, ending=ending, reason=verdict.reason, version=version, report=str(page), metrics=metrics
    )  # fmt: skip
    return outcome, report
