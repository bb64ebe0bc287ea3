"""What speaks for a candidate beside the legs' scores: who said it, amid which others, how much it says, when. Pure.

Every signal lies in 0..1 for every candidate, is weighed, and counts by how far it is above the mean of the candidates of
its kind. So a kind with signals gains nothing on average over a kind without. The figures behind the weights are in
docs/ranking.md.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from memsdk.models import Kind, Traits
from memsdk.timewords import nearness, spans

POOL = 30
"""How many candidates are looked at, where no kind says less."""
FULL_WORDS = 30
"""A turn of so many words has all the substance there is to have."""
AFTER_DAYS = 7.0
"""What was said so long after the time that a query names counts half: people tell of what was."""
RECENCY_SHARE = 0.5
"""How much of its score a record of any age can lose to recency."""
_WORD = re.compile(r"\w+")
_QUESTION = re.compile(r"[^.!?\n]+\?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """The weight of each signal for one kind; 0 leaves it out.

    Attributes:
        speaker: the query names who said it, and not everybody.
        session: the best score within its session.
        substance: its words, up to `FULL_WORDS`; people's short turns agree, greet and thank.
        statement: the share of the text that asks nothing.
        time: the query names a time, and it was said then or soon after.
        task: how many of the others are of its task: what an input is an instance of, its neighbours tell best.
        answer: how many of the others have its output, of examples: a vote of the nearest neighbours.
        pool: how many candidates are looked at; no weight.

    Substance and statement count among people only. What a user asks an assistant shows what the user was about, and an
    assistant's answer is longer than anything that was told to it.
    """

    speaker: float = 0.0
    session: float = 0.0
    substance: float = 0.0
    statement: float = 0.0
    time: float = 0.0
    task: float = 0.0
    answer: float = 0.0
    pool: int = POOL


DEFAULT_SIGNALS: Mapping[Kind, Signals] = {
    Kind.MEMORY: Signals(speaker=0.05, session=0.5, substance=0.15, statement=0.25, time=0.5, pool=24),
    Kind.EXAMPLE: Signals(task=0.3, answer=0.2),
}
"""By kind; a kind that is not here has none. Without them LoCoMo's R@10 / nDCG@10 are .800 / .609, icl/mixed's nDCG@10 .262
and not .393, icl/intents' hit@1 .846 and not .889 (docs/ranking.md). With 40, 30 and 24 memories looked at, LoCoMo's R@10 is .828,
.827 and .826; icl/mixed's nDCG@10 is .398 with 30 examples and .381 with 24."""


def contributions(
    scores: Sequence[float], traits: Sequence[Traits], *, signals: Signals, query: str, now: datetime
) -> list[dict[str, float]]:
    """What each signal adds to each candidate's score, by the signal's name. Each sums to 0 over the candidates.

    Args:
        scores: of the candidates of one kind, 0 to 1.
        traits: theirs.
        now: what "yesterday" in the query counts from.
    """
    among_people = not any(trait.role == "assistant" for trait in traits)
    values: dict[str, tuple[float, Callable[[], list[float]]]] = {
        "session": (signals.session, lambda: _session(scores, traits)),
        "substance": (signals.substance * among_people, lambda: _substance(traits)),
        "speaker": (signals.speaker, lambda: _speaker(query, traits)),
        "statement": (signals.statement * among_people, lambda: _statement(traits)),
        "time": (signals.time, lambda: _time(query, traits, now=now)),
        "task": (signals.task, lambda: _share([trait.name for trait in traits])),
        "answer": (signals.answer, lambda: _share([trait.answer for trait in traits])),
    }
    added: list[dict[str, float]] = [{} for _ in traits]
    for name, (weight, measured) in values.items():
        signal = measured() if weight else []
        if signal:
            mean = sum(signal) / len(signal)
            for place, value in enumerate(signal):
                added[place][name] = weight * (value - mean)
    return added


def recency(score: float, *, age: timedelta, half_life: timedelta) -> float:
    """What a record of that age loses: half of what it can lose in each half-life, never more than `RECENCY_SHARE`."""
    kept = math.exp2(-(max(age, timedelta()) / half_life))
    return -score * RECENCY_SHARE * (1.0 - kept)


def _session(scores: Sequence[float], traits: Sequence[Traits]) -> list[float]:
    best: dict[str, float] = {}
    for score, trait in zip(scores, traits, strict=True):
        if trait.session_id is not None:
            best[trait.session_id] = max(score, best.get(trait.session_id, 0.0))
    return [
        score if trait.session_id is None else best[trait.session_id]
        for score, trait in zip(scores, traits, strict=True)
    ]


def _speaker(query: str, traits: Sequence[Traits]) -> list[float]:
    """1 for what the named said; nothing where nobody is named, or everybody who spoke."""
    names = {trait.name for trait in traits if trait.name}
    said = set(_WORD.findall(query.casefold()))
    named = {name for name in names if (words := _WORD.findall(name.casefold())) and words[0] in said}
    return [float(trait.name in named) for trait in traits] if named and named != names else []


def _share(values: Sequence[str | None]) -> list[float]:
    """How many have the same value, over the most that any value has."""
    counts = Counter(value for value in values if value is not None)
    most = max(counts.values(), default=1)
    return [0.0 if value is None else counts[value] / most for value in values]


def _substance(traits: Sequence[Traits]) -> list[float]:
    return [min(1.0, len(trait.opening.split()) / FULL_WORDS) for trait in traits]


def _statement(traits: Sequence[Traits]) -> list[float]:
    return [1.0 - _asked(trait.opening) for trait in traits]


def _asked(text: str) -> float:
    return sum(map(len, _QUESTION.findall(text))) / len(text) if "?" in text else 0.0


def _time(query: str, traits: Sequence[Traits], *, now: datetime) -> list[float]:
    meant = spans(query, now=now)
    if not meant:
        return []
    return [
        max(nearness(trait.occurred_at, span, after_days=AFTER_DAYS) for span in meant) for trait in traits
    ]
