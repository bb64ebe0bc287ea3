"""The questions that a row asks of a model, answered through the cache by whichever sort of model there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from memsdk.ports import Origin, RewardCache
from memsdk.trainer.rewards.caching import Asked, CachedRanker, CachedScorer, Tally
from memsdk.trainer.rewards.port import Job, Ranker, RewardModel, Scorer, ranks

if TYPE_CHECKING:
    from memsdk.trainer.rewards.scoring import RewardSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A row as the model is shown it."""

    id: str
    prompts: tuple[str, ...]  # one a candidate
    bare: str  # the prompt without a candidate
    desired: str  # the desired output, as it follows a prompt
    lead: str  # what an output begins with
    origins: tuple[Origin, ...]  # one a candidate
    bare_origin: Origin
    samples: tuple[str, ...] = ()  # as they follow a prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Mean log-probabilities a token: of the desired output and the samples, by candidate and without any."""

    desired: tuple[float, ...]  # [K]
    sampled: tuple[tuple[float, ...], ...]  # [K][N]
    bare_desired: float
    bare_sampled: tuple[float, ...]  # [N]


class Asker(Protocol):
    """What `scoring` needs of a model."""

    def cut(self, text: str, *, most: int, from_end: bool = False) -> str:
        """The first or last tokens of a text."""

    def desired(self, questions: Sequence[Question]) -> list[Judged | None]:
        """The cheap pass: the desired outputs alone; None where the model can't judge one output by itself."""

    def all_outputs(self, questions: Sequence[Question]) -> list[Judged]:
        """The desired outputs and the samples."""

    def sample(self, prompt: str, *, count: int, settings: RewardSettings, origin: Origin) -> tuple[str, ...]:
        """Draw outputs."""


def asker_of(model: RewardModel, cache: RewardCache, tally: Tally) -> Asker:
    """The one for this model."""
    if ranks(model):
        return _RankAsker(model, cache, tally)
    return _ScoreAsker(model, cache, tally)  # type: ignore[arg-type]  # TypeGuard does not narrow the other branch


class _ScoreAsker:
    """Asks a model that gives log-probabilities. All rows' prompts go to it at once, so that it can batch them."""

    def __init__(self, model: Scorer, cache: RewardCache, tally: Tally) -> None:
        self._model = model
        self._cached = CachedScorer(model, cache, tally)

    def cut(self, text: str, *, most: int, from_end: bool = False) -> str:
        return self._model.cut(text, most=most, from_end=from_end)

    def desired(self, questions: Sequence[Question]) -> list[Judged | None]:
        return list(self._judge(questions, with_samples=False))

    def all_outputs(self, questions: Sequence[Question]) -> list[Judged]:
        return self._judge(questions, with_samples=True)

    def sample(self, prompt: str, *, count: int, settings: RewardSettings, origin: Origin) -> tuple[str, ...]:
        return self._cached.sample(
            self._model.prompt_ids(prompt),
            count=count,
            sampling=settings.sampling,
            seed=settings.seed,
            origin=origin,
        )

    def _judge(self, questions: Sequence[Question], *, with_samples: bool) -> list[Judged]:
        asked: list[Asked] = []
        for question in questions:
            texts = (question.desired, *(question.samples if with_samples else ()))
            outputs = tuple(self._model.output_ids(text) for text in texts)
            for prompt, origin in zip(
                (*question.prompts, question.bare), (*question.origins, question.bare_origin), strict=True
            ):
                asked.append(Asked(Job(self._model.prompt_ids(prompt), outputs), origin))
        values = iter(self._cached.score(asked))
        judged = []
        for question in questions:
            rows = [tuple(value.mean for value in next(values)) for _ in question.prompts]
            bare = tuple(value.mean for value in next(values))
            judged.append(_judged(rows, bare))
        return judged


class _RankAsker:
    """Asks a model that only ranks: everything at once, as it compares outputs with each other."""

    def __init__(self, model: Ranker, cache: RewardCache, tally: Tally) -> None:
        self._model = model
        self._cached = CachedRanker(model, cache, tally)

    def cut(self, text: str, *, most: int, from_end: bool = False) -> str:
        return self._model.cut(text, most=most, from_end=from_end)

    def desired(self, questions: Sequence[Question]) -> list[Judged | None]:
        return [None for _ in questions]

    def all_outputs(self, questions: Sequence[Question]) -> list[Judged]:
        return [self._judge(question) for question in questions]

    def sample(self, prompt: str, *, count: int, settings: RewardSettings, origin: Origin) -> tuple[str, ...]:
        return self._cached.sample(
            prompt, count=count, sampling=settings.sampling, seed=settings.seed, origin=origin
        )

    def _judge(self, question: Question) -> Judged:
        outputs = (question.desired, *question.samples)
        rows = [
            tuple(value.total for value in self._cached.rank(prompt, outputs, origin=origin))
            for prompt, origin in zip(question.prompts, question.origins, strict=True)
        ]
        bare = self._cached.rank(question.bare, outputs, origin=question.bare_origin)
        return _judged(rows, tuple(value.total for value in bare))


def _judged(rows: Sequence[tuple[float, ...]], bare: tuple[float, ...]) -> Judged:
    """The first of each is the desired output's."""
    return Judged(
        desired=tuple(row[0] for row in rows),
        sampled=tuple(row[1:] for row in rows),
        bare_desired=bare[0],
        bare_sampled=bare[1:],
    )
