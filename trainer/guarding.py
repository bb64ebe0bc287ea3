"""A candidate beside what serves now on every guard set: how far it may go, and with which share in fusion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import TYPE_CHECKING, cast
from uuid import UUID

from memsdk.models import QueryVersion, Task
from memsdk.parts import MODELS
from memsdk.ports import Embedder
from memsdk.trainer import guard
from memsdk.trainer.evaluate import KIND_OF, Asked, trial
from memsdk.trainer.fitting import Fitted, load_fitted, weakened
from memsdk.trainer.gate import EARLIER, SINCE_BASE, GateSettings, may_lose
from memsdk.trainer.staging import TRAINING, Stage

if TYPE_CHECKING:
    from memsdk.parts import Parts
    from memsdk.spaces import Serving

STRENGTHS = (1.0, 0.7, 0.5, 0.35, 0.25)
"""How far a candidate goes from what serves to itself; the guard chooses (LM-Cocktail's merge, arXiv 2311.13534)."""
Guards = dict[str, tuple[list[float], list[float]]]
"""By guard set: the nDCG@10 of each of its questions, with the candidate and with what serves now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """A candidate as far as the guard lets it go.

    Attributes:
        share: the dense leg's in fusion, at first that of what serves; None: the default.
    """

    fitted: Fitted
    embedder: Embedder
    share: float | None
    guards: Guards


class Guarding:
    """The guard sets of one task, asked once of what serves now and once of each candidate, as it would serve."""

    def __init__(
        self,
        parts: Parts,
        *,
        task: Task,
        user_id: str | None,
        serving: Serving,
        clozes: Sequence[Asked],
        earlier: Sequence[Asked],
        current: QueryVersion | None,
    ) -> None:
        """Ask what serves now.

        Args:
            current: the version that serves; None where the base does.
            clozes: the store's own records, asked for by a part of them.
            earlier: the questions that the version in use was judged on.
        """
        self._parts, self._task, self._user_id = parts, task, user_id
        self._serving, self._clozes, self._earlier = serving, clozes, earlier
        self._current = current
        way = serving.way(KIND_OF[task], user_id=user_id, amid=task is Task.CONVSEARCH)
        self._theirs = self._figures(serving, way.embedder)
        base = {} if current is None else self._figures(replace(serving, versions=None), serving.embedder)
        self._base = {name: figures for name, figures in base.items() if name != EARLIER}

    def beside(self, candidate: Embedder, *, share: float | None) -> Guards:
        """The candidate's figures and those of what serves now, and of the base where that is another."""
        version = trial(
            "guarded", task=self._task, serving=self._serving, dense_weight=share, user_id=self._user_id
        )
        ours = self._figures(self._serving.trying(version, candidate), candidate)
        guards = {name: (ours[name], theirs) for name, theirs in self._theirs.items()}
        return guards | {name + SINCE_BASE: (ours[name], theirs) for name, theirs in self._base.items()}

    def strongest(self, fitted: Fitted, *, base: Embedder, settings: GateSettings) -> Guarded:
        """The candidate as far as the guard allows; where it allows none, that which loses least too much.

        The guard compares with what serves, so the way begins there: at the version that serves, where it is of the same
        tier, else at the base. Weakened towards the base instead, a second version would give up what the first has gained.
        The guard then no longer judges what it chose, but the gate's other conditions still do, on other figures.
        """
        current = self._current
        is_alike = current is not None and current.tier == fitted.tier
        begin = self._parts.folder / MODELS / current.id if current is not None and is_alike else None
        share = None if current is None else current.dense_weight
        tried: list[Guarded] = []
        for strength in STRENGTHS:
            some = fitted if strength == 1 else weakened(fitted, base, strength=strength, serving=begin)
            candidate = load_fitted(some, self._serving.embedder)
            guards = self.beside(candidate, share=share)
            tried.append(Guarded(fitted=some, embedder=candidate, share=share, guards=guards))
            if allowed(guards, settings=settings):
                return tried[-1]
        return min(tried, key=lambda one: too_much(one.guards, settings=settings))

    def _figures(self, serving: Serving, queries: Embedder) -> dict[str, list[float]]:
        return {
            "shipped": guard.shipped_quality(queries, task=self._task, base=self._serving.embedder),
            "own texts": guard.cloze_quality(self._parts, self._clozes, serving=serving),
            EARLIER: guard.cloze_quality(self._parts, self._earlier, serving=serving),
        }


def allowed(guards: Guards, *, settings: GateSettings) -> bool:
    """Whether no guard set loses more than it may."""
    return too_much(guards, settings=settings) <= 0


def too_much(guards: Guards, *, settings: GateSettings) -> float:
    """By how much the worst guard set loses more than it may; 0 or less where none does."""
    losses = [
        mean(theirs) - mean(ours) - may_lose(name, settings)
        for name, (ours, theirs) in guards.items()
        if ours
    ]
    return max(losses, default=0.0)


def frozen_clozes(parts: Parts, *, name: str, task: Task, user_id: str | None, seed: int) -> list[Asked]:
    """The store's own part of the guard, drawn at the first run of that name; only ids and places are kept."""
    folder = parts.folder / TRAINING / "guard"
    folder.mkdir(parents=True, exist_ok=True)
    kept, file = Stage(folder), f"{name}.json"
    stored = kept.load(file)
    if stored is None:
        drawn = guard.draw_clozes(parts, task=task, user_id=user_id, seed=seed)
        stored = {"clozes": [[str(one.record), one.first, one.last] for one in drawn]}
        kept.save(file, stored)
    entries = cast("list[tuple[str, int, int]]", stored["clozes"])
    clozes = [guard.Cloze(record=UUID(record), first=first, last=last) for record, first, last in entries]
    return guard.questions(parts, clozes)
