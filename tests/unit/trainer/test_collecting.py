"""Rows out of the recall log."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from memsdk import Memory
from memsdk.errors import InvalidInputError
from memsdk.models import Task
from memsdk.trainer.collecting import collect
from memsdk.trainer.mining import Mining


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    """An empty store."""
    with Memory.open(tmp_path / "store", embedder="hashing", index="exact", synchronous="NORMAL") as opened:
        yield opened


def test_a_recall_with_feedback_becomes_a_row(memory: Memory) -> None:
    """What the agent saw and said is what it learns from."""
    facts = [
        memory.remember(text, user_id="ana")
        for text in (
            "Ana drinks green tea.",
            "Ana has a cat.",
            "Ana lives in Bergen.",
            "Ana sails on Sundays.",
        )
    ]
    recall = memory.recall(
        "which tea?", user_id="ana", k=2, history=[{"role": "user", "content": "I am thirsty"}]
    )
    memory.feedback(recall, output="Green tea.", score=0.9, used=[facts[0].id])
    memory.recall("no feedback, no row", user_id="ana")
    (row,) = collect(memory)
    assert (row.task, row.output, row.score, row.user_id) == (Task.CHAT, "Green tea.", 0.9, "ana")
    assert row.query == "user: I am thirsty\nwhich tea?"
    assert row.history == ("user: I am thirsty",)
    assert row.id == f"{recall.id}/chat"
    assert {one.record for one in row.candidates} == {fact.id for fact in facts}
    assert [one.text for one in row.candidates if one.positive] == ["Ana drinks green tea."]
    assert sum(one.source == "shown" for one in row.candidates) == 2
    assert row == collect(memory)[0]  # the same again: mining is seeded


def test_forgotten_records_are_in_no_row(memory: Memory) -> None:
    """A model trained on a forgotten text remembers it."""
    secret = memory.remember("the code of the safe is 4711", user_id="ana")
    memory.remember("the safe is in the kitchen", user_id="ana")
    for _ in range(2):
        recall = memory.recall("code of the safe", user_id="ana")
        memory.feedback(recall, output="It is 4711.", used=[secret.id])
    memory.forget(secret.id)
    assert "4711" not in str(collect(memory))


def test_no_row_shows_another_users_records(memory: Memory) -> None:
    """Mined candidates come from searches of their own: those must keep to the user too."""
    memory.remember("Bo hates tea", user_id="bo")
    memory.remember("Tea is served at five")
    memory.remember("Ana loves tea", user_id="ana")
    recall = memory.recall("tea", user_id="ana", k=1)
    memory.feedback(recall, output="at five")
    (row,) = collect(memory, mining=Mining(each={"random": 9, "dense": 9, "bm25": 9}))
    assert {one.text for one in row.candidates} == {"Tea is served at five", "Ana loves tea"}
    assert collect(memory, users=["bo"]) == []
    assert len(collect(memory, users=["ana"])) == 1


def test_what_was_written_after_the_recall_is_no_candidate(memory: Memory) -> None:
    """The answer is often remembered next; a query must not learn to find what did not exist."""
    memory.remember("Ana likes tea", user_id="ana")
    memory.remember("Ana likes cake", user_id="ana")
    recall = memory.recall("what does Ana like?", user_id="ana")
    memory.feedback(recall, output="Tea and cake.")
    memory.remember("Ana likes tea and cake.", user_id="ana")
    (row,) = collect(memory)
    assert {one.text for one in row.candidates} == {"Ana likes tea", "Ana likes cake"}


def test_badly_received_outputs_teach_nothing(memory: Memory) -> None:
    """The agent would learn to say again what was wrong."""
    fact = memory.remember("Ana likes tea", user_id="ana")
    memory.remember("Ana likes cake", user_id="ana")
    bad = memory.recall("what does Ana like?", user_id="ana")
    memory.feedback(bad, output="Beer.", score=0.1, used=[fact.id])
    assert collect(memory) == []
    memory.feedback(bad, output="Tea.", score=1.0)
    (row,) = collect(memory)
    assert row.output == "Tea."
    assert not any(one.positive for one in row.candidates)


def test_each_kind_of_a_recall_has_its_own_row(memory: Memory) -> None:
    """Kinds have their own prefixes: a chunk is no candidate of a chat query."""
    memory.remember("Ana likes tea", user_id="ana")
    memory.documents.ingest(text="# Tea\n\nTea is served at five.", title="Handbook")
    recall = memory.recall("tea", user_id="ana", history=["we spoke of drinks"])
    memory.feedback(recall, output="At five.")
    rows = collect(memory)
    assert [row.task for row in rows] == [Task.CHAT, Task.CONVSEARCH]
    assert [one.text.endswith("Tea is served at five.") for one in rows[1].candidates] == [True]


def test_since_and_a_naive_time(memory: Memory) -> None:
    """A nightly run takes what is new; a time without a zone would shift by hours."""
    memory.remember("Ana likes tea", user_id="ana")
    memory.feedback(memory.recall("tea?", user_id="ana"), output="Yes.")
    now = datetime.now(UTC)
    assert len(collect(memory, since=now - timedelta(hours=1))) == 1
    assert collect(memory, since=now + timedelta(hours=1)) == []
    with pytest.raises(InvalidInputError, match="time zone"):
        collect(memory, since=datetime(2026, 1, 1))  # noqa: DTZ001 -- the mistake in question
