"""The care of a store: backups, statistics, changing between the host and the inline index."""

from __future__ import annotations

from pathlib import Path

import pytest

from memsdk import Memory, NotFoundError


def test_a_backup_opens_and_recalls(tmp_path: Path) -> None:
    """A backup that can't be opened is noticed on the day it is needed."""
    with Memory.open(tmp_path / "store", embedder="hashing", index="exact") as memory:
        memory.remember("Ana keeps bees on the roof.", user_id="ana")
        copy = memory.backup(tmp_path / "copy")
    with Memory.open(copy, index="exact") as memory:
        assert [hit.text for hit in memory.recall("bees", user_id="ana")] == ["Ana keeps bees on the roof."]
        memory.flush()
        assert memory.verify().clean


def test_the_inline_index_waits_for_a_host_that_is_about_to_leave(tmp_path: Path) -> None:
    """The user closed the store; that a helper process lingers is not their business."""
    with Memory.open(tmp_path, embedder="hashing", host_idle_s=0.5) as memory:
        memory.remember("Ana keeps bees on the roof.", user_id="ana")
    with Memory.open(tmp_path, index="embedded-inline", host_idle_s=0.5) as memory:
        assert len(memory.recall("bees", user_id="ana")) == 1


def test_statistics_count_what_is_on_disk(tmp_path: Path) -> None:
    """An index's files are sparse: 200 MB of holes would frighten an operator."""
    with Memory.open(tmp_path, embedder="hashing", index="embedded-inline") as memory:
        memory.remember("Ana keeps bees on the roof.", user_id="ana")
        assert 0 < memory.stats().bytes < 50_000_000


def test_a_title_that_is_given_wins_over_the_first_heading(tmp_path: Path) -> None:
    """The caller names the document as their users know it."""
    with Memory.open(tmp_path, embedder="hashing", index="exact") as memory:
        memory.documents.ingest(text="# Draft 7\n\nBees sleep.", title="On bees", media_type="text/markdown")
        assert [document.title for document in memory.documents.list()] == ["On bees"]
        assert [hit.title for hit in memory.recall("bees")] == ["On bees"]


def test_an_agents_view_keeps_to_that_agent_on_every_shelf(tmp_path: Path) -> None:
    """One agent listing, reading or erasing what another agent of the same user filed."""
    with Memory.open(tmp_path, embedder="hashing", index="exact") as memory:
        memory.remember({"role": "user", "content": "for B"}, user_id="u", agent_id="B", session_id="sB")
        memory.documents.ingest(text="for B only", title="B's", user_id="u", agent_id="B")
        view = memory.scoped(user_id="u", agent_id="A")
        assert view.sessions.list() == []
        with pytest.raises(NotFoundError):
            view.sessions.transcript("sB")
        assert view.documents.list() == []
        with pytest.raises(NotFoundError):
            view.documents.remove(memory.documents.list()[0])
        assert len(memory.scoped(user_id="u", agent_id="B").documents.list()) == 1


def test_a_name_with_a_dot_inside_a_mapping_is_found(tmp_path: Path) -> None:
    """Index and SQL must read a path alike, or a record is dropped that the filter means."""
    with Memory.open(tmp_path, embedder="hashing", index="exact") as memory:
        memory.remember("bees", metadata={"a": {"b.c": 1}})
        assert len(memory.recall("bees", filters={"a.b.c": 1})) == 1
        assert len(memory.list(filters={"a.b.c": 1})) == 1


def test_a_budget_too_small_for_a_word_renders_nothing(tmp_path: Path) -> None:
    """A heading with nothing below it tells the LLM that there is nothing to know."""
    with Memory.open(tmp_path, embedder="hashing", index="exact") as memory:
        memory.remember("antidisestablishmentarianism" * 20)
        assert memory.recall("antidisestablishmentarianism").render(max_tokens=3) in ("", "-")
