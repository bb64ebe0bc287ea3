"""What the index finds beside exact search: recall@10 of each leg and of their fusion, with and without filters.

Points are made without an encoder: vectors of 48 intrinsic dimensions in overlapping clusters, turned into 384 with noise;
words by Zipf's law. One tenant has half of all points, one a fifth, nobody (shared by all) a tenth, the others 100 each.
Exact search is numpy over all visible points, cosine and BM25 from their definitions, fused by the same function at the
same depth. A share is of points whose exact score is at least that of the exact tenth: equal scores are equally right.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np

from memsdk.filters import Match
from memsdk.index.edge import EdgeIndex
from memsdk.models import FOREVER, Kind, Point, SparseVector
from memsdk.payload_filters import compile_filter, visible
from memsdk.payloads import (
    AGENT,
    EQUAL,
    KIND,
    RECORD,
    SESSION,
    USER,
    VALID_FROM,
    VALID_TO,
    Hasher,
    collection_spec,
)
from memsdk.ports import Leg, PointHit, SearchRequest
from memsdk.ranking import DEFAULT_WEIGHTS, DEPTH, best_scores, fuse

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Ints = NDArray[np.int64]

K, DIMS, INTRINSIC, CLUSTERS = 10, 384, 48, 500
VOCABULARY, WORDS, QUERY_WORDS = 20_000, 20, 6
SHARES = {"1 %": 0.01, "10 %": 0.1, "50 %": 0.5}
TARGET = 0.99
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SPACE = "space"


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """Points as columns, and queries of the same make."""

    dense: Floats  # [n, DIMS], rows of unit length
    words: Ints  # [n, WORDS]
    weights: Floats  # [n, WORDS], 0 where a word is there twice
    users: list[str]  # [n]
    marks: Floats  # [n], even in 0 to 1: a filter's share is what lies below it
    queries: Floats  # [q, DIMS]
    query_words: Ints  # [q, QUERY_WORDS]

    def ids(self) -> list[UUID]:
        """The points' ids, in order."""
        return [UUID(int=(7 << 76) | (8 << 60) | number) for number in range(len(self.users))]


def main(arguments: list[str]) -> dict[str, object]:
    """Measure and print; `met` says whether every fused figure is at least .99."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks exactness", description=__doc__)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--keep", type=Path, help="the index's folder; used again where it is filled")
    parser.add_argument("--plain", action="store_true", help="build no graph")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args(arguments)
    data = make(options.points, queries=options.queries, seed=options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        index = EdgeIndex(options.keep or Path(temporary) / "index", worth_it=1_000)
        began = time.perf_counter()
        fill(index, data)
        filled_s = time.perf_counter() - began
        began = time.perf_counter()
        built = not options.plain and index.optimize(SPACE)
        print(
            f"{options.points} points filled in {filled_s:.0f} s; graph built: {built}, {time.perf_counter() - began:.0f} s"
        )
        rows = [
            compare(index, data, scope=scope, share=share)
            for scope in ("half", "fifth", "small", "nobody")
            for share in (None, *SHARES)
        ]
        index.close()
    return show(rows, points=options.points)


def make(points: int, *, queries: int, seed: int) -> Data:
    """So many points and queries, the same for the same seed."""
    chance = np.random.default_rng(seed)
    centres = chance.standard_normal((CLUSTERS, INTRINSIC), dtype=np.float32)
    turn = chance.standard_normal((INTRINSIC, DIMS), dtype=np.float32) / np.float32(INTRINSIC**0.5)

    def dense(count: int) -> Floats:
        inner = centres[chance.integers(CLUSTERS, size=count)]
        inner = inner + chance.standard_normal((count, INTRINSIC), dtype=np.float32)
        outer = inner @ turn + 0.3 * chance.standard_normal((count, DIMS), dtype=np.float32)
        return np.asarray(outer / np.linalg.norm(outer, axis=1, keepdims=True), np.float32)

    words = np.sort(np.minimum(chance.zipf(1.2, (points, WORDS)), VOCABULARY), axis=1)
    weights = chance.uniform(0.5, 2.0, words.shape).astype(np.float32)
    weights[:, 1:][words[:, 1:] == words[:, :-1]] = 0
    parts = [("half", points // 2), ("fifth", points // 5), ("nobody", points // 10)]
    users = [name for name, count in parts for _ in range(count)]
    users += [f"user-{number // 100}" for number in range(points - len(users))]
    chance.shuffle(users)
    return Data(
        dense=dense(points),
        words=words,
        weights=weights,
        users=users,
        marks=chance.random(points, dtype=np.float32),
        queries=dense(queries),
        query_words=np.minimum(chance.zipf(1.2, (queries, QUERY_WORDS)) + 20, VOCABULARY),
    )


def fill(index: EdgeIndex, data: Data) -> None:
    """Upsert everything, unless it is there."""
    index.ensure(SPACE, collection_spec(dims=DIMS, sparse=("bm25",)))
    if index.collections().get(SPACE) == len(data.users):
        return
    ids, hasher = data.ids(), Hasher(b"benchmark")
    for start in range(0, len(ids), 1_000):
        index.upsert(
            SPACE,
            [
                _point(data, number, ids[number], hasher)
                for number in range(start, min(start + 1_000, len(ids)))
            ],
        )
    index.flush()


def _point(data: Data, number: int, id_: UUID, hasher: Hasher) -> Point:
    user = "" if data.users[number] == "nobody" else data.users[number]
    there = data.weights[number] > 0
    return Point(
        id=id_,
        record=id_,
        dense={"dense": data.dense[number]},
        sparse={
            "bm25": SparseVector(data.words[number][there].tolist(), data.weights[number][there].tolist())
        },
        payload={
            USER: hasher(user),
            AGENT: hasher(""),
            SESSION: hasher(""),
            KIND: "memory",
            VALID_FROM: NOW.timestamp() - 1,
            VALID_TO: FOREVER.timestamp(),
            EQUAL: [
                word
                for name, share in SHARES.items()
                for word in compile_filter(Match(name, (_tag(data.marks[number] < share),)), hasher).values
            ],
        },
    )


def _tag(inside: bool) -> str:  # noqa: FBT001 -- one flag
    return "in" if inside else "out"


def compare(index: EdgeIndex, data: Data, *, scope: str, share: str | None) -> dict[str, object]:
    """One row of the table: each leg's and the fusion's mean share of the exact ten, and the worst query's."""
    hasher, ids = Hasher(b"benchmark"), data.ids()
    user = {"nobody": None, "small": "user-3"}.get(scope, scope)
    where = None if share is None else Match(share, ("in",))
    condition = visible(
        kinds=(Kind.MEMORY,),
        user_id=user,
        agent_id=None,
        session_id=None,
        at=NOW,
        as_of=False,
        where=where,
        hasher=hasher,
    )
    seen = np.array([each in (user, "nobody") for each in data.users])
    if share is not None:
        seen &= data.marks < SHARES[share]
    exact = _Exact(data, np.flatnonzero(seen), ids)
    found: dict[str, list[float]] = {"dense": [], "bm25": [], "fused": []}
    milliseconds = []
    for number in range(len(data.queries)):
        words = sorted(set(data.query_words[number].tolist()))
        request = SearchRequest(
            legs=(
                Leg(name="dense", dense=data.queries[number]),
                Leg(name="bm25", sparse=SparseVector(words, [1.0] * len(words))),
            ),
            filter=condition,
            limit=DEPTH,
            payload=(RECORD,),
            parts_only=True,
        )
        began = time.perf_counter()
        (legs,) = index.search(SPACE, [request])
        milliseconds.append((time.perf_counter() - began) * 1e3)
        right = exact.legs(number, words)
        for name in ("dense", "bm25"):
            found[name].append(
                _share([(hit.id, hit.score) for hit in legs[name]], [(h.id, h.score) for h in right[name]])
            )
        found["fused"].append(_share(_fused(legs), _fused(right)))
    return {
        "scope": scope,
        "filter": share or "none",
        "visible": int(seen.sum()),
        **{name: round(float(np.mean(values)), 4) for name, values in found.items()},
        "worst": round(min(found["fused"]), 2),
        "p50_ms": round(float(np.median(milliseconds)), 2),
    }


class _Exact:
    """The legs over these points, from their definitions."""

    def __init__(self, data: Data, seen: Ints, ids: Sequence[UUID]) -> None:
        self._data, self._seen, self._ids = data, seen, ids
        self._dense = data.dense[seen]
        self._words, self._weights = data.words[seen], data.weights[seen]
        self._frequency = np.bincount(data.words[data.weights > 0], minlength=VOCABULARY + 1)

    def legs(self, number: int, words: Sequence[int]) -> dict[str, list[PointHit]]:
        """Cosine; and the sum of key weights times ln(1 + (N - df + .5) / (df + .5)), df over the whole collection."""
        cosine = self._dense @ self._data.queries[number]
        lexical = np.zeros(len(self._seen))
        everything = len(self._data.users)
        for word in words:
            frequency = int(self._frequency[word])
            idf = np.log(1 + (everything - frequency + 0.5) / (frequency + 0.5))
            lexical += idf * np.where(self._words == word, self._weights, 0).sum(1)
        return {"dense": self._best(cosine), "bm25": self._best(lexical, above=0)}

    def _best(self, scores: NDArray[np.floating], *, above: float = -2) -> list[PointHit]:
        order = np.argsort(-scores, kind="stable")[:DEPTH]
        return [
            PointHit(self._ids[self._seen[at]].hex, float(scores[at]), {})
            for at in order
            if scores[at] > above
        ]


def _fused(legs: Mapping[str, Sequence[PointHit]]) -> list[tuple[UUID, float]]:
    ranked = fuse(
        {name: list(hits) for name, hits in legs.items()},
        weights=DEFAULT_WEIGHTS[Kind.MEMORY],
        depth=DEPTH,
        best=best_scores([{name: list(hits) for name, hits in legs.items()}]),
    )
    return [(candidate.record, candidate.score) for candidate in ranked]


def _share(found: Sequence[tuple[UUID, float]], right: Sequence[tuple[UUID, float]]) -> float:
    """The share of the exact ten that was found; any point whose exact score is the tenth's counts as one of them."""
    if not right:
        return 1.0 if not found else 0.0
    scores = dict(right)
    bar = right[min(K, len(right)) - 1][1]
    bar -= 1e-5 * max(1.0, abs(bar))
    good = sum(1 for point, _ in found[:K] if scores.get(point, -9.0) >= bar)
    return good / min(K, len(right))


def show(rows: list[dict[str, object]], *, points: int) -> dict[str, object]:
    """Print the table; the result with `met`."""
    print(f"recall@{K} against exact search, {points} points")
    print(
        f"  {'scope':8}{'filter':>8}{'visible':>9}{'dense':>8}{'bm25':>8}{'fused':>8}{'worst':>7}{'p50 ms':>8}"
    )
    for row in rows:
        print(
            f"  {row['scope']:8}{row['filter']:>8}{row['visible']:>9}{row['dense']:>8}{row['bm25']:>8}{row['fused']:>8}"
            f"{row['worst']:>7}{row['p50_ms']:>8}"
        )
    met = all(row[name] >= TARGET for row in rows for name in ("dense", "bm25", "fused"))  # type: ignore[operator]
    return {"points": points, "rows": rows, "target": TARGET, "met": met}
