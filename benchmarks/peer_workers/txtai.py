"""txtai: embeddings with content, vectors from outside; saved after each call of add, as nothing is durable before."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peer_workers.serving import Item, Vectors, serve


class Txtai:
    """See `Peer`."""

    def __init__(self, folder: str, vectors: str) -> None:
        from txtai import Embeddings

        known = Vectors(vectors)
        self._folder = str(Path(folder) / "index")
        Path(folder).mkdir(parents=True, exist_ok=True)
        given = {"method": "external", "transform": lambda texts: known(list(texts)), "content": True}
        self._embeddings = Embeddings(given)
        if self._embeddings.exists(
            self._folder
        ):  # what is saved names the function, and names are not resolved
            self._embeddings.load(self._folder, config=given)

    def add(self, items: list[Item]) -> None:
        """One call a batch."""
        self._embeddings.upsert([(item.id, {"text": item.text, "user": item.user}, None) for item in items])
        self._embeddings.save(self._folder)

    def search(self, user: str, text: str, k: int) -> list[str]:
        """Within the user's, by the query language; the nearest are found first and filtered then, so some miss hits."""
        found = self._embeddings.search(
            "SELECT id FROM txtai WHERE similar(:text) AND user = :user",
            limit=k,
            parameters={"text": text, "user": user},
        )
        return [row["id"] for row in found]

    def close(self) -> None:
        """Close the database."""
        self._embeddings.close()


if __name__ == "__main__":
    serve(Txtai)
