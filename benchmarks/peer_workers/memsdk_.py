"""memsdk itself, with its defaults: chat messages in sessions."""

from __future__ import annotations

from pathlib import Path

from benchmarks.filling import Borrowed
from benchmarks.ingest import Timed
from benchmarks.peer_workers.serving import Item, serve
from memsdk import Memory

HASHING = "hashing"


class Memsdk:
    """See `Peer`. The second argument is `hashing` where vectors are to cost nothing, else the model is the packaged one."""

    def __init__(self, folder: str, source: str) -> None:
        self._hashing = Timed(Borrowed()) if source == HASHING else None
        self._memory = Memory.open(Path(folder), embedder=self._hashing)
        self._asking_s = 0.0

    @property
    def embed_s(self) -> float:
        """The seconds spent in the encoder: those of the queries as the recall tells, and those of hashing."""
        return self._asking_s + (self._hashing.seconds if self._hashing else 0.0)

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
        if self._hashing is None:
            self._asking_s += recall.embed_s
        return [str(hit.external_id) for hit in recall]

    def close(self) -> None:
        """Let go of it."""
        self._memory.close()


if __name__ == "__main__":
    serve(Memsdk)
