"""Recall quality on LoCoMo: evidence turns found within their conversation, with default settings.

A conversation is a user, its sessions are sessions. Queries without evidence are left out. R@10 is the mean share of a query's
evidence turns among its first ten hits; nDCG@10 has binary gain and log2 discount. The legs alone are the same searches with
the other leg's weight set to 0.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import re
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypedDict
from unittest import mock

from memsdk import Kind, Memory
from memsdk.ranking import DEFAULT_WEIGHTS, Weights

K = 10
FLOOR = {"recall@10": 0.75, "ndcg@10": 0.57}
DATA = Path(__file__).parents[2] / "shared" / "data" / "chat" / "locomo"
LEGS = {
    "hybrid": DEFAULT_WEIGHTS[Kind.MEMORY],
    "dense": Weights(dense=1.0, lexical=0.0),
    "lexical": Weights(dense=0.0, lexical=1.0),
}


class Turn(TypedDict):
    """A line of the corpus."""

    id: str
    text: str
    meta: dict[str, str | int]


class Query(TypedDict):
    """A line of the queries."""

    query: str
    relevant: list[str]
    meta: dict[str, str]


Scores = dict[str, list[tuple[float, float]]]
"""By category: (R@10, nDCG@10) of each query."""


def main(arguments: list[str]) -> dict[str, object]:
    """Measure and print; `met` says whether the floor is kept and hybrid is at least as good as each leg."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks recall", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of the set")
    parser.add_argument("--index", default="embedded-inline", help="embedded, embedded-inline or exact")
    options = parser.parse_args(arguments)
    scores, own_ms = measure(options.data, index=options.index)
    table = {leg: summary(by_category) for leg, by_category in scores.items()}
    show(table)
    print(f"recall's own part beside embedding: p50 {statistics.median(own_ms):.2f} ms")
    hybrid = table["hybrid"]["all"]
    met = all(hybrid[name] >= floor for name, floor in FLOOR.items()) and all(
        hybrid[name] >= table[leg]["all"][name] for leg in table for name in FLOOR
    )
    return {"met": met, "floor": FLOOR, "legs": table, "own_p50_ms": round(statistics.median(own_ms), 3)}


def measure(data: Path, *, index: str) -> tuple[dict[str, Scores], list[float]]:
    """Fill a store and ask every question with each weighting; also recall's own milliseconds."""
    queries: list[Query] = [query for query in lines(data / "queries.jsonl.gz") if query["relevant"]]
    scores: dict[str, Scores] = {leg: defaultdict(list) for leg in LEGS}
    own_ms = []
    with (
        tempfile.TemporaryDirectory() as folder,
        Memory.open(folder, index=index, log_recalls=False) as memory,
    ):
        fill(memory, lines(data / "corpus.jsonl.gz"))
        memory.flush()
        for leg, weights in LEGS.items():
            with weighted(weights):
                for query in queries:
                    recall = memory.recall(
                        query["query"], user_id=query["meta"]["group"], k=K, kinds=["memory"]
                    )
                    own_ms.append((recall.total_s - recall.embed_s) * 1e3)
                    found = [hit.external_id for hit in recall]
                    scores[leg][query["meta"]["category_name"]].append(score(found, set(query["relevant"])))
    return scores, own_ms


def lines(path: Path) -> Iterator[dict[str, object]]:
    """The JSON lines of a gzipped file."""
    with gzip.open(path, "rt", encoding="utf-8") as text:
        yield from map(json.loads, text)


def fill(memory: Memory, corpus: Iterator[Turn]) -> None:
    """Remember every turn in its session, in order."""
    sessions: dict[tuple[str, int], list[Turn]] = defaultdict(list)
    for turn in corpus:
        sessions[turn["meta"]["group"], turn["meta"]["session"]].append(turn)
    for (group, session), turns in sessions.items():
        turns.sort(key=lambda turn: turn["meta"]["turn"])
        messages = [message(turn, number) for number, turn in enumerate(turns)]
        memory.remember(messages, user_id=group, session_id=f"{group}/{session}")


def message(turn: Turn, number: int) -> dict[str, object]:
    """A turn as a chat message, the second of its number after the session's beginning."""
    meta = turn["meta"]
    said_at = re.sub(r"\s+", " ", meta["session_date_time"].strip()) + " +0000"
    began = datetime.strptime(said_at, "%I:%M %p on %d %B, %Y %z")
    made = {
        "role": "user",
        "name": meta["speaker"],
        "content": turn["text"],
        "id": turn["id"],
        "time": began + timedelta(seconds=number),
    }
    return made | (
        {"metadata": {"image_caption": meta["image_caption"]}} if meta.get("image_caption") else {}
    )


@contextmanager
def weighted(weights: Weights) -> Iterator[None]:
    """Memories ranked with these weights."""
    with mock.patch.dict(DEFAULT_WEIGHTS, {Kind.MEMORY: weights}):
        yield


def score(found: Sequence[str | None], relevant: set[str]) -> tuple[float, float]:
    """R@10 and nDCG@10 of one ranking."""
    gains = [item in relevant for item in found[:K]]
    gained = sum(1 / math.log2(rank + 2) for rank, gain in enumerate(gains) if gain)
    ideal = sum(1 / math.log2(rank + 2) for rank in range(min(K, len(relevant))))
    return sum(gains) / len(relevant), gained / ideal


def summary(by_category: Scores) -> dict[str, dict[str, float]]:
    """Means over all queries, and by category."""
    everything = [pair for pairs in by_category.values() for pair in pairs]
    return {
        name: means(pairs) for name, pairs in {"all": everything, **dict(sorted(by_category.items()))}.items()
    }


def means(pairs: Sequence[tuple[float, float]]) -> dict[str, float]:
    """The means of both figures."""
    return {
        "queries": len(pairs),
        "recall@10": round(statistics.fmean(recall for recall, _ in pairs), 4),
        "ndcg@10": round(statistics.fmean(ndcg for _, ndcg in pairs), 4),
    }


def show(table: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
    """Print R@10 / nDCG@10, a line a category, a column a leg."""
    print(f"{'LoCoMo, R@10 / nDCG@10':24}{'queries':>8}" + "".join(f"{leg:>16}" for leg in table))
    for category, first in table["hybrid"].items():
        cells = [
            f"{row[category]['recall@10']:.3f} / {row[category]['ndcg@10']:.3f}" for row in table.values()
        ]
        print(f"{category:24}{first['queries']:>8}" + "".join(f"{cell:>16}" for cell in cells))
