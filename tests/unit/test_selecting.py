# ruff: noqa: D103 -- helpers are told by their names
from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import pytest

from memsdk.clauses import MOST, clauses
from memsdk.embedding.lexical import Bm25Encoder
from memsdk.models import Hit, Kind, Why
from memsdk.selecting import balanced, joined, spread

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def hit(number: int, score: float, text: str = "x", *, why: Why | None = None) -> Hit:
    return Hit(
        id=UUID(int=number), kind=Kind.TOOL, text=text, occurred_at=NOW, created_at=NOW, updated_at=NOW, last_seen_at=NOW,
        score=score, why=why,
    )  # fmt: skip


def numbers(hits: Sequence[Hit]) -> list[int]:
    return [found.id.int for found in hits]


def test_near_twins_make_room() -> None:
    """The same tool on five servers is one choice for the model, and hides the second tool that the request needs."""
    twins = [hit(n, 0.9 - n / 100, "send a mail to somebody") for n in range(4)]
    other = hit(9, 0.6, "book a flight between two cities")
    shown = spread(
        [*twins, other], k=2, weight=0.5, encoder=Bm25Encoder(), text=lambda one: one.text, sharpness=8
    )
    assert numbers(shown) == [0, 9]
    plain = spread([*twins, other], k=2, weight=0.0, encoder=Bm25Encoder(), text=lambda one: one.text)
    assert numbers(plain) == [0, 1]


def test_what_is_merely_alike_stays_where_it_is() -> None:
    """Tools of one field share words; passing those over would hide the right one."""
    hits = [
        hit(1, 0.9, "send a mail to a person"),
        hit(2, 0.85, "delete a mail from a folder"),
        hit(3, 0.8, "list cities"),
    ]
    shown = spread(hits, k=3, weight=0.5, encoder=Bm25Encoder(), text=lambda one: one.text, sharpness=8)
    assert numbers(shown) == [1, 2, 3]


def test_labels_take_turns_and_the_best_stay_in_order() -> None:
    """Four examples of one class teach the model to answer that class whatever it is asked."""
    hits = [hit(n, 1 - n / 10, label) for n, label in enumerate(["a", "a", "a", "b", "c", "a"])]
    assert numbers(balanced(hits, k=4, label=lambda one: one.text)) == [0, 1, 3, 4]
    assert numbers(balanced(hits, k=2, label=lambda one: one.text)) == [0, 3]
    assert numbers(balanced(hits, k=9, label=lambda one: one.text)) == [0, 1, 2, 3, 4, 5]


def test_a_tool_of_one_part_of_the_request_rises() -> None:
    """In "book a flight and mail Ana" the second half is drowned by the first where only the whole is searched."""
    whole = [hit(1, 1.0), hit(2, 0.8), hit(3, 0.5)]
    parts = [[hit(1, 1.0), hit(2, 0.7)], [hit(3, 1.0), hit(4, 0.4)]]
    shown = joined(whole, parts, share=0.5)
    assert numbers(shown) == [1, 2, 3, 4] or numbers(shown) == [1, 3, 2, 4]
    assert {found.id.int: found.score for found in shown} == {1: 1.0, 2: 0.75, 3: 0.75, 4: pytest.approx(0.6)}
    assert joined(whole, [], share=0.5) == whole


def test_the_explanation_of_a_joined_score_sums_to_it() -> None:
    """`why.parts` promises to sum to the score."""
    why = Why(parts={"dense": 0.6, "bm25": 0.2})
    shown = joined([hit(1, 0.8, why=why)], [[hit(1, 1.0, why=why), hit(2, 0.4, why=why)]], share=0.5)
    for found in shown:
        assert found.why is not None
        assert sum(found.why.parts.values()) == pytest.approx(found.score)


@pytest.mark.parametrize(
    ("request_", "parts"),
    [
        ("What is the weather in Paris?", []),
        (
            "Book a flight to Oslo and mail the times to Ana",
            ["Book a flight to Oslo", "mail the times to Ana"],
        ),
        ("Find the invoice. Then pay it from savings.", ["Find the invoice.", "Then pay it from savings."]),
        ("salt and pepper", []),
    ],
)
def test_a_request_is_cut_where_another_wish_begins(request_: str, parts: list[str]) -> None:
    """Cut too often, the parts are words that ask for nothing; never cut, the second wish is not heard."""
    assert clauses(request_) == parts


def test_a_long_request_is_not_searched_without_end() -> None:
    """A pasted page must not become five hundred searches."""
    assert len(clauses("This is one sentence of it. " * 500)) == MOST
