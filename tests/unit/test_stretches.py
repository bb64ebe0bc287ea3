"""The order of passages: what follows a chunk and where it stands count beside its own score."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from memsdk.models import Hit, Kind, Why
from memsdk.stretches import in_their_text

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CHARS = 600


def chunk(position: int, score: float) -> Hit:
    """A chunk of 600 characters at its place."""
    return Hit(
        id=UUID(int=position), kind=Kind.PASSAGE, text="x" * CHARS, data={"stream": "s", "start": position * CHARS},
        position=position, occurred_at=NOW, created_at=NOW, updated_at=NOW, last_seen_at=NOW, score=score,
        why=Why(parts={"dense": score}),
    )  # fmt: skip


def order(*hits: Hit, end: int = 100) -> list[int | None]:
    """The positions, best first, before the chunk at `end`."""
    return [hit.position for hit in in_their_text(hits, end=end * CHARS)]


def test_of_equal_chunks_the_one_whose_continuation_was_found_too_comes_first() -> None:
    """Both are shown to the reader."""
    far = 10**9  # from all of them
    last = chunk(70, 0.1)
    assert order(chunk(50, 0.5), chunk(10, 0.5), chunk(11, 0.4), last, end=far)[:2] == [10, 50]
    assert order(chunk(50, 0.5), chunk(10, 0.5), chunk(9, 0.2), last, end=far)[:2] == [50, 10]


def test_of_equal_chunks_the_nearer_comes_first() -> None:
    """Who and what a text is about changes slowly."""
    assert order(chunk(10, 0.5), chunk(90, 0.5), chunk(98, 0.5)) == [98, 90, 10]
    assert order(chunk(10, 0.9), chunk(98, 0.4)) == [10, 98], "being near is not all"


@pytest.mark.parametrize("end", [0, 5, 100, 10**9])
def test_scores_stay_in_their_range_and_are_the_sum_of_their_parts(end: int) -> None:
    """`explain` would not explain them otherwise."""
    hits = in_their_text([chunk(3, 1.0), chunk(4, 0.7), chunk(9, 0.0)], end=end)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    for hit in hits:
        assert 0 <= hit.score <= 1
        assert hit.why is not None
        assert sum(hit.why.parts.values()) == pytest.approx(hit.score, abs=1e-5)


def test_nothing_found_is_nothing() -> None:
    """A stream that has just begun."""
    assert in_their_text([], end=0) == []
