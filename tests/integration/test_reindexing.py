from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from memsdk import Memory
from memsdk.errors import EmbedderMismatchError

Open = Callable[..., Memory]


@pytest.mark.parametrize("index", ["exact", "embedded-inline"])
def test_an_agent_serves_while_another_embedder_takes_over(open_memory: Open, index: str) -> None:
    """A new model must cost no downtime and no memory written meanwhile."""
    memory = open_memory(index=index)
    memory.remember([f"fact number{number}" for number in range(120)], user_id="ana")
    gone = memory.remember("to be forgotten meanwhile", user_id="ana")
    stop, errors, written = threading.Event(), [], 0

    def serve() -> None:
        nonlocal written
        try:
            while not stop.is_set() and written < 200:
                memory.remember(f"meanwhile number{1_000 + written}", user_id="ana")
                written += 1
                text = f"meanwhile number{999 + written}"
                assert memory.recall(text, user_id="ana", k=3)[0].text == text
        except BaseException as error:  # shown in the test's own thread
            errors.append(error)
            raise

    worker = threading.Thread(target=serve)
    worker.start()
    try:
        memory.reindex(embedder="hashing:64:256:other")
        memory.forget(gone.id)
    finally:
        stop.set()
        worker.join()
    assert errors == []
    memory.flush()
    for number in [*range(0, 120, 30), *range(1_000, 1_000 + written, 20)]:
        assert f"number{number}" in memory.recall(f"number{number}", user_id="ana", k=3)[0].text
    assert memory.verify().clean
    assert memory.stats().embedder == "hashing:64:256:other"
    assert memory.retire()
    assert memory.verify().clean


def test_the_other_embedder_is_the_stores_own_from_then_on(open_memory: Open) -> None:
    """The next process must not mix the old vectors in."""
    memory = open_memory(index="embedded-inline")
    memory.remember("peanuts are bad", user_id="ana")
    memory.reindex(embedder="hashing:32:256:other")
    memory.close()
    with pytest.raises(EmbedderMismatchError):
        open_memory(index="embedded-inline", embedder="hashing")
    memory = open_memory(index="embedded-inline", embedder=None)
    assert memory.recall("peanuts", user_id="ana")[0].text == "peanuts are bad"
    memory.reindex(embedder="hashing")  # and back
    assert memory.verify().clean
    assert memory.recall("peanuts", user_id="ana")[0].text == "peanuts are bad"


def test_an_embedder_that_takes_less_text_leaves_a_clean_index(open_memory: Open) -> None:
    """A long text has another number of parts then; `verify` must not call the new index broken."""
    memory = open_memory()
    memory.remember(" ".join(f"word{number}" for number in range(1_000)), user_id="ana")
    memory.reindex(embedder="hashing:64:64:short")
    assert memory.verify().clean
    memory.reindex(embedder="hashing:64:512:long")
    assert memory.verify().clean
    record = memory.list()[0]
    memory.forget(record.id)
    assert memory.verify().points == 0


def test_reindexing_with_the_same_embedder_heals_in_place(open_memory: Open) -> None:
    """What an operator runs when recall feels wrong must never make it worse."""
    memory = open_memory()
    memory.remember(["peanuts are bad", "tea is good"], user_id="ana")
    done: list[tuple[int, int]] = []
    memory.reindex(progress=lambda so_far, total: done.append((so_far, total)))
    assert done[-1] == (2, 2)
    assert memory.verify().clean
    assert len(memory.stats().points) == 1


def test_two_memories_share_one_index_host(open_memory: Open) -> None:
    """The CLI ingests while the agent serves: both must see what the other wrote."""
    first = open_memory(index="embedded")
    second = open_memory(index="embedded")
    first.remember("peanuts are bad", user_id="ana")
    assert second.recall("peanuts", user_id="ana")[0].text == "peanuts are bad"
    second.reindex(embedder="hashing:32:256:other")
    first.remember("tea is good", user_id="ana")
    assert {hit.text for hit in first.recall("tea peanuts", user_id="ana")} == {
        "peanuts are bad",
        "tea is good",
    }
    assert first.stats().embedder == "hashing:32:256:other"
    first.flush()
    assert second.verify().clean
    assert second.forget(user_id="ana").vectors_deleted
    assert not first.recall("peanuts", user_id="ana")


@pytest.mark.parametrize("retired", [False, True], ids=["both there", "the old one dropped"])
def test_a_recall_that_a_switch_overtakes_is_answered_by_what_serves(
    open_memory: Open, monkeypatch: pytest.MonkeyPatch, *, retired: bool
) -> None:
    """It asks what serves with its last query only: an answer by the old vectors would be an answer to nothing."""
    first, second = open_memory(index="embedded"), open_memory(index="embedded")
    first.remember(["peanuts are bad", "tea is good"], user_id="ana")
    before = first.recall("peanuts", user_id="ana").query_version
    search = first._parts.index.search

    def overtaken(*asked: object) -> object:
        monkeypatch.undo()
        found = None if retired else search(*asked)  # type: ignore[arg-type]  # what was asked is passed on
        second.reindex(embedder="hashing:32:256:other")
        if retired:
            assert second.retire()
            found = search(*asked)  # type: ignore[arg-type]
        return found

    monkeypatch.setattr(first._parts.index, "search", overtaken)
    answer = first.recall("peanuts", user_id="ana")
    assert answer[0].text == "peanuts are bad"
    assert answer.query_version == second.recall("peanuts", user_id="ana").query_version != before


def test_a_store_of_an_older_release_says_what_mends_it(
    open_memory: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What it was indexed with lacks what filters ask for: nobody should wonder why they find nothing."""
    with monkeypatch.context() as before:
        before.setattr("memsdk.wiring.COMPOSITION", "0")
        memory = open_memory(index="embedded-inline")
        memory.remember("peanuts are bad", user_id="ana")
        memory.close()
    memory = open_memory(index="embedded-inline", embedder=None)
    assert memory.recall("peanuts", user_id="ana")
    assert "memsdk reindex" in caplog.text
    memory.reindex()
    memory.close()
    caplog.clear()
    memory = open_memory(index="embedded-inline", embedder=None)
    assert memory.recall("peanuts", user_id="ana")
    assert not caplog.records
