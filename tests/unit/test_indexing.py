from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from memsdk import Memory
from memsdk.indexing import NOTES
from memsdk.models import Draft
from memsdk.pointing import FEW
from memsdk.ports import RecordFilter, Written
from memsdk.records.outbox_store import SqlOutbox
from memsdk.records.record_store import SqlRecords


@pytest.mark.parametrize("count", [1, 2 * FEW])
@pytest.mark.parametrize("session", [None, "s"])
@pytest.mark.parametrize("overtaken_by", ["update", "forget"])
def test_what_changed_between_its_write_and_its_indexing_is_indexed_as_it_is_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overtaken_by: str, session: str | None, count: int
) -> None:
    """A new record is indexed as it was written, without being read again: another process may have been faster."""
    others = [f"other {number}" for number in range(1, count)]
    with Memory.open(tmp_path, embedder="hashing", index="exact") as memory:
        add = SqlRecords.add

        def overtaken(
            self: SqlRecords,
            drafts: Sequence[Draft],
            *,
            owner: str | None,
            before_commit: Callable[[Sequence[Written]], None] | None = None,
        ) -> list[Written]:
            written = add(self, drafts, owner=owner, before_commit=before_commit)
            one = written[0]
            if overtaken_by == "forget":
                memory.forget(one.record.id)
            else:
                self.update(
                    one.record.id, visible=RecordFilter(), owner=None, text="newer words", metadata=None,
                    occurred_at=None, expires_at=None,
                )  # fmt: skip
            return written

        with monkeypatch.context() as patch:
            patch.setattr(SqlRecords, "add", overtaken)
            memory.remember(["older words", *others], user_id="u", session_id=session)
        memory.flush()
        assert memory.verify().clean
        found = [hit.text for hit in memory.recall("words", user_id="u") if hit.text not in others]
        assert found == (["newer words"] if overtaken_by == "update" else [])


def test_a_new_record_without_neighbours_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading it back took a twentieth of what an import of tools adds to the encoder's time."""

    def read(self: SqlOutbox, *arguments: object, **named: object) -> None:
        raise AssertionError("it was read again")

    with Memory.open(tmp_path, embedder="hashing", index="exact") as memory:
        with monkeypatch.context() as patch:
            patch.setattr(SqlOutbox, "read", read)
            memory.remember("a fact", user_id="u")
            memory.tools.add(
                {"name": "get_weather", "description": "The weather of a place", "parameters": {}}
            )
        assert [hit.text for hit in memory.recall("a fact", user_id="u", k=1)] == ["a fact"]
        assert memory.verify().clean


@pytest.fixture
def unhurried(tmp_path: Path) -> Iterator[Memory]:
    """A store that tells the outbox later, and nobody but the test to do it."""
    with Memory.open(tmp_path, embedder="hashing", index="exact", background=False) as memory:
        memory._parts.indexer._notes_later = True
        yield memory


def test_what_one_message_has_in_the_index_is_noted_later(unhurried: Memory) -> None:
    """To note it took a millisecond of each `remember` of one message."""
    memory, pending = unhurried, unhurried._parts.store.outbox_state.pending
    memory.remember("a fact", user_id="u")
    assert pending() == 1
    assert [hit.text for hit in memory.recall("a fact", user_id="u")] == ["a fact"]
    memory._parts.indexer.note()
    assert pending() == 0


def test_many_notes_do_not_pile_up(unhurried: Memory) -> None:
    """Whoever writes and never rests tells the outbox itself."""
    for number in range(NOTES + 1):
        unhurried.remember(f"fact {number}", user_id="u")
    assert unhurried._parts.store.outbox_state.pending() == 0
    assert unhurried.verify().clean


def test_a_record_that_is_overtaken_before_its_note_is_indexed_as_it_is(unhurried: Memory) -> None:
    """The note is of a state that is gone."""
    first = unhurried.remember("older words", user_id="u")
    unhurried.update(first.id, text="newer words")
    second = unhurried.remember("more words", user_id="u")
    unhurried.forget(second.id)
    assert unhurried._parts.store.outbox_state.pending() == 0, "the newer state answers for the older one"
    assert [hit.text for hit in unhurried.recall("words", user_id="u")] == ["newer words"]
    assert unhurried.verify().clean


def test_what_is_noted_for_a_run_that_has_ended_is_indexed_again(unhurried: Memory) -> None:
    """Another process learns late that the engine was started anew, and so lost what it had sent."""
    unhurried.remember("a fact", user_id="u")
    parts = unhurried._parts
    parts.indexer._notes = [replace(note, generation="the one before") for note in parts.indexer._notes]
    parts.indexer.note()
    assert parts.store.outbox_state.pending() == 0
    assert parts.indexer.drain() == 1
