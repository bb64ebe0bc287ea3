"""Large stores in minutes: a first block is remembered as always, and then multiplied under other users and sessions.

Each copy has the rows and the points that `remember` would have written, with ids, users, sessions and times of its own, and
vectors moved by noise. Its texts are the block's again: scopes, filters, words and payloads are as in a real store; what
several users said is not. Filling 1,000,000 records by `remember` alone takes ten times as long, and most of an hour of it
is the lexical encoder and the composing of texts.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np

from benchmarks.turns import synthetic
from memsdk import Memory, Side, Task
from memsdk.index.edge import EdgeIndex
from memsdk.index.engine import Engine
from memsdk.index.wire import Row, point_to_row
from memsdk.models import Point
from memsdk.payloads import SESSION, STAMP, USER, Hasher
from memsdk.testing.embedders import HashingEmbedder

if TYPE_CHECKING:
    from numpy.typing import NDArray

SESSION_TURNS, BLOCK = 50, 2_000
NOISE = 0.6  # the length of what is added to a vector of length 1: copies have a cosine of .86 to it, .73 to each other
DONE = "filled"


class Borrowed:
    """Hashing under the packaged model's name. Quick, and of the same size."""

    def __init__(self) -> None:
        from memsdk.embedding.loading import load_embedder

        self.spec = load_embedder(None).spec
        self._hashing = HashingEmbedder(dims=self.spec.dims)
        self.count_tokens = self._hashing.count_tokens

    def embed(self, texts: Sequence[str], *, task: Task, side: Side) -> NDArray[np.float32]:
        """See `Embedder.embed`."""
        return self._hashing.embed(texts, task=task, side=side)


class _Recording(EdgeIndex):
    """The index in this process, which remembers what it was given last under each id."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.points: dict[UUID, Point] = {}
        self.collection = ""

    def upsert(self, collection: str, points: Iterable[Point]) -> None:
        self.collection = collection
        taken = list(points)
        self.points |= {point.id: point for point in taken}
        super().upsert(collection, taken)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """What is multiplied: SQL rows in the order of their ids, and the point of each."""

    records: list[dict[str, object]]
    texts: list[tuple[bytes, bytes]]  # body and extra
    rows: list[Row]  # each point as plain data
    vectors: NDArray[np.float32]  # [records, d]
    hasher: Hasher
    collection: str


def fill(folder: Path, *, records: int, scope: int, seed: int = 7, optimize: bool = True) -> dict[str, float]:
    """Fill a store with users of `scope` records each; a store that is full already is left as it is.

    Args:
        records: a multiple of `scope`; where it is more than 2,000, of 2,000.
        optimize: build the graph at the end, where it pays.

    Returns:
        Seconds by step: `remembered` for the first block, `multiplied`, `optimized`.
    """
    marker = folder / DONE
    if marker.exists():
        return {}
    began = time.perf_counter()
    first = min(records, max(BLOCK, scope))
    assert first % scope == 0, "a block holds whole scopes"
    assert records % first == 0, "and a store whole blocks"
    index = _Recording(folder / "index")
    with Memory.open(folder, embedder=Borrowed(), index=index) as memory:
        for batch in synthetic(first, users=first // scope, batch=min(SESSION_TURNS, scope), seed=seed):
            memory.remember(batch.messages, user_id=batch.user_id, session_id=batch.session_id)
        memory.flush()
        hasher = memory._parts.hasher  # noqa: SLF001 -- payloads are hashed under the store's own key
    seconds = {"remembered": time.perf_counter() - began}
    began = time.perf_counter()
    reopened = Engine(folder / "index")
    if records > first:
        block = _read(folder, index, hasher)
        _multiply(folder, reopened, block, copies=records // first - 1, scope=scope, seed=seed)
    seconds["multiplied"] = time.perf_counter() - began
    began = time.perf_counter()
    if optimize:
        reopened.optimize(index.collection, print)
        seconds["optimized"] = time.perf_counter() - began
    reopened.close()
    marker.touch()
    return {step: round(took, 1) for step, took in seconds.items()}


def _read(folder: Path, index: _Recording, hasher: Hasher) -> _Block:
    with sqlite3.connect(folder / "memory.db") as database:
        database.row_factory = sqlite3.Row
        found = [
            dict(row)
            for row in database.execute(
                "SELECT records.*, body, extra FROM records JOIN texts ON texts.id = text_id ORDER BY text_id"
            )
        ]
    database.close()
    texts = [(row.pop("body"), row.pop("extra")) for row in found]
    points = [index.points[UUID(row["id"])] for row in found]
    return _Block(
        records=found,
        texts=texts,
        rows=[point_to_row(point) for point in points],
        vectors=np.stack([point.dense["dense"] for point in points]),
        hasher=hasher,
        collection=index.collection,
    )


def _multiply(folder: Path, engine: Engine, block: _Block, *, copies: int, scope: int, seed: int) -> None:
    chance = np.random.default_rng(seed)
    size = len(block.records)
    database = sqlite3.connect(folder / "memory.db", isolation_level=None)
    database.execute("PRAGMA synchronous = OFF")  # a fill that breaks off is begun anew
    names = list(block.records[0])
    marks = ", ".join("?" * len(names))
    for copy in range(1, copies + 1):
        rows, points = zip(*_copied(block, copy=copy, users=size // scope, chance=chance), strict=True)
        database.execute("BEGIN")
        database.executemany(
            "INSERT INTO texts (id, body, extra) VALUES (?, ?, ?)",
            [(row["text_id"], *text) for row, text in zip(rows, block.texts, strict=True)],
        )
        database.executemany(
            f"INSERT INTO records ({', '.join(names)}) VALUES ({marks})",  # noqa: S608 -- our own names
            [tuple(row.values()) for row in rows],
        )
        database.execute("COMMIT")
        for start in range(0, size, 500):
            engine.upsert(block.collection, points[start : start + 500])
    database.execute("UPDATE counters SET value = value + ? WHERE name = 'seq'", [copies * size])
    database.execute("UPDATE counters SET value = (SELECT max(id) FROM texts) WHERE name LIKE '%text%'")
    database.close()


def _copied(
    block: _Block, *, copy: int, users: int, chance: np.random.Generator
) -> Iterator[tuple[dict[str, object], Row]]:
    """The rows and points of one copy."""
    size, dims = block.vectors.shape
    noise = chance.standard_normal((size, dims), dtype=np.float32) * np.float32(NOISE / dims**0.5)
    vectors = block.vectors + noise
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    hashes: dict[str, str] = {}

    def hashed(label: str) -> str:
        return hashes.get(label) or hashes.setdefault(label, block.hasher(label))

    for number, (record, row) in enumerate(zip(block.records, block.rows, strict=True)):
        id_ = _moved(UUID(str(record["id"])), copy)
        user = f"user-{copy * users + int(str(record['user_id']).removeprefix('user-'))}"
        session = f"{record['session_id']}-{copy}"
        fresh = {
            **record,
            "id": id_.hex,
            "user_id": user,
            "session_id": session,
            "text_id": int(str(record["text_id"])) + copy * size,
            "index_seq": int(str(record["index_seq"])) + copy * size,
            "content_key": os.urandom(16),
        }
        payload = dict(row[4])  # type: ignore[call-overload]  # a mapping
        payload |= {
            USER: hashed(user),
            SESSION: hashed(session),
            STAMP: fresh["index_seq"],
        }
        yield fresh, [id_.bytes, id_.bytes, {"dense": vectors[number].tobytes()}, row[3], payload]


def _moved(id_: UUID, copy: int) -> UUID:
    """Another id of the same version and time: the low bits of a UUIDv7 are random."""
    return UUID(int=id_.int ^ copy)
