from __future__ import annotations

from pathlib import Path

import pytest

from memsdk import Memory
from memsdk.errors import IndexingError
from memsdk.index.exact import ExactIndex
from memsdk.testing.failing_index import FailingIndex


class StopNowError(KeyboardInterrupt):
    """Ctrl-C, told apart from a real one."""


def test_all_of_a_long_list_is_kept_where_the_index_fails(tmp_path: Path) -> None:
    """`remember` says "it is stored" of the whole call; half of a chat export would be lost without a word."""
    down = FailingIndex(ExactIndex(), fails=lambda call: call == "upsert")
    with Memory.open(
        tmp_path, embedder="hashing", index=down, synchronous="NORMAL", background=False
    ) as memory:
        with pytest.raises(IndexingError):
            memory.remember([f"text number {number}" for number in range(700)], user_id="ana")
        assert len(memory.list(limit=10_000)) == 700
        down.fails = lambda call: False
        memory.flush()
        assert memory.recall("number 699", user_id="ana")[0].text == "text number 699"
        assert memory.verify().clean


def test_an_interrupted_call_leaves_nothing_claimed(tmp_path: Path) -> None:
    """Ctrl-C in a notebook must not make the next `flush` wait for a process that is this one."""

    def interrupt(call: str) -> bool:
        if call == "upsert":
            raise StopNowError
        return False

    index = FailingIndex(ExactIndex(), fails=interrupt)
    with Memory.open(
        tmp_path, embedder="hashing", index=index, synchronous="NORMAL", background=False
    ) as memory:
        with pytest.raises(StopNowError):
            memory.remember("peanuts", user_id="ana")
        index.fails = lambda call: False
        memory._parts.indexer.drain_all(patience_s=0.5)
        assert memory.recall("peanuts", user_id="ana")[0].text == "peanuts"
        assert memory.verify().clean


def test_an_interrupted_ingest_leaves_nothing_claimed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that runs full at the second document must not keep the first from being found."""
    with Memory.open(
        tmp_path, embedder="hashing", index="exact", synchronous="NORMAL", background=False
    ) as memory:
        store = memory._parts.store.documents
        replace, calls = store.replace, iter([True, False])

        def second_fails(*args: object, **kwargs: object) -> object:
            if next(calls):
                return replace(*args, **kwargs)  # type: ignore[arg-type]  # passed on as given
            raise StopNowError

        folder = tmp_path / "folder"
        folder.mkdir()
        (folder / "a.md").write_text("peanuts")
        (folder / "b.md").write_text("tea")
        monkeypatch.setattr(
            type(store), "replace", lambda self, *args, **kwargs: second_fails(*args, **kwargs)
        )
        with pytest.raises(StopNowError):
            memory.documents.ingest(folder)
        monkeypatch.undo()
        memory._parts.indexer.drain_all(patience_s=0.5)
        assert memory.recall("peanuts", shared=True)[0].text == "peanuts"
