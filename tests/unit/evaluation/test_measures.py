from __future__ import annotations

import math

import pytest

from memsdk.evaluation.measures import compare, estimate, measure


def test_measures_are_those_of_the_books() -> None:
    """A figure that is computed otherwise can't be compared with anybody's."""
    found = ["x", "a", None, "b", "a"]
    values = measure(found, {"a", "b", "c"})
    assert values["recall@1"] == 0
    assert values["recall@5"] == pytest.approx(2 / 3)
    assert values["mrr"] == 0.5
    gained = 1 / math.log2(3) + 1 / math.log2(5)
    assert values["ndcg@10"] == pytest.approx(gained / (1 + 1 / math.log2(3) + 0.5))
    assert measure([], {"a"})["mrr"] == 0


def test_intervals_hold_the_mean_and_shrink_with_more_queries() -> None:
    """Ten queries prove less than a thousand."""
    few, many = estimate([0.0, 1.0] * 5), estimate([0.0, 1.0] * 500)
    assert few.low < few.mean == 0.5 < few.high
    assert many.high - many.low < few.high - few.low


def test_a_small_but_steady_gain_is_significant_and_noise_is_not() -> None:
    """Pairing query by query is what makes small gains visible."""
    base = [0.1 * (n % 10) for n in range(100)]
    assert compare([value + 0.02 for value in base], base).significant
    noise = compare([value + (0.2 if n % 2 else -0.2) for n, value in enumerate(base)], base)
    assert not noise.significant
    assert noise.p > 0.05
