"""LangGraph's store on SQLite: a namespace a user, the text indexed, given vectors."""

from __future__ import annotations

import importlib
import sqlite3
import sys
from pathlib import Path

from benchmarks.peer_workers.serving import Item, Vectors, serve


class LangGraph:
    """See `Peer`."""

    def __init__(self, folder: str, vectors: str) -> None:
        if not hasattr(sqlite3.Connection, "enable_load_extension"):  # a Python that was built without it
            sys.modules["sqlite3"] = importlib.import_module("pysqlite3")
        from langgraph.store.sqlite import SqliteStore

        known = Vectors(vectors)
        Path(folder).mkdir(parents=True, exist_ok=True)
        self._opened = SqliteStore.from_conn_string(
            str(Path(folder) / "store.db"),
            index={  # its documentation says "fields"; what this store reads is "text_fields"
                "dims": 384,
                "embed": lambda texts: known(list(texts)).tolist(),
                "fields": ["text"],
                "text_fields": ["text"],
            },
        )
        self._store = self._opened.__enter__()
        self._store.setup()

    def add(self, items: list[Item]) -> None:
        """One call a batch."""
        from langgraph.store.base import PutOp

        self._store.batch([PutOp((item.user,), item.id, {"text": item.text}) for item in items])

    def search(self, user: str, text: str, k: int) -> list[str]:
        """Within the user's namespace."""
        return [item.key for item in self._store.search((user,), query=text, limit=k)]

    def close(self) -> None:
        """Close the database."""
        self._opened.__exit__(None, None, None)


if __name__ == "__main__":
    serve(LangGraph)
