"""One recall over several shelves: every kind has its section and its share of the tokens."""

# ruff: noqa: D103 -- helpers are told by their names
from __future__ import annotations

from collections.abc import Callable

import pytest

from memsdk import Memory
from memsdk.errors import InvalidInputError
from memsdk.tokens import load_counter

KINDS = ["memory", "document", "example", "tool"]
HEADINGS = {"memory": "## Memories", "document": "## Documents", "example": "## Examples", "tool": "## Tools"}
Open = Callable[..., Memory]


@pytest.fixture
def filled(memory: Memory) -> Memory:
    for number in range(12):
        memory.remember(f"Ana booked flight {number} to Lisbon and liked seat {number}.", user_id="ana")
        memory.examples.add(f"Book flight {number}", f"book_flight(number={number})", user_id="ana")
        memory.tools.add(
            {
                "name": f"book_flight_{number}",
                "description": f"Book a flight to Lisbon, way {number}.",
                "parameters": {"type": "object", "properties": {"number": {"type": "integer"}}},
            }
        )
    memory.documents.ingest(text="A flight to Lisbon may be booked " * 60, title="Travel rules")
    return memory


def test_each_kind_brings_its_own_best(filled: Memory) -> None:
    """Forty tools that are alike must not push out the one memory that says what the user wants."""
    recall = filled.recall("book a flight to Lisbon", user_id="ana", kinds=KINDS, k=3, budget={"tool": 80})
    kinds = [hit.kind.value for hit in recall]
    assert sorted(set(kinds), key=KINDS.index) == KINDS
    assert kinds == sorted(kinds, key=KINDS.index)
    assert all(1 <= kinds.count(kind) <= 3 for kind in KINDS)
    text = recall.render()
    places = [text.index(HEADINGS[kind]) for kind in KINDS]
    assert places == sorted(places)


@pytest.mark.parametrize("total", [5, 30, 100, 300, None])
@pytest.mark.parametrize("budget", [{"tool": 40}, {"tool": 40, "memory": 25, "example": 25}, {"tool": 1_000}])
def test_no_section_is_above_its_share_and_the_whole_never_above_the_budget(
    filled: Memory, budget: dict[str, int], total: int | None
) -> None:
    """A prompt that is too long is cut by the model's server, in its middle or with an error."""
    recall = filled.recall("book a flight", user_id="ana", kinds=KINDS, k=5, budget=budget, max_tokens=total)
    count = load_counter(recall.tokenizer).count
    text = recall.render()
    assert total is None or count(text) <= total
    assert text or total == 5
    for section in text.split("\n\n## "):
        heading = "## " + section.removeprefix("## ").partition("\n")[0]
        share = next((budget.get(kind) for kind, name in HEADINGS.items() if name == heading), None)
        assert share is None or count("## " + section.removeprefix("## ")) <= share


def test_one_recall_is_one_entry_of_the_log(filled: Memory) -> None:
    """Feedback on a prompt of several sections is about all that it showed."""
    recall = filled.recall("book a flight", user_id="ana", kinds=KINDS, k=2, budget={"tool": 80})
    filled.feedback(recall, output="done", used=[recall[0].id, recall[-1].id], score=1.0)
    assert filled.stats().recalls == 1


@pytest.mark.parametrize(
    ("budget", "what"),
    [
        ({"tools": 4}, "tools"),
        ({"passage": 4}, "not searched"),
        ({"tool": 0}, "budget of tool"),
        ({"tool": True}, "budget of tool"),
        (400, "expected tokens by kind"),
    ],
)
def test_a_budget_that_can_t_be_kept_is_refused(filled: Memory, budget: object, what: str) -> None:
    """A misspelt kind would silently get no share."""
    with pytest.raises(InvalidInputError, match=what):
        filled.recall("book", kinds=KINDS, budget=budget)  # type: ignore[arg-type]  # on purpose
