from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from memsdk import Memory
from memsdk.models import Draft
from memsdk.ports import RecordFilter, Written
from memsdk.records.outbox_store import SqlOutbox
from memsdk.records.record_store import SqlRecords


@pytest.mark.parametrize("session", [None, "s"])
@pytest.mark.parametrize("overtaken_by", ["update", "forget"])
def test_what_changed_between_its_write_and_its_indexing_is_indexed_as_it_is_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overtaken_by: str, session: str | None
) -> None:
    """A new record is indexed as it was written, without being read again: another process may have been faster."""
    with Memory.open(tmp_path, embedder="hashing", index="exact") as memory:
        add = SqlRecords.add

        def overtaken(self: SqlRecords, drafts: Sequence[Draft], *, owner: str | None) -> list[Written]:
            written = add(self, drafts, owner=owner)
            (one,) = written
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
            memory.remember("older words", user_id="u", session_id=session)
        memory.flush()
        assert memory.verify().clean
        found = [hit.text for hit in memory.recall("words", user_id="u")]
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
