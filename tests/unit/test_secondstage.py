# ruff: noqa: D103 -- helpers are told by their names
from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memsdk.ranking import Candidate
from memsdk.secondstage import SecondStage, blend


def candidates(*scores: float) -> list[Candidate]:
    return [
        Candidate(key=str(n), revision=None, least={}, legs={"dense": (n + 1, score, score)}, score=score)
        for n, score in enumerate(sorted(scores, reverse=True))
    ]


class Scripted:
    """A reranker that gives what it is told to, or raises it."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    def score(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        """The answer."""
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer  # type: ignore[return-value]  # what rerankers get wrong


@given(
    pairs=st.lists(st.tuples(st.floats(0, 1), st.floats(-1e6, 1e6)), min_size=1, max_size=12),
    weight=st.floats(0, 1),
)
def test_scores_stay_in_their_range_order_the_list_and_are_the_sum_of_their_parts(
    pairs: list[tuple[float, float]], weight: float
) -> None:
    """Thresholds, explanations and those behind the candidates rely on it."""
    found = candidates(*(first for first, _ in pairs))
    low, high = found[-1].score, found[0].score
    after = blend(found, [second for _, second in pairs], weight=weight)
    assert {item.key for item in after} == {item.key for item in found}
    assert [item.score for item in after] == sorted((item.score for item in after), reverse=True)
    for item in after:
        assert low - 1e-9 <= item.score <= high + 1e-9
        assert item.score == pytest.approx(sum(item.why().parts.values()), abs=1e-9)


def test_a_share_of_each_score_is_the_rerankers() -> None:
    """(1 - .3) * first + .3 * the reranker's, stretched to .5..1."""
    after = blend(candidates(1.0, 0.8, 0.5), [-2.0, 2.0, 0.0], weight=0.3)
    assert [(item.key, round(item.score, 6)) for item in after] == [("1", 0.86), ("0", 0.85), ("2", 0.575)]
    why = after[0].why()
    assert why.reranker_score == 2.0
    assert why.parts["reranker"] == pytest.approx(0.06)


def test_a_weight_of_one_leaves_the_order_to_the_reranker_and_none_to_the_first_stage() -> None:
    """The ends of the scale are what a reader expects of them."""
    scores = [1.0, 3.0, 2.0]
    assert [item.key for item in blend(candidates(0.9, 0.8, 0.1), scores, weight=1.0)] == ["1", "2", "0"]
    assert [item.key for item in blend(candidates(0.9, 0.8, 0.1), scores, weight=0.0)] == ["0", "1", "2"]


def test_where_one_stage_finds_all_alike_the_other_decides() -> None:
    """Dividing by a range of 0 would make the scores NaN."""
    alike = blend(candidates(0.9, 0.8), [5.0, 5.0], weight=0.5)
    assert [(item.key, item.score) for item in alike] == [("0", 0.9), ("1", 0.8)]
    assert [item.key for item in blend(candidates(0.9, 0.9), [1.0, 2.0], weight=0.5)] == ["1", "0"]


@pytest.mark.parametrize(
    "answer",
    [
        RuntimeError("CUDA out of memory"),
        KeyError(3),
        [0.1],
        [0.1] * 4,
        [0.1, math.nan, 0.2],
        [0.1, math.inf, 0.2],
        [0.1, None, 0.2],
        None,
        "abc",
    ],
    ids=repr,
)
def test_a_reranker_that_fails_leaves_the_first_order_and_says_so(
    answer: object, caplog: pytest.LogCaptureFixture
) -> None:
    """A model that is broken must not cost an agent its memory; nor must nobody notice."""
    stage = SecondStage(reranker=Scripted(answer), candidates=20, weight=1.0)
    with caplog.at_level(logging.WARNING):
        after = stage.order(candidates(0.9, 0.8, 0.1), query="?", texts=["a", "b", "c"])
    assert [(item.key, item.score) for item in after] == [("0", 0.9), ("1", 0.8), ("2", 0.1)]
    assert "the reranker failed" in caplog.text
    for item in after:
        why = item.why()
        assert why.reranker_error
        assert "reranker" not in why.parts


def test_ctrl_c_is_no_failure_of_the_reranker() -> None:
    """Who interrupts a slow model wants to get out."""
    stage = SecondStage(reranker=Scripted(KeyboardInterrupt()), candidates=20, weight=1.0)
    with pytest.raises(KeyboardInterrupt):
        stage.order(candidates(0.9), query="?", texts=["a"])


def test_nothing_found_is_not_asked_about() -> None:
    """A server would be sent an empty list."""
    stage = SecondStage(reranker=Scripted(AssertionError()), candidates=20, weight=1.0)
    assert stage.order([], query="?", texts=[]) == []
