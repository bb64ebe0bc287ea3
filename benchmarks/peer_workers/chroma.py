"""chroma: a persistent collection, cosine, given vectors."""

from __future__ import annotations

from benchmarks.peer_workers.serving import Item, Vectors, serve

MOST = 5_000  # items a call


class Chroma:
    """See `Peer`."""

    def __init__(self, folder: str, vectors: str) -> None:
        import chromadb

        client = chromadb.PersistentClient(folder, settings=chromadb.Settings(anonymized_telemetry=False))
        self._vectors = Vectors(vectors)
        self._collection = client.get_or_create_collection(
            "memories", metadata={"hnsw:space": "cosine"}, embedding_function=None
        )

    def add(self, items: list[Item]) -> None:
        """One call a batch."""
        for start in range(0, len(items), MOST):
            some = items[start : start + MOST]
            self._collection.add(
                ids=[item.id for item in some],
                documents=[item.text for item in some],
                embeddings=self._vectors([item.text for item in some]),
                metadatas=[{"user": item.user, "session": item.session} for item in some],
            )

    def search(self, user: str, text: str, k: int) -> list[str]:
        """Within the user's."""
        found = self._collection.query(
            query_embeddings=self._vectors([text]), n_results=k, where={"user": user}
        )
        return list(found["ids"][0])

    def close(self) -> None:
        """It is on disk already."""


if __name__ == "__main__":
    serve(Chroma)
