from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from memsdk.trainer.gate import EARLIER, SINCE_BASE, GateSettings, Measured, judge
from memsdk.trainer.metrics import ndcg_at, paired_gain, recall_at, reciprocal_rank

SETTINGS = GateSettings()


def measured(
    candidate: Sequence[float],
    current: Sequence[float],
    *,
    users: Sequence[str | None] | None = None,
    guard: tuple[Sequence[float], Sequence[float]] = ((1.0,) * 20, (1.0,) * 20),
    bm25: Sequence[float] | None = None,
    answers: Sequence[int] | None = None,
    known: Sequence[bool] | None = None,
) -> Measured:
    """Figures of as many queries."""
    return Measured(
        candidate=candidate,
        current=current,
        baselines={"bm25": bm25 or [0.0] * len(current)},
        users=users or [None] * len(current),
        answers=range(len(current)) if answers is None else answers,
        known=[True] * len(current) if known is None else known,
        guard_candidate={"shipped": guard[0]},
        guard_current={"shipped": guard[1]},
    )


def figures(mean: float, *, count: int = 100, seed: int = 0) -> list[float]:
    """So many figures around a mean."""
    drawn = np.random.default_rng(seed).normal(mean, 0.1, count)
    return [float(each) for each in drawn]


def test_a_clear_gain_is_promoted_with_its_figures() -> None:
    """A gate that lets nothing through is as useless as none."""
    verdict = judge(measured(figures(0.6), figures(0.5)), settings=SETTINGS)
    assert verdict.promote
    assert "+10.0 points" in verdict.reason


@pytest.mark.parametrize("seed", range(20))
def test_chance_is_not_promoted(seed: int) -> None:
    """Twenty nights of retraining on noise must not add up to a worse memory."""
    current = figures(0.5, seed=100 + seed)
    noise = np.random.default_rng(seed).choice([-0.05, 0.0, 0.05], len(current))
    candidate = [value + float(shift) for value, shift in zip(current, noise, strict=True)]
    verdict = judge(measured(candidate, current), settings=SETTINGS)
    gain = paired_gain(candidate, current, confidence=SETTINGS.confidence)
    assert not verdict.promote or (gain.low > 0 and gain.mean >= SETTINGS.least_gain)
    assert verdict.promote is (gain.low > 0 and gain.mean >= SETTINGS.least_gain)


def test_chance_is_promoted_as_seldom_as_the_confidence_says() -> None:
    """An interval that is too narrow promotes noise; of 200 pure noises 1 % may lie above 0, and some slack."""
    rng = np.random.default_rng(1)
    noises = [rng.normal(0, 1, 80).tolist() for _ in range(200)]
    gains = [
        paired_gain(noise, [0.0] * 80, confidence=SETTINGS.confidence, seed=number)
        for number, noise in enumerate(noises)
    ]
    assert sum(gain.low > 0 for gain in gains) <= 6


def test_a_hundred_questions_with_one_answer_are_one_piece_of_evidence() -> None:
    """One user who marks the same few records for everything would make any gain look certain."""
    current = [0.5] * 120
    flood = [1.0] * 100 + [0.45] * 20
    answers = [0] * 100 + list(range(1, 21))
    assert judge(measured(flood, current), settings=SETTINGS).promote
    assert not judge(measured(flood, current, answers=answers), settings=SETTINGS).promote
    one = judge(measured([1.0] * 120, current, answers=[0] * 120), settings=SETTINGS)
    assert not one.promote
    assert "of 1 different answers 1 changed" in one.reason


def test_who_came_just_now_does_not_decide_alone() -> None:
    """Accounts cost nothing: a crowd of new ones that agree must not turn a memory round in a night."""
    good, current = figures(0.6), figures(0.5)
    crowd = judge(measured(good, current, known=[False] * 95 + [True] * 5), settings=SETTINGS)
    assert not crowd.promote
    assert "5 held-out queries of users who were heard before" in crowd.reason
    agreed = judge(measured(good, current, known=[False] * 80 + [True] * 20), settings=SETTINGS)
    assert agreed.promote
    against = judge(
        measured(figures(0.8, count=80) + [0.4] * 20, [0.5] * 100, known=[False] * 80 + [True] * 20),
        settings=SETTINGS,
    )
    assert not against.promote
    assert "users who were heard before lose" in against.reason


def test_all_versions_together_may_lose_a_point_on_a_guard() -> None:
    """Half a point a night, each within the tolerance, would be fifteen points in a month."""
    good = measured(figures(0.6), figures(0.5))

    def after(value: float) -> bool:
        name = f"shipped{SINCE_BASE}"
        found = replace(good, guard_candidate={name: [value] * 50}, guard_current={name: [1.0] * 50})
        return judge(found, settings=SETTINGS).promote

    assert after(0.991)
    assert not after(0.989)


def test_a_few_lucky_queries_are_not_enough() -> None:
    """A bootstrap of six changed queries among a hundred looks certain and is not."""
    current = [0.5] * 100
    verdict = judge(measured([1.0] * 6 + [0.5] * 94, current), settings=SETTINGS)
    assert not verdict.promote
    assert "of 100 different answers 6 changed" in verdict.reason


def test_the_guard_may_lose_half_a_point_and_no_more() -> None:
    """A memory tuned to one topic that forgets the rest is no gain."""
    good = (figures(0.6), figures(0.5))
    kept = judge(measured(*good, guard=([0.996] * 50, [1.0] * 50)), settings=SETTINGS)
    lost = judge(measured(*good, guard=([0.994] * 50, [1.0] * 50)), settings=SETTINGS)
    assert kept.promote
    assert not lost.promote
    assert "guard set 'shipped' loses too much" in lost.reason


def test_what_the_present_version_was_promoted_for_may_not_be_given_up_at_all() -> None:
    """It was learnt from again: a loss on it means that later feedback contradicts it, from however many users."""
    guard = {EARLIER: [0.998] * 50}, {EARLIER: [1.0] * 50}
    found = replace(measured(figures(0.6), figures(0.5)), guard_candidate=guard[0], guard_current=guard[1])
    verdict = judge(found, settings=SETTINGS)
    assert not verdict.promote
    assert "'earlier feedback' loses too much" in verdict.reason
    assert judge(replace(found, guard_candidate=guard[1]), settings=SETTINGS).promote


def test_what_bm25_does_better_is_not_promoted() -> None:
    """Better than a bad version and worse than no model at all is still bad."""
    verdict = judge(measured(figures(0.6), figures(0.5), bm25=figures(0.7)), settings=SETTINGS)
    assert not verdict.promote
    assert "worse than bm25" in verdict.reason


def test_one_flooding_user_can_not_buy_a_gain_with_the_others_recall() -> None:
    """A busy user's hundred happy queries would outvote twenty people whose memory got worse."""
    users = ["flood"] * 100 + [f"user{number % 5}" for number in range(20)]
    candidate = figures(0.8) + figures(0.4, count=20)
    current = figures(0.5) + figures(0.5, count=20)
    verdict = judge(measured(candidate, current, users=users), settings=SETTINGS)
    assert not verdict.promote
    assert "users other than the busiest lose" in verdict.reason


def test_too_few_queries_are_no_judgement() -> None:
    """Ten queries say nothing, however good they look."""
    verdict = judge(measured([1.0] * 10, [0.0] * 10), settings=SETTINGS)
    assert not verdict.promote
    assert "at least 20" in verdict.reason


def test_metrics_of_a_known_ranking() -> None:
    """Everything the gate says rests on these three."""
    ranked, relevant = ["a", "b", "c", "d"], {"b", "d"}
    assert recall_at(ranked, relevant, k=2) == 0.5
    assert reciprocal_rank(ranked, relevant) == 0.5
    ideal = 1 + 1 / np.log2(3)
    assert ndcg_at(ranked, relevant, k=10) == pytest.approx((1 / np.log2(3) + 1 / np.log2(5)) / ideal)
    assert reciprocal_rank(ranked, {"z"}) == 0.0
    with pytest.raises(ValueError, match="equal number"):
        paired_gain([1.0], [])
