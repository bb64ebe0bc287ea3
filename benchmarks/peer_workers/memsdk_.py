"""memsdk itself, with its defaults: chat messages in sessions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.filling import Borrowed
from benchmarks.peer_workers.serving import Item, Vectors, serve
from memsdk import Memory, Side, Task

PACKAGED = "packaged"


class Given(Borrowed):
    """The vectors that were made beforehand, as the peers are given them, under the packaged model's name."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self._vectors = Vectors(folder)

    def embed(self, texts: Sequence[str], *, task: Task, side: Side) -> NDArray[np.float32]:
        """See `Embedder.embed`."""
        return self._vectors(list(texts))


class Memsdk:
    """See `Peer`. The second argument is `packaged`, or where vectors made beforehand are."""

    embed_s = 0.0  # of the queries, as the recall tells

    def __init__(self, folder: str, source: str) -> None:
        self._memory = Memory.open(Path(folder), embedder=None if source == PACKAGED else Given(source))

    def add(self, items: list[Item]) -> None:
        """One call a session."""
        start = 0
        for end in range(1, len(items) + 1):
            if end == len(items) or items[end].session != items[start].session:
                self._remember(items[start:end])
                start = end

    def _remember(self, items: list[Item]) -> None:
        messages = [
            {"role": "user", "name": item.speaker, "content": item.text, "time": item.time, "id": item.id}
            for item in items
        ]
        self._memory.remember(messages, user_id=items[0].user, session_id=items[0].session)

    def search(self, user: str, text: str, k: int) -> list[str]:
        """Within the user's."""
        recall = self._memory.recall(text, user_id=user, k=k)
        self.embed_s += recall.embed_s
        return [str(hit.external_id) for hit in recall]

    def close(self) -> None:
        """Let go of it."""
        self._memory.close()


if __name__ == "__main__":
    serve(Memsdk)
