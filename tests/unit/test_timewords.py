from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memsdk.timewords import Span, nearness, spans

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)  # a Thursday


def read(query: str) -> list[tuple[str, str]]:
    """First day and day after the last of each span."""
    return [(f"{span.start:%Y-%m-%d}", f"{span.end:%Y-%m-%d}") for span in spans(query, now=NOW)]


@pytest.mark.parametrize(
    ("query", "start", "end"),
    [
        ("What did Ana eat on 8 May 2023?", "2023-05-08", "2023-05-09"),
        ("May 8th, 2023", "2023-05-08", "2023-05-09"),
        ("the log of 2023-05-08", "2023-05-08", "2023-05-09"),
        ("September 2022", "2022-09-01", "2022-10-01"),
        ("in December 2025", "2025-12-01", "2026-01-01"),
        ("Where did we go in May?", "2026-05-01", "2026-06-01"),
        ("in December", "2025-12-01", "2026-01-01"),
        ("in the summer of 2022", "2022-06-01", "2022-09-01"),
        ("last winter", "2025-12-01", "2026-03-01"),
        ("in 2023", "2023-01-01", "2024-01-01"),
        ("yesterday", "2026-11-25", "2026-11-26"),
        ("two weeks ago", "2026-11-09", "2026-11-16"),
        ("on Friday", "2026-11-20", "2026-11-21"),
        ("last weekend", "2026-11-21", "2026-11-23"),
    ],
)
def test_times_that_people_name_are_read(query: str, start: str, end: str) -> None:
    """A question about last week is not to be answered out of last year."""
    assert read(query) == [(start, end)]


@pytest.mark.parametrize(
    "query",
    [
        "What may Ana eat?",
        "march in step",
        "the second place",
        "room 101",
        "31 2 2023",
        "",
        "a mayor in march",
    ],
)
def test_words_that_only_look_like_times_are_left_alone(query: str) -> None:
    """A span that nobody meant moves the wrong memories up."""
    assert read(query) == []


@given(st.text(max_size=80), st.datetimes(timezones=st.just(UTC)))
def test_no_text_and_no_clock_breaks_it(query: str, now: datetime) -> None:
    """A query with a strange date must still be answered."""
    for span in spans(f"{query} 31 June 2023, 400 years ago, last 999 years, in May", now=now):
        assert span.start < span.end


def test_what_was_told_after_the_time_counts_less_the_later_it_was() -> None:
    """People tell on Sunday what they did on Saturday; what they say before it is no answer."""
    day = Span(start=NOW, end=NOW + timedelta(days=1))
    within, soon, late, before = (
        nearness(NOW + timedelta(days=days), day, after_days=7) for days in (0.5, 3, 30, -1)
    )
    assert within == 1 > soon > late > before == 0


def test_a_month_without_a_year_may_be_that_of_another_year() -> None:
    """Old stores are asked about their own Mays; the latest comes first."""
    (may,) = spans("in May", now=NOW)
    assert nearness(datetime(2023, 5, 8, tzinfo=UTC), may, after_days=7) == 0.5
    assert nearness(datetime(2026, 5, 8, tzinfo=UTC), may, after_days=7) == 1
    assert nearness(datetime(2023, 1, 8, tzinfo=UTC), may, after_days=7) < 0.01
