# ruff: noqa: D103 -- helpers and fixtures are told by their names
from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memsdk.payloads import RECORD, REVISION
from memsdk.ports import PointHit
from memsdk.ranking import Candidate, Weights, best_scores, fuse, merge

EVEN = Weights(dense=0.5, lexical=0.5)


def hits(*pairs: tuple[int, float]) -> list[PointHit]:
    """Points of these records with these scores."""
    return [PointHit(UUID(int=n).hex, score, {RECORD: str(UUID(int=n)), REVISION: 1}) for n, score in pairs]


def order(candidates: list[Candidate]) -> list[int]:
    return [candidate.record.int for candidate in candidates]


LEG = st.lists(st.tuples(st.integers(1, 12), st.floats(-1, 30, allow_nan=False)), max_size=10).map(
    lambda pairs: hits(*sorted(pairs, key=lambda pair: -pair[1]))
)


@given(dense=LEG, lexical=LEG, share=st.floats(0, 1), depth=st.integers(1, 12))
def test_scores_lie_in_0_to_1_add_up_and_order_the_list(
    dense: list[PointHit], lexical: list[PointHit], share: float, depth: int
) -> None:
    """Thresholds and explanations are built on it."""
    fused = fuse(
        {"dense": dense, "bm25": lexical}, weights=Weights(dense=share, lexical=1 - share), depth=depth
    )
    assert len(set(order(fused))) == len(fused)
    assert [item.score for item in fused] == sorted((item.score for item in fused), reverse=True)
    for item in fused:
        assert -1e-9 <= item.score <= 1 + 1e-9
        assert item.score == pytest.approx(sum(item.why().parts.values()))


def test_scores_next_to_nothing_do_not_overflow() -> None:
    """A leg whose best score is the smallest number there is divided to infinity."""
    least = 5e-324
    fused = fuse({"dense": hits((1, 0.5)), "bm25": hits((1, least), (2, least))}, weights=EVEN)
    assert [item.score for item in fused] == [1.0, 0.5]


def test_found_by_both_comes_before_found_by_one() -> None:
    """Agreement of meaning and words is the best sign there is."""
    assert (
        order(fuse({"dense": hits((1, 0.9), (2, 0.8)), "bm25": hits((2, 9.0), (3, 1.0))}, weights=EVEN))[0]
        == 2
    )


def test_a_leg_that_found_nothing_has_no_say() -> None:
    """A query of stopwords only is ranked by meaning alone, on the same scale."""
    alone = fuse({"dense": hits((1, 0.9), (2, 0.45)), "bm25": []}, weights=EVEN)
    assert [round(item.score, 6) for item in alone] == [1.0, 0.5]
    assert fuse({"dense": [], "bm25": []}, weights=EVEN) == []


def test_ties_are_broken_the_same_way_every_time() -> None:
    """A recall that changes from call to call can't be debugged."""
    assert order(fuse({"dense": hits((3, 0.5), (1, 0.5), (2, 0.5))}, weights=EVEN)) == [1, 2, 3]


def test_a_record_counts_by_its_best_point() -> None:
    """A long text has many parts; they must neither add up nor crowd others out."""
    fused = fuse({"dense": hits((1, 0.9), (1, 0.8), (2, 0.7))}, weights=EVEN)
    assert order(fused) == [1, 2]
    assert fused[0].why().dense_score == 0.9


def test_kinds_are_merged_by_score() -> None:
    """One list of what is worth knowing, whatever it is; measured by what was best in their space."""
    searches = [{"dense": hits((1, 0.8), (2, 0.2))}, {"dense": hits((3, 0.8), (4, 0.4))}]
    best = best_scores(searches)
    merged = merge([fuse(legs, weights=EVEN, best=best) for legs in searches])
    assert order(merged) == [1, 3, 4, 2]
