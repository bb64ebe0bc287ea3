# ruff: noqa: D103 -- helpers are told by their names
from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memsdk.models import Kind, Traits
from memsdk.signals import Signals, contributions, recency

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


def turn(text: str = "We went to the lake.", **others: object) -> Traits:
    traits = Traits(kind=Kind.MEMORY, occurred_at=NOW, opening=text)
    return traits._replace(**others)  # type: ignore[arg-type]  # what each test gives


def added(
    name: str, traits: list[Traits], *, query: str = "?", scores: list[float] | None = None
) -> list[float]:
    signals = replace(Signals(), **dict[str, Any]({name: 1.0}))
    parts = contributions(scores or [0.5] * len(traits), traits, signals=signals, query=query, now=NOW)
    return [part.get(name, 0.0) for part in parts]


def test_what_the_named_person_said_gains() -> None:
    """Half of a chat is by the other one."""
    ana, ben = added("speaker", [turn(name="Ana Lima"), turn(name="Ben")], query="What did Ana's boss say?")
    assert ana > 0 > ben


@pytest.mark.parametrize("query", ["What did they say?", "Are Ana and Ben friends?", "The banana?"])
def test_naming_nobody_or_everybody_changes_nothing(query: str) -> None:
    """There is nothing to tell speakers apart by."""
    assert added("speaker", [turn(name="Ana"), turn(name="Ben")], query=query) == [0.0, 0.0]


def test_a_good_hit_speaks_for_its_session_and_not_for_those_without_one() -> None:
    """Records without a session have nothing in common."""
    traits = [turn(session_id="a"), turn(session_id="a"), turn(session_id="b"), turn(), turn()]
    best, beside, other, alone, last = added("session", traits, scores=[1.0, 0.3, 0.3, 0.3, 0.2])
    assert best == beside > other == alone > last


def test_questions_count_less_among_people_and_as_much_where_an_assistant_answers() -> None:
    """What a user asked an assistant is what the user was about."""
    said, asked = added("statement", [turn(), turn("And where did you go? To the lake?")])
    assert said > asked
    assert added("statement", [turn("Where?", role="user"), turn(role="assistant")]) == [0.0, 0.0]


def test_short_turns_count_less() -> None:
    """`Wow, nice!` matches any question about nice things."""
    long, short = added("substance", [turn("word " * 40), turn("Wow, nice!")])
    assert long > short


def test_what_was_said_at_the_named_time_gains() -> None:
    """`In May` is half of such a question."""
    may, june = added(
        "time",
        [
            turn(occurred_at=datetime(2023, 5, 8, tzinfo=UTC)),
            turn(occurred_at=datetime(2023, 4, 8, tzinfo=UTC)),
        ],
        query="What happened in May 2023?",
    )
    assert may > june


@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from(["a", "b", None])), min_size=1, max_size=9))
def test_signals_sum_to_nothing_over_a_kind(pairs: list[tuple[float, str | None]]) -> None:
    """Else every memory would come before every document."""
    traits = [
        turn("Why? Because." * number, session_id=session, name=session)
        for number, (_, session) in enumerate(pairs)
    ]
    parts = contributions(
        [score for score, _ in pairs],
        traits,
        signals=Signals(speaker=1, session=1, substance=1, statement=1, time=1),
        query="a in 2026",
        now=NOW,
    )
    for name in {name for part in parts for name in part}:
        assert sum(part[name] for part in parts) == pytest.approx(0.0, abs=1e-9)


def test_recency_takes_half_of_what_it_may_in_a_half_life_and_never_more_than_its_share() -> None:
    """An old memory that alone answers must stay findable."""
    week = timedelta(days=7)
    assert recency(0.8, age=timedelta(), half_life=week) == 0
    assert recency(0.8, age=week, half_life=week) == pytest.approx(-0.2)
    assert recency(0.8, age=week * 1000, half_life=week) == pytest.approx(-0.4)
    assert recency(0.8, age=-week, half_life=week) == 0
