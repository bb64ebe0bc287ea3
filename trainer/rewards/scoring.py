"""Rows in, rows with rewards out: the cheap question first, the sampled outputs only where candidates differ.

1. The desired output is scored under each candidate, and without any. Where the candidates make no difference, or
   none helps over having none, nothing can be learnt from the model, and no more is asked.
2. For a rank reward, outputs are sampled once a query, those that repeat each other or the desired one are dropped,
   and all are scored under each candidate.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from uuid import UUID

from memsdk.models import Task
from memsdk.ports import Origin, RewardCache
from memsdk.trainer.rewards.asking import Asker, Judged, Question, asker_of
from memsdk.trainer.rewards.caching import MemoryCache, Tally
from memsdk.trainer.rewards.formulas import RewardKind, place, rates, reward, saturated, spread, tied_pairs
from memsdk.trainer.rewards.port import RewardModel, Sampling
from memsdk.trainer.rewards.templates import TEMPLATES, Template
from memsdk.trainer.rows import Candidate, Row

BATCH_ROWS = 16

Progress = Callable[[int, int], None]
"""Told how many rows are done, of how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardSettings:
    """What is asked of the model, and what is made of its answers.

    Attributes:
        kind: which reward; see `formulas`.
        samples: N, how many outputs are drawn for a query.
        samples_with_candidate: how many of them with one of the candidates in the prompt. A small model without any
            says mostly what nobody would; 0 is the paper's way.
        temperature: of the smooth rank, in nats a token.
        min_spread: rows whose candidates move the desired output's mean log-probability by less are left unscored.
        drop_unhelped: drop rows where no candidate does better than none, unless one is known to be right.
        max_key_tokens: candidates are cut after so many; 512 as in the paper.
        max_query_tokens: of a longer query the end is kept.
        max_output_tokens: desired outputs are cut after so many.
    """

    kind: RewardKind = RewardKind.GAIN
    samples: int = 8
    samples_with_candidate: int = 4
    temperature: float = 0.5
    sampling: Sampling = field(default_factory=Sampling)
    seed: int = 0
    min_spread: float = 0.02
    drop_unhelped: bool = True
    max_key_tokens: int = 512
    max_query_tokens: int = 512
    max_output_tokens: int = 128
    templates: Mapping[Task, Template] = field(default_factory=lambda: TEMPLATES)

    def __post_init__(self) -> None:
        """Refuse what can't be computed."""
        from memsdk.errors import InvalidInputError

        if not 0 <= self.samples_with_candidate <= self.samples:
            raise InvalidInputError(
                f"samples_with_candidate is {self.samples_with_candidate}, expected 0 to samples={self.samples}"
            )
        if self.temperature <= 0 or self.sampling.temperature <= 0:
            raise InvalidInputError(
                "temperatures are above 0; a small one, such as 0.01, comes near a hard rank"
            )
        if self.kind is not RewardKind.LIKELIHOOD and self.samples < 1:
            raise InvalidInputError("a rank needs samples=1 or more; or take the reward `likelihood`")


@dataclass(slots=True, kw_only=True)
class Report:
    """What came of a scoring. The rates show where the reward says nothing: see `formulas`."""

    rows: int = 0
    scored: int = 0
    without_output: int = 0  # only labels are known of them
    alone: int = 0  # one candidate: nothing to compare
    flat: int = 0  # the candidates make no difference
    unhelped: int = 0  # no candidate does better than none
    dropped: int = 0
    without_samples: int = 0  # all samples repeated the desired output: no rank, no reward
    not_reached: int = 0  # before the deadline
    tied: int = 0
    pairs: int = 0
    saturated: int = 0
    places: int = 0
    tally: Tally = field(default_factory=Tally)

    @property
    def tie_rate(self) -> float:
        """Of pairs of candidates, how many have the same place among the samples."""
        return rates({"tied": self.tied, "pairs": self.pairs, "saturated": 0, "places": 0})["tie_rate"]

    @property
    def saturation_rate(self) -> float:
        """Of candidates, how many put the desired output first or last."""
        counts = {"tied": 0, "pairs": 0, "saturated": self.saturated, "places": self.places}
        return rates(counts)["saturation_rate"]

    def __str__(self) -> str:
        """One line for people."""
        reasons = {
            "no output": self.without_output, "one candidate": self.alone, "no difference": self.flat,
            "no help": self.unhelped, "no sample": self.without_samples, "not reached in time": self.not_reached,
        }  # fmt: skip
        left = ", ".join(f"{count} with {name}" for name, count in reasons.items() if count)
        ranks = f"; ties {self.tie_rate:.0%}, saturated {self.saturation_rate:.0%}" if self.places else ""
        tally = self.tally
        return (
            f"{self.scored} of {self.rows} rows have rewards{f' ({left})' if left else ''}{ranks};"
            f" {tally.scored + tally.sampled} outputs computed, {tally.known_scores + tally.known_samples} known"
        )


@dataclass(frozen=True, slots=True)
class Scored:
    """The rows with their rewards, and what came of it."""

    rows: list[Row]
    report: Report


def score_rows(
    rows: Sequence[Row],
    model: RewardModel,
    cache: RewardCache | None = None,
    settings: RewardSettings | None = None,
    progress: Progress | None = None,
) -> list[Row]:
    """The rows with the rewards that the model gives their candidates; see `score_with_report`."""
    return score_with_report(rows, model, cache=cache, settings=settings, progress=progress).rows


def score_with_report(
    rows: Sequence[Row],
    model: RewardModel,
    *,
    cache: RewardCache | None = None,
    settings: RewardSettings | None = None,
    progress: Progress | None = None,
    deadline: float | None = None,
) -> Scored:
    """Fill in the candidates' rewards.

    Rows that the model can say nothing about keep `reward=None`, as labels may still be known of them; those that no
    candidate helped and no label is known of are dropped. Work is kept in the cache a few rows at a time: whatever
    ends it, the next run goes on from there.

    Args:
        cache: the store's, `memory.rewards`; None forgets what was computed.
        deadline: by `time.monotonic`. Rows that are not reached by then are left out. The others are a sample, in
            batches; the next run begins where this one ended.

    Raises:
        RewardModelError: the model fails, or its server does.
        InvalidInputError: a row does not fit the model's window.
    """
    settings = settings or RewardSettings()
    report = Report(rows=len(rows))
    asker = asker_of(model, cache or MemoryCache(), report.tally)
    found: list[Row] = []
    done = 0
    for batch in _batches(rows):
        if deadline is not None and time.monotonic() > deadline:
            report.not_reached = len(rows) - done
            break
        found += _score_batch(batch, asker, settings, report)
        done += len(batch)
        if progress is not None:
            progress(done, len(rows))
    places = {row.id: place for place, row in enumerate(rows)}
    found.sort(key=lambda row: places[row.id])
    report.scored = sum(any(each.reward is not None for each in row.candidates) for row in found)
    return Scored(found, report)


def _batches(rows: Sequence[Row]) -> list[Sequence[Row]]:
    """Rows about the same candidates together, as a model computes what their prompts share once; these in random order."""
    order = sorted(rows, key=lambda row: [_candidate_key(one) for one in row.candidates])
    batches = [order[start : start + BATCH_ROWS] for start in range(0, len(order), BATCH_ROWS)]
    return sorted(batches, key=lambda batch: sha256(batch[0].id.encode("utf-8", "surrogatepass")).digest())


def _candidate_key(candidate: Candidate) -> str:
    """Near for records that were written one after the other: their ids begin with the time."""
    return candidate.text if candidate.record is None else candidate.record.hex


def recall_of(row: Row) -> UUID | None:
    """The recall that a row was collected from; its id begins with that recall's."""
    try:
        return UUID(row.id.partition("/")[0])
    except ValueError:
        return None


def _score_batch(
    batch: Sequence[Row], asker: Asker, settings: RewardSettings, report: Report
) -> Iterator[Row]:
    asked = [_question(row, asker, settings) for row in batch if _can_score(row, report)]
    judged = dict(zip((one.id for one in asked), asker.desired(asked), strict=True))
    worth: list[Question] = []
    left: dict[str, str] = {}
    for question in asked:
        reason = _worthless(judged[question.id], settings)
        if reason is None:
            worth.append(question)
        else:
            left[question.id] = reason
    if settings.kind is not RewardKind.LIKELIHOOD:
        drawn = [replace(one, samples=_draw(one, asker, settings)) for one in worth]
        report.without_samples += sum(not one.samples for one in drawn)
        worth = [one for one in drawn if one.samples]
        judged.update(zip((one.id for one in worth), asker.all_outputs(worth), strict=True))
    rewarded = {one.id: _rewards(judged[one.id], settings, report) for one in worth}
    for row in batch:
        reason = left.get(row.id)
        report.flat += reason == "flat"
        report.unhelped += reason == "unhelped"
        if (
            reason == "unhelped"
            and settings.drop_unhelped
            and not any(one.positive for one in row.candidates)
        ):
            report.dropped += 1
        else:
            yield replace(row, candidates=_with(row.candidates, rewarded.get(row.id)))


def _can_score(row: Row, report: Report) -> bool:
    report.without_output += not row.output
    report.alone += bool(row.output) and len(row.candidates) < 2
    return bool(row.output) and len(row.candidates) > 1


def _question(row: Row, asker: Asker, settings: RewardSettings) -> Question:
    """The row as the model is shown it."""
    assert row.output is not None
    template = settings.templates[row.task]
    query = asker.cut(row.query, most=settings.max_query_tokens, from_end=True)
    keys = [asker.cut(one.text, most=settings.max_key_tokens) for one in row.candidates]
    recall = recall_of(row)
    return Question(
        id=row.id,
        prompts=tuple(template.prompt(query, key) for key in keys),
        bare=template.prompt(query, None),
        desired=template.answer(asker.cut(row.output.strip(), most=settings.max_output_tokens)),
        lead=template.lead,
        origins=tuple(
            Origin(record=one.record, recall=recall, user_id=row.user_id) for one in row.candidates
        ),
        bare_origin=Origin(recall=recall, user_id=row.user_id),
    )


def _worthless(judged: Judged | None, settings: RewardSettings) -> str | None:
    """Why no more is asked about a row; None where the candidates differ and one helps."""
    if judged is None:
        return None  # a model that only ranks can't tell yet
    if spread(judged.desired) < settings.min_spread:
        return "flat"
    return "unhelped" if max(judged.desired) <= judged.bare_desired else None


def _draw(question: Question, asker: Asker, settings: RewardSettings) -> tuple[str, ...]:
    """The samples to rank among: without a candidate, and with one that the seed chooses."""
    with_one = settings.samples_with_candidate
    drawn: list[str] = []
    if settings.samples > with_one:
        drawn += asker.sample(
            question.bare, count=settings.samples - with_one, settings=settings, origin=question.bare_origin
        )
    if with_one:
        chosen = sha256(f"{settings.seed} {question.bare}".encode("utf-8", "surrogatepass")).digest()
        at = int.from_bytes(chosen[:8], "little") % len(question.prompts)
        drawn += asker.sample(
            question.prompts[at], count=with_one, settings=settings, origin=question.origins[at]
        )
    unique = {_plain(text): text for text in reversed(drawn) if _plain(text)}
    unique.pop(_plain(question.desired), None)
    return tuple(f"{question.lead}{text}" for text in reversed(unique.values()))


def _plain(text: str) -> str:
    """Equal for outputs that say the same in other spaces, cases or with another end."""
    return " ".join(text.split()).casefold().rstrip(".!? ")


def _rewards(judged: Judged | None, settings: RewardSettings, report: Report) -> list[float]:
    assert judged is not None
    if settings.kind is not RewardKind.LIKELIHOOD:
        places = [place(one, others) for one, others in zip(judged.desired, judged.sampled, strict=True)]
        tied, pairs = tied_pairs(places)
        report.tied, report.pairs = report.tied + tied, report.pairs + pairs
        report.saturated += saturated(places, samples=len(judged.bare_sampled))
        report.places += len(places)
    without = place(judged.bare_desired, judged.bare_sampled)
    return [
        reward(settings.kind, one, others, without=without, temperature=settings.temperature)
        for one, others in zip(judged.desired, judged.sampled, strict=True)
    ]


def _with(candidates: tuple[Candidate, ...], rewards: list[float] | None) -> tuple[Candidate, ...]:
    if rewards is None:
        return tuple(replace(one, reward=None) for one in candidates)
    return tuple(replace(one, reward=value) for one, value in zip(candidates, rewards, strict=True))
