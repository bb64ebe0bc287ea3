"""May this version serve? A verdict from paired figures, with its reasons. Pure: figures in, verdict out.

Promotion needs a significant gain over what serves now on the newest recalls, no loss against recency and BM25, no loss
beyond a tolerance on a guard that the feedback can't have shaped, none for the users other than the busiest, and the word
of users who did not come just now.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from memsdk.trainer.metrics import Gain, paired_gain

EARLIER = "earlier feedback"
"""The guard set of the questions that the version in use was judged on."""
SINCE_BASE = " since the base"
"""Ends the name of a guard set that is compared with the store's own encoder, where a version serves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSettings:
    """What a version has to show. All figures are nDCG@10, 0 to 1."""

    confidence: float = (
        0.98  # of the interval whose lower end has to lie above 0: chance passes in one of a hundred runs
    )
    tolerance: float = 0.005  # what a guard set, and the other users, may lose: half a point; see `may_lose`
    least_gain: float = 0.005  # a switch has to be worth it
    least_changed: int = 7  # answers whose figure changed: with fewer no sign test could reject chance at 1 %
    least_queries: int = 20
    least_of_others: int = (
        10  # held-out queries of other users, or known ones, below which they can't be judged
    )
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The nDCG@10 of each held-out query, by system, in one order; and the guard's.

    Attributes:
        answers: what is right for each query; those with the same answers are one piece of evidence, and are drawn together.
        known: whether each query's user was heard before; see `planning.heard_before`.
    """

    candidate: Sequence[float]
    current: Sequence[float]
    baselines: Mapping[str, Sequence[float]]  # "recency", "bm25"
    users: Sequence[str | None]
    answers: Sequence[Hashable]
    known: Sequence[bool]
    guard_candidate: Mapping[str, Sequence[float]]  # by guard set
    guard_current: Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One condition: what was asked for, what was found, and whether that is enough."""

    name: str
    passed: bool
    reason: str
    gain: Gain | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether to promote, and every condition with its reason."""

    checks: tuple[Check, ...]

    @property
    def promote(self) -> bool:
        """True where every condition holds."""
        return all(check.passed for check in self.checks)

    @property
    def reason(self) -> str:
        """In a line: what was gained, or the first condition that failed."""
        failed = [check for check in self.checks if not check.passed]
        return failed[0].reason if failed else self.checks[:2][-1].reason


def judge(measured: Measured, *, settings: GateSettings) -> Verdict:
    """Hold the figures against every condition; all are looked at, so that the report is whole."""
    count = len(measured.candidate)
    if count < settings.least_queries:
        few = f"{count} held-out queries with known answers; at least {settings.least_queries} are needed to judge"
        return Verdict(checks=(Check(name="queries", passed=False, reason=few),))
    checks = [Check(name="queries", passed=True, reason=f"{count} held-out queries with known answers")]
    checks.append(_better(measured, settings))
    checks += [_no_worse_than(name, measured, settings) for name in measured.baselines]
    checks += [_guarded(name, measured, settings) for name in measured.guard_candidate]
    checks += [_others(measured, settings), _heard(measured, settings)]
    return Verdict(checks=tuple(checks))


def may_lose(guard: str, settings: GateSettings) -> float:
    """How much the mean nDCG@10 of a guard set may fall.

    The earlier questions may lose nothing: a candidate has learnt from them again, so that a loss on them means that
    later feedback says otherwise. One memory for all can't serve both sides; versions of users' own can. All versions
    together may lose twice as much as one: half a point a night would add up.
    """
    if guard == EARLIER:
        return 0.0
    return 2 * settings.tolerance if guard.endswith(SINCE_BASE) else settings.tolerance


def _better(measured: Measured, settings: GateSettings) -> Check:
    """Queries with the same answers stand or fall together: one user's hundred questions for one record are one case."""
    gain = paired_gain(
        measured.candidate, measured.current, clusters=measured.answers, confidence=settings.confidence,
        seed=settings.seed,
    )  # fmt: skip
    changed = len(
        {
            answers
            for ours, theirs, answers in zip(
                measured.candidate, measured.current, measured.answers, strict=True
            )
            if ours != theirs
        }
    )
    passed = gain.low > 0 and gain.mean >= settings.least_gain and changed >= settings.least_changed
    what = "a gain" if passed else "no significant gain"
    several = len(set(measured.answers))
    reason = f"{what} over what serves now: {_told(gain)}; of {several} different answers {changed} changed"
    return Check(name="better than the current version", passed=passed, reason=reason, gain=gain)


def _no_worse_than(name: str, measured: Measured, settings: GateSettings) -> Check:
    gain = paired_gain(
        measured.candidate, measured.baselines[name], confidence=settings.confidence, seed=settings.seed
    )
    passed = gain.mean >= 0
    reason = f"{'not worse' if passed else 'worse'} than {name}: {_told(gain)}"
    return Check(name=f"not worse than {name}", passed=passed, reason=reason, gain=gain)


def _guarded(name: str, measured: Measured, settings: GateSettings) -> Check:
    ours, theirs = measured.guard_candidate[name], measured.guard_current[name]
    if not ours:
        return Check(name=f"guard: {name}", passed=True, reason=f"nothing in the guard set {name!r}")
    gain = paired_gain(ours, theirs, confidence=settings.confidence, seed=settings.seed)
    passed = gain.mean >= -may_lose(name, settings)
    limit = f"at most {100 * may_lose(name, settings):.1f} points may be lost"
    reason = f"the guard set {name!r} {'holds' if passed else 'loses too much'}: {_told(gain)}; {limit}"
    return Check(name=f"guard: {name}", passed=passed, reason=reason, gain=gain)


def _others(measured: Measured, settings: GateSettings) -> Check:
    """One user who floods the log must not pay for a gain with the others' recall."""
    name = "the other users"
    busiest, _ = Counter(measured.users).most_common(1)[0]
    places = [place for place, user in enumerate(measured.users) if user != busiest]
    if not places:
        return Check(name=name, passed=True, reason="all held-out queries are of one user")
    if len(places) < settings.least_of_others:
        few = f"{len(places)} held-out queries of users other than the busiest; {settings.least_of_others} are needed"
        return Check(name=name, passed=False, reason=few)
    return _kept(name, "users other than the busiest", places, measured, settings)


def _heard(measured: Measured, settings: GateSettings) -> Check:
    """Accounts cost nothing: a crowd that came since the version in use was made does not turn it round by itself."""
    name = "users who were heard before"
    places = [place for place, known in enumerate(measured.known) if known]
    if len(places) == len(measured.known):
        return Check(name=name, passed=True, reason="all held-out queries are of users who were heard before")
    if len(places) < settings.least_of_others:
        few = (
            f"{len(places)} held-out queries of users who were heard before what serves now was made;"
            f" {settings.least_of_others} are needed: who is new is heard after a week"
        )
        return Check(name=name, passed=False, reason=few)
    return _kept(name, "users who were heard before", places, measured, settings)


def _kept(name: str, who: str, places: Sequence[int], measured: Measured, settings: GateSettings) -> Check:
    gain = paired_gain(
        [measured.candidate[at] for at in places], [measured.current[at] for at in places],
        confidence=settings.confidence, seed=settings.seed,
    )  # fmt: skip
    passed = gain.mean >= -settings.tolerance
    reason = f"{who} {'do not lose' if passed else 'lose'}: {_told(gain)}"
    return Check(name=name, passed=passed, reason=reason, gain=gain)


def _told(gain: Gain) -> str:
    return (
        f"{100 * gain.mean:+.1f} points of nDCG@10 [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"
        f" over {gain.queries} queries"
    )


def means(measured: Measured) -> dict[str, float]:
    """The mean nDCG@10 of every system and guard set."""
    systems = {"candidate": measured.candidate, "current": measured.current, **measured.baselines}
    guards = {f"guard {name} candidate": values for name, values in measured.guard_candidate.items()}
    guards |= {f"guard {name} current": values for name, values in measured.guard_current.items()}
    return {
        name: round(float(np.mean(values)), 4)
        for name, values in {**systems, **guards}.items()
        if len(values)
    }
