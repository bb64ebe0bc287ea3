"""mem0 with its local Qdrant, `infer=False`: texts are kept as they are, and no LLM is asked.

Its adds are measured end to end, with the same weights through sentence-transformers. It takes one memory a call; where
only its searches are measured, its vector store is filled in batches with the rows that `add` would have made.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from benchmarks.peer_workers.serving import OFFLINE, Item, Vectors, serve

MOST = 1_000  # rows a call
MODEL = "model:"


class Mem0:
    """See `Peer`. The second argument is `model:FOLDER`, or the folder of the vectors."""

    def __init__(self, folder: str, source: str) -> None:
        os.environ.update(OFFLINE)
        os.environ["MEM0_DIR"] = folder
        from mem0 import Memory

        model = source.removeprefix(MODEL) if source.startswith(MODEL) else None
        self._memory = Memory.from_config(
            {
                "vector_store": {
                    "provider": "qdrant",
                    "config": {
                        "path": str(Path(folder) / "qdrant"),
                        "on_disk": True,
                        "embedding_model_dims": 384,
                    },
                },
                "embedder": {
                    "provider": "huggingface",
                    "config": {"model": model or os.environ["PEER_MODEL"], "embedding_dims": 384},
                },
                "llm": {"provider": "openai", "config": {"api_key": "none", "model": "none"}},
                "history_db_path": str(Path(folder) / "history.db"),
            }
        )
        self._given = None if model else Vectors(source)
        if self._given is not None:
            known = self._given
            self._memory.embedding_model.embed = lambda text, *_, **__: known([text])[0].tolist()

    def add(self, items: list[Item]) -> None:
        """One call a memory, or rows in batches where vectors are given."""
        if self._given is None:
            for item in items:
                self._memory.add(item.text, user_id=item.user, metadata={"item": item.id}, infer=False)
            return
        for start in range(0, len(items), MOST):
            some = items[start : start + MOST]
            self._memory.vector_store.insert(
                vectors=self._given([item.text for item in some]).tolist(),
                ids=[str(uuid.uuid4()) for _ in some],
                payloads=[{"data": item.text, "user_id": item.user, "item": item.id} for item in some],
            )

    def search(self, user: str, text: str, k: int) -> list[str]:
        """Within the user's."""
        found = self._memory.search(text, filters={"user_id": user}, top_k=k)
        return [row["metadata"]["item"] for row in found["results"]]

    def close(self) -> None:
        """Let go of it."""
        self._memory.vector_store.client.close()


if __name__ == "__main__":
    serve(Mem0)
