# ruff: noqa: D103 -- helpers are told by their names
from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memsdk.models import Kind, Traits
from memsdk.ranking import Candidate
from memsdk.reranking import Ordering, rerank
from memsdk.signals import Signals

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
PLAIN = Ordering(signals={})


def candidates(*scores: float) -> list[Candidate]:
    return [
        Candidate(key=str(n), revision=None, least={}, legs={"dense": (n + 1, score, score)}, score=score)
        for n, score in enumerate(scores)
    ]


def traits(*texts: str, kind: Kind = Kind.MEMORY, age_days: float = 0) -> dict[str, Traits]:
    return {
        str(n): Traits(kind=kind, occurred_at=NOW - timedelta(days=age_days * n), opening=text)
        for n, text in enumerate(texts)
    }


def ranked(found: list[Candidate], known: dict[str, Traits], ordering: Ordering) -> list[str]:
    return [item.key for item in rerank(found, known, ordering=ordering, query="where?", now=NOW)]


@given(
    scores=st.lists(st.floats(0, 1), min_size=1, max_size=12),
    pool=st.integers(0, 12),
    weights=st.floats(0, 2),
    diversity=st.floats(0, 1),
)
def test_scores_stay_in_0_to_1_order_the_list_and_are_the_sum_of_their_parts(
    scores: list[float], pool: int, weights: float, diversity: float
) -> None:
    """Thresholds and explanations are built on it."""
    found = candidates(*sorted(scores, reverse=True))
    known = traits(
        *(("Where? " if n % 2 else "There it is. ") * (n + 1) for n in range(min(pool, len(found))))
    )
    signals = {Kind.MEMORY: Signals(session=weights, substance=weights, statement=weights)}
    ordering = Ordering(signals=signals, diversity=diversity, recency=timedelta(days=1))
    after = rerank(found, known, ordering=ordering, query="where?", now=NOW)
    assert {item.key for item in after} == {item.key for item in found}
    assert [item.score for item in after] == sorted((item.score for item in after), reverse=True)
    for item in after:
        assert -1e-9 <= item.score <= 1 + 1e-9
        assert item.score == pytest.approx(sum(item.why().parts.values()), abs=1e-9)


def test_those_behind_the_pool_stay_behind() -> None:
    """Nothing was read of them, so nothing speaks for them."""
    found = candidates(0.9, 0.8, 0.7)
    signals = {Kind.MEMORY: Signals(substance=1.0)}
    assert ranked(
        found, traits("Oh.", "We went to the lake with all of them"), Ordering(signals=signals)
    ) == [
        "1",
        "0",
        "2",
    ]


def test_near_duplicates_collapse_only_when_asked() -> None:
    """The same sentence five times leaves no room for the others."""
    known = traits("We went to the lake.", "We went to the lake!", "Ben stayed at home.")
    assert ranked(candidates(0.9, 0.8, 0.7), known, PLAIN) == ["0", "1", "2"]
    assert ranked(candidates(0.9, 0.8, 0.7), known, Ordering(signals={}, collapse=True)) == ["0", "2"]


def test_diversity_brings_what_is_unlike() -> None:
    """Five hits that say one thing are one hit."""
    known = traits("We went to the lake.", "We went to that lake.", "Ben stayed at home.")
    assert ranked(candidates(0.9, 0.8, 0.7), known, Ordering(signals={}, diversity=0.5)) == ["0", "2", "1"]


def test_recency_prefers_the_newer_of_equals() -> None:
    """Of two addresses the newer is right."""
    known = traits("Moved to Oslo.", "Moved to Rome.", age_days=-100)  # the second is newer
    known = {
        key: trait._replace(occurred_at=NOW - timedelta(days=200 if key == "0" else 1))
        for key, trait in known.items()
    }
    ordering = Ordering(signals={}, recency=timedelta(days=30))
    assert ranked(candidates(0.9, 0.85), known, ordering) == ["1", "0"]
