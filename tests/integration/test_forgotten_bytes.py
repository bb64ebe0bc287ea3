from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from memsdk import Memory

Open = Callable[..., Memory]


def files_with(folder: Path, marker: bytes) -> list[str]:
    """The files of a store that hold these bytes."""
    return [path.name for path in folder.rglob("*") if path.is_file() and marker in path.read_bytes()]


@pytest.mark.parametrize("index", ["embedded", "embedded-inline"])
def test_a_forgotten_user_is_in_no_file_while_others_go_on(
    tmp_path: Path, open_memory: Open, index: str
) -> None:
    """Promise 3, with a real engine, its log and its host: texts, names, queries, outputs, titles, metadata."""
    memory = open_memory(index=index)
    store = tmp_path / "store"
    word = "zq7marker"
    turns = [
        {"role": "user", "content": f"{word} turn {number}", "name": f"{word}name"} for number in range(30)
    ]
    memory.remember(turns, user_id="ana", session_id="s1")
    record = memory.remember(
        f"{word} old", user_id="ana", metadata={"note": f"{word}note"}, tags=[f"{word}tag"]
    )
    memory.update(record.id, f"{word} new " * 2_000, metadata={"other": f"{word}other"})
    memory.documents.ingest(
        text=f"# {word}heading\n\n{word} body", title=f"{word}title", key=f"{word}key", user_id="ana"
    )
    recall = memory.recall(f"{word} query", user_id="ana")
    memory.feedback(recall, output=f"{word} output", score=1, metadata={"m": f"{word}m"})
    memory.remember("bo stays", user_id="bo")
    memory.flush()
    assert files_with(store, word.encode()) == ["memory.db"] or files_with(store, word.encode())
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            memory.recall("bo stays", user_id="bo")

    reader = threading.Thread(target=read)
    reader.start()
    try:
        receipt = memory.forget(user_id="ana")
    finally:
        stop.set()
        reader.join()
    if not receipt.wal_truncated:  # a reader held it: sweep finishes the work
        assert memory.sweep().wal_truncated
    assert (receipt.records, receipt.documents, receipt.recalls) == (32, 1, 1)
    assert files_with(store, word.encode()) == []
    memory.flush()
    memory.close()
    assert files_with(store, word.encode()) == []
    again = open_memory(index=index)
    assert not again.recall(f"{word} turn", user_id="ana")
    assert [hit.text for hit in again.recall("bo stays", user_id="bo")] == ["bo stays"]


def test_an_answer_that_may_quote_a_forgotten_record_leaves_no_byte(
    tmp_path: Path, open_memory: Open
) -> None:
    """The agent's own words repeat what it was told."""
    memory = open_memory()
    record = memory.remember("the code is zq7secret", user_id="ana")
    recall = memory.recall("code", user_id="ana")
    memory.feedback(recall, output="It is zq7secret!", metadata={"said": "zq7secret"})
    memory.forget(record.id)
    assert files_with(tmp_path / "store", b"zq7secret") == []


def test_what_expired_leaves_no_byte_after_the_next_open(tmp_path: Path, open_memory: Open) -> None:
    """A ttl is a promise to somebody, also where nobody calls `sweep`."""
    memory = open_memory()
    memory.remember("the code is zq7secret", user_id="ana", ttl=0.05)
    memory.close()
    time.sleep(0.1)
    memory = open_memory()
    assert files_with(tmp_path / "store", b"zq7secret") == []
    assert memory.list() == []


def test_a_removed_document_and_a_struck_paragraph_leave_no_byte(tmp_path: Path, open_memory: Open) -> None:
    """A handbook page that was withdrawn must be gone, not only unlisted."""
    memory = open_memory()
    memory.documents.ingest(text="keep this\n\nzq7struck", title="Rules")
    memory.documents.ingest(text="keep this", title="Rules")
    (document,) = memory.documents.list()
    memory.documents.ingest(text="zq7whole", title="Whole")
    whole = next(item for item in memory.documents.list() if item.title == "Whole")
    memory.documents.remove(whole)
    assert files_with(tmp_path / "store", b"zq7whole") == []
    memory.sweep()
    assert files_with(tmp_path / "store", b"zq7struck") == []
    assert document in memory.documents.list()
