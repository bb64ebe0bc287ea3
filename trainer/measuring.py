"""What the command line asks of the trainer beside a retrain: recall now, two versions compared, a folder published."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from uuid_utils.compat import uuid7

from memsdk.embedding.loading import load_embedder
from memsdk.errors import InvalidInputError, QueryVersionError
from memsdk.models import QueryVersion, Task
from memsdk.parts import MODELS
from memsdk.spaces import Serving
from memsdk.trainer import publish
from memsdk.trainer.collecting import collect
from memsdk.trainer.evaluate import (
    KIND_OF,
    Asked,
    as_now,
    ask,
    askable,
    figures,
    latest,
    lexical_only,
    serving_task,
)
from memsdk.trainer.fitting import copy_tree
from memsdk.trainer.folders import model_card
from memsdk.trainer.metrics import paired_gain
from memsdk.trainer.rows import Row

if TYPE_CHECKING:
    from memsdk import Memory
    from memsdk.parts import Parts

BASE = "base"
"""In a comparison: the store's own encoder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The means of several systems over the same queries; for two systems, the paired gain of the first."""

    queries: int
    systems: dict[str, dict[str, float]]
    gain: dict[str, float] | None = None
    told: str = ""


def clean_task(task: str) -> Task:
    """The task of that name. Raises InvalidInputError."""
    try:
        return Task(task)
    except ValueError:
        raise InvalidInputError(f"there is no task {task!r:.40}; there are {', '.join(Task)}") from None


def measure(memory: Memory, *, user_id: str | None, held_out: float) -> dict[str, Measurement]:
    """Recall by task on the newest recalls with feedback: what serves now, BM25, recency."""
    parts = memory._parts  # noqa: SLF001 -- the trainer is a room of Memory
    rows = collect(memory, users=None if user_id is None else [user_id])
    serving = as_now(parts.serving.current())
    found: dict[str, Measurement] = {}
    for task in sorted({serving_task(row.task, serving) for row in rows}):
        questions = _newest([row for row in rows if serving_task(row.task, serving) is task], share=held_out)
        if questions:
            lists = {
                "current": ask(parts, questions, serving=serving),
                "bm25": ask(parts, questions, serving=lexical_only(serving, task)),
                "recency": latest(parts, questions),
            }
            means = {name: figures(each, questions).means() for name, each in lists.items()}
            found[task.value] = Measurement(queries=len(questions), systems=means)
    return found


def compare(memory: Memory, first: str, second: str) -> Measurement:
    """Both versions (or `base`) on all recalls with feedback of their task; the gain is the first's over the second.

    Raises:
        InvalidInputError: they are of two tasks, or both are `base`, or there is nothing to ask.
    """
    parts = memory._parts  # noqa: SLF001 -- the trainer is a room of Memory
    versions = [None if name == BASE else publish.find(parts, name) for name in (first, second)]
    known = [version for version in versions if version is not None]
    tasks = {version.task for version in known}
    if len(tasks) != 1:
        raise InvalidInputError("two versions of one task are compared, or one with `base`")
    (task,) = tasks
    users = {version.user_id for version in known if version.user_id is not None}
    rows = collect(memory, users=sorted(users) or None)
    serving = as_now(parts.serving.current())
    questions = askable(row for row in rows if serving_task(row.task, serving) is task)
    if not questions:
        raise InvalidInputError(f"no recall of {task.value} has feedback that says which records were right")
    each = [
        figures(ask(parts, questions, serving=_serving(parts, serving, version)), questions)
        for version in versions
    ]
    gain = paired_gain(each[0].ndcg_10, each[1].ndcg_10)
    names = [BASE if version is None else version.id for version in versions]
    told = f"{100 * gain.mean:+.1f} points of nDCG@10 [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"
    return Measurement(
        queries=len(questions),
        systems={name: values.means() for name, values in zip(names, each, strict=True)},
        gain={"mean": gain.mean, "low": gain.low, "high": gain.high},
        told=f"{names[0]} over {names[1]}: {told} over {len(questions)} queries",
    )


def publish_folder(
    memory: Memory, folder: Path, *, task: str, user_id: str | None, activate: bool
) -> QueryVersion:
    """A sentence-transformers folder as a version of the store, for queries beside its stored vectors.

    Raises:
        QueryVersionError: its vectors have another length than the stored ones.
        EmbedderError: it can't be loaded.
    """
    parts = memory._parts  # noqa: SLF001 -- the trainer is a room of Memory
    wanted, serving = clean_task(task), parts.serving.current()
    loaded = load_embedder(folder, prefixes=serving.embedder.spec.prefixes)
    if loaded.spec.dims != serving.embedder.spec.dims:
        raise QueryVersionError(
            f"{folder} gives {loaded.spec.dims} numbers, and the stored vectors have {serving.embedder.spec.dims};"
            f" take it as the store's embedder: `memsdk reindex --embedder {folder}`"
        )
    now = parts.clock.now()
    own = serving.way(KIND_OF[wanted], user_id=user_id, amid=wanted is Task.CONVSEARCH)
    version = QueryVersion(
        id=f"{now:%Y%m%d-%H%M%S}-{wanted.value}-{uuid7().hex[-6:]}", tier="t1", task=wanted, user_id=user_id,
        fingerprint=serving.spaces[wanted].fingerprint, parent=None if own.is_own else own.version, created_at=now,
    )  # fmt: skip
    card = model_card(
        f"query encoder for {wanted.value}", base=serving.embedder.spec.name, facts={"published from": folder.name},
        metrics={},
    )  # fmt: skip
    publish.write_version(
        parts.folder / MODELS, version, build=lambda into: copy_tree(folder, into), card=card,
        lineage={"published from": folder.name, "weights": loaded.spec.weights},
    )  # fmt: skip
    publish.register(parts, version, trained_on=[])
    return publish.activate(parts, version.id) if activate else version


def _newest(rows: list[Row], *, share: float) -> list[Asked]:
    questions = askable(sorted(rows, key=lambda row: row.at.timestamp() if row.at else 0.0))
    return questions[len(questions) - max(1, round(share * len(questions))) :] if questions else []


def _serving(parts: Parts, serving: Serving, version: QueryVersion | None) -> Serving:
    """As if that version served, whatever state it is in; for None, as if no version did."""
    if version is None:
        return replace(serving, versions=None)
    return serving.trying(version, parts.serving.load_version(version, serving.embedder))
