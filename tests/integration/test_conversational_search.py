"""A recall amid a conversation, and the space that a store can enable for it."""

# ruff: noqa: D103 -- helpers are told by their names
from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from memsdk import Memory
from memsdk.embedding.prefixes import LLM_EMBEDDER
from memsdk.errors import InvalidInputError
from memsdk.testing.embedders import HashingEmbedder

Open = Callable[..., Memory]
RULES = {
    "Harbour Inn": "Harbour Inn: the bathrooms are spotless and smell of soap.",
    "Castle Hotel": "Castle Hotel: the bathrooms are dirty and the towels are thin.",
    "Old Mill": "Old Mill: breakfast is served until noon.",
}
HISTORY = [
    {"role": "user", "content": "I look for a cheap hotel."},
    {"role": "assistant", "content": "What about the Castle Hotel?"},
]


def prefixed() -> HashingEmbedder:
    """With LLM-Embedder's prefixes, so that every task has a space of its own."""
    return HashingEmbedder(prefixes=LLM_EMBEDDER, name="prefixed")


def fill(memory: Memory) -> None:
    for title, text in RULES.items():
        memory.documents.ingest(text=text, title=title)
    memory.remember("Ana stayed at the Castle Hotel.", user_id="ana")


def test_the_turns_before_say_whose_bathrooms(memory: Memory) -> None:
    """Asked alone, "the bathrooms" are anybody's; with the history they are the hotel's that was just named."""
    fill(memory)
    asked = memory.recall("Are the bathrooms clean?", kinds=["document"], history=HISTORY, k=1)
    assert "Castle Hotel" in asked[0].text


def test_a_store_without_prefixes_enables_at_once(memory: Memory) -> None:
    """All tasks share one space there: building a second one would be the same vectors again."""
    fill(memory)
    before = memory.stats().points
    assert memory.enable("convsearch")
    assert not memory.enable("convsearch")
    assert memory.stats().points == before
    assert memory.recall("bathrooms", kinds=["document"], history=HISTORY)
    assert memory.verify().clean


def test_the_space_is_built_while_the_store_serves_and_kept_up_to_date(
    open_memory: Open, tmp_path: Path
) -> None:
    """What is ingested or forgotten after `enable`, or during it, must be found or gone there too."""
    memory = open_memory(embedder=prefixed())
    fill(memory)
    own = set(memory.stats().points)
    writer = threading.Thread(
        target=lambda: memory.documents.ingest(
            text="New Lodge: the bathrooms have a view.", title="New Lodge"
        )
    )
    writer.start()
    assert memory.enable("convsearch")
    writer.join()
    (twin,) = set(memory.stats().points) - own
    assert memory.stats().points[twin] == 4
    assert memory.verify().clean
    memory.documents.ingest(text="Blue Bay: the bathrooms are blue.", title="Blue Bay")
    first = next(document for document in memory.documents.list() if document.title == "Harbour Inn")
    memory.documents.remove(first)
    assert memory.stats().points[twin] == 4
    found = memory.recall(
        "bathrooms of the hotel", kinds=["document", "memory"], user_id="ana", history=["the Blue Bay"], k=9
    )
    assert any("blue" in hit.text for hit in found)
    assert not any("Harbour" in hit.text for hit in found)
    assert any(hit.kind == "memory" for hit in found)
    assert memory.verify().clean


def test_verify_sees_what_the_space_lacks_and_repair_brings_it(open_memory: Open) -> None:
    """A second space that nobody compares with the records would rot unseen."""
    memory = open_memory(embedder=prefixed())
    fill(memory)
    own = set(memory.stats().points)
    memory.enable("convsearch")
    (twin,) = set(memory.stats().points) - own
    chunk = memory.list(kinds=["document"])[0]
    memory._parts.index.delete(twin, [chunk.id])
    found = memory.verify()
    assert [(item.problem, item.record_id, item.collection) for item in found.differences] == [
        ("missing", chunk.id, twin)
    ]
    assert memory.repair().clean


def test_another_embedder_builds_the_space_too(open_memory: Open, tmp_path: Path) -> None:
    """After a reindex, a history must not be searched with one model's query in another model's vectors."""
    memory = open_memory(embedder=prefixed())
    fill(memory)
    memory.enable("convsearch")
    memory.reindex(embedder="hashing")
    assert "convsearch" in memory.stats().fingerprints
    assert memory.recall("bathrooms", kinds=["document"], history=HISTORY, k=1)
    assert memory.verify().clean


@pytest.mark.parametrize("task", ["chat", "convsaerch", None, 3])
def test_a_task_that_can_t_be_enabled_is_refused(memory: Memory, task: object) -> None:
    """A misspelt task must not look like a done deed."""
    with pytest.raises(InvalidInputError, match="convsearch"):
        memory.enable(task)  # type: ignore[arg-type]  # on purpose
