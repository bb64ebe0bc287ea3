from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memsdk import Memory

Open = Callable[..., Memory]


@pytest.fixture
def open_memory(tmp_path: Path) -> Iterator[Open]:
    """Opens stores without a model, in `tmp_path / "store"` unless told otherwise; all are closed after the test."""
    opened: list[Memory] = []

    def opener(path: Path | None = None, **arguments: object) -> Memory:
        chosen = {"embedder": "hashing", "index": "exact", "synchronous": "NORMAL", **arguments}
        memory = Memory.open(path or tmp_path / "store", **chosen)  # type: ignore[arg-type]  # tests say what they like
        opened.append(memory)
        return memory

    yield opener
    for memory in opened:
        memory.close()


@pytest.fixture
def memory(open_memory: Open) -> Memory:
    """An empty store."""
    return open_memory()
