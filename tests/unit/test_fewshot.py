# ruff: noqa: D103 -- helpers are told by their names
from __future__ import annotations

from collections.abc import Sequence

import pytest
from pydantic import JsonValue

from memsdk.exchanges import approval, exchanges
from memsdk.fewshot import Shot, as_messages, as_text, fitting
from memsdk.ports import Message

BEST, NEXT, LAST = (Shot(input=f"in{n}", output=f"out{n}", instruction="Do it.") for n in range(3))


def test_the_most_similar_stands_last() -> None:
    """A language model leans most on what it read last."""
    assert as_text([BEST, NEXT]) == "Do it.\n\nInput: in1\nOutput: out1\n\nInput: in0\nOutput: out0"
    assert [message["content"] for message in as_messages([BEST, NEXT])] == [
        "Do it.",
        "in1",
        "out1",
        "in0",
        "out0",
    ]


def test_an_instruction_of_its_own_stays_with_its_example() -> None:
    """Examples of two tasks under one instruction would teach nonsense."""
    other = Shot(input="in", output="out", instruction="Else.")
    assert as_text([BEST, other]) == "Else.\n\nInput: in\nOutput: out\n\nDo it.\n\nInput: in0\nOutput: out0"
    roles = [message["role"] for message in as_messages([BEST, other])]
    assert roles == ["user", "assistant", "user", "assistant"]
    assert as_messages([BEST, other])[0]["content"] == "Else.\n\nin"


@pytest.mark.parametrize("budget", range(0, 100, 7))
def test_a_short_budget_costs_the_least_similar_first(budget: int) -> None:
    """The best example is the one worth its tokens; cut from the wrong end, the prompt keeps the worst."""

    def cost(shots: Sequence[Shot]) -> int:
        return len(as_text(shots))

    shown = fitting([BEST, NEXT, LAST], budget=budget, cost=cost)
    assert cost(shown) <= budget or not shown
    assert shown == [BEST, NEXT, LAST][: len(shown)]
    assert len(shown) == 3 or cost([BEST, NEXT, LAST][: len(shown) + 1]) > budget


def said(role: str, content: str, **metadata: JsonValue) -> Message:
    return Message(role=role, content=content, metadata=metadata, session_id="s")


def test_only_answers_that_were_judged_count() -> None:
    """A chat log is full of wrong answers; taken as examples they are taught."""
    log = [
        said("user", "a"), said("assistant", "A", score=0.9), said("user", "b"), said("assistant", "B", rating="down"),
        said("user", "c"), said("assistant", "C"), said("assistant", "D", approved=True),
    ]  # fmt: skip
    found = [(each.input, each.output, each.score) for each in exchanges(log)]
    assert found == [("a", "A", 0.9), ("b", "B", 0.0), ("c", "C", None)]


@pytest.mark.parametrize(
    ("metadata", "score"),
    [
        ({"liked": True}, 1.0),
        ({"feedback": "Thumbs_Up"}, 1.0),
        ({"rating": 5}, None),
        ({"score": 0}, 0.0),
        ({}, None),
    ],
)
def test_approval_is_read_as_logs_write_it(metadata: dict[str, JsonValue], score: float | None) -> None:
    """A rating on another scale than 0 to 1 means nothing here; guessed, five stars of ten would be perfect."""
    assert approval(metadata) == score
