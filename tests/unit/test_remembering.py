from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.engine import Connection

from memsdk import Memory
from memsdk.errors import EmbedderError, IndexingError
from memsdk.index.exact import ExactIndex
from memsdk.models import Side, Task
from memsdk.pointing import FEW, PointBuilder, Prepared
from memsdk.ports import Indexable
from memsdk.testing.embedders import HashingEmbedder
from memsdk.testing.failing_index import FailingIndex

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]


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


@pytest.fixture
def warm(tmp_path: Path) -> Iterator[Memory]:
    """A store whose embedder is loaded, so that batches are begun before they are committed."""
    embedder = Faulty()
    with Memory.open(tmp_path, embedder=embedder, index="exact", background=False) as memory:
        memory.remember("The first one.", user_id="ana")
        yield memory


class Faulty(HashingEmbedder):
    """Fails while it is told to."""

    fails = False

    def embed(self, texts: Sequence[str], *, task: Task, side: Side) -> Vectors:
        """As hashing does."""
        if Faulty.fails:
            raise EmbedderError("out of order")
        return super().embed(texts, task=task, side=side)


TEXTS = [f"text number {number}" for number in range(3 * FEW)]


def test_a_batch_is_encoded_before_it_is_committed(warm: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk takes as long as a quick encoder: one after the other, a batch took a tenth longer."""
    begun: list[int] = []
    prepare = PointBuilder.prepare

    def noted(self: PointBuilder, states: Sequence[Indexable], **named: object) -> Prepared:
        begun.append(len(warm.list(limit=100)))
        return prepare(self, states, **named)  # type: ignore[arg-type]  # passed on as given

    monkeypatch.setattr(PointBuilder, "prepare", noted)
    warm.remember(TEXTS, user_id="ana")
    assert begun == [1], "once, while only the first one was there"
    assert warm.recall(TEXTS[-1], user_id="ana")[0].text == TEXTS[-1]
    assert warm.verify().clean


def test_nothing_is_indexed_of_a_batch_that_is_not_committed(
    warm: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full at the commit, when half of the batch is encoded: it must not be found, then or later."""
    commit = Connection.commit

    def full(self: Connection) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Connection, "commit", full)
    with pytest.raises(OSError, match="disk"):
        warm.remember(TEXTS, user_id="ana")
    monkeypatch.setattr(Connection, "commit", commit)
    assert len(warm.list(limit=100)) == 1
    assert [hit.text for hit in warm.recall(TEXTS[0], user_id="ana", k=50)] == ["The first one."]
    warm.remember([*TEXTS, "another one"], user_id="ana")
    assert len(warm.recall(TEXTS[0], user_id="ana", k=50)) == len(TEXTS) + 2
    assert warm.verify().clean


def test_a_batch_that_no_embedder_takes_is_stored_and_indexed_later(warm: Memory) -> None:
    """It is encoded before the commit: its failure must not undo it."""
    Faulty.fails = True
    try:
        with pytest.raises(EmbedderError, match="out of order") as caught:
            warm.remember(TEXTS, user_id="ana")
    finally:
        Faulty.fails = False
    assert any("safe in the store" in note for note in caught.value.__notes__)
    assert len(warm.list(limit=100)) == len(TEXTS) + 1
    warm.flush()
    assert len(warm.recall(TEXTS[0], user_id="ana", k=50)) == len(TEXTS) + 1
    assert warm.verify().clean
