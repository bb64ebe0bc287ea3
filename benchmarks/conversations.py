"""Conversational search: a question found with the turns before it, on mtrag and dstc11_sktod.

Three ways to ask: the last turn alone; both joined into one text, as `recall` did before and most do; and `history=`,
where each turn counts half of the one after it. R@10 is the mean share of a question's passages among its first ten
hits; intervals are of the paired difference, 95 %, by bootstrap over questions.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict, cast

from benchmarks.bootstrap import interval
from benchmarks.recall import lines
from memsdk import Hit, Kind, Memory
from memsdk.models import Draft, Scope

K = 10
DATA = Path(__file__).parents[2] / "shared" / "data" / "convsearch"
FLOOR = {"dstc11_sktod": 0.30}
JOINED_CHARS = 2_000
PASSAGES = {"mtrag": 500}  # distractors a domain, by default: a quarter of an hour on one core
WAYS = ("last turn", "joined", "history")


class Meta(TypedDict, total=False):
    """What is said of a passage or a question."""

    group: str
    split: str
    context: list[str]


class Row(TypedDict):
    """A line of the corpus (with a text) or of the questions (with the rest)."""

    id: str
    text: str
    query: str
    relevant: list[str]
    meta: Meta


def main(arguments: list[str]) -> dict[str, object]:
    """Measure and print; `met` says whether the history beats both other ways, and the floor is kept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks conversations", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of the sets")
    parser.add_argument("--sets", nargs="+", default=["mtrag", "dstc11_sktod"], help="which sets")
    parser.add_argument("--split", default="dev", choices=("train", "dev", "both"))
    parser.add_argument("--all", action="store_true", help="mtrag with all its passages, not 500 a domain")
    options = parser.parse_args(arguments)
    results = {}
    for name in options.sets:
        most = None if options.all else PASSAGES.get(name)
        results[name] = measure(options.data / name, split=options.split, most=most)
        show(name, results[name])
    met = all(
        result["history"] > max(result["last turn"], result["joined"])
        and result["history"] >= FLOOR.get(name, 0.0)
        for name, result in results.items()
    )
    return {"met": met, "floor": FLOOR, "split": options.split, "sets": results}


def measure(folder: Path, *, split: str, most: int | None) -> dict[str, float]:
    """R@10 of the three ways, and the intervals of the differences."""
    corpus: list[Row] = [cast("Row", line) for line in lines(folder / "corpus.jsonl.gz")]
    everything = (cast("Row", line) for line in lines(folder / "queries.jsonl.gz"))
    queries = [
        query for query in everything if query["relevant"] and split in (query["meta"]["split"], "both")
    ]
    with (
        tempfile.TemporaryDirectory() as store,
        Memory.open(store, index="embedded-inline", log_recalls=False) as memory,
    ):
        passages = fill(memory, corpus, queries, most=most)
        scores = {way: [gain(ask(memory, query, way), query) for query in queries] for way in WAYS}
    result: dict[str, float] = {"queries": len(queries), "passages": passages}
    result |= {way: round(statistics.fmean(gains), 4) for way, gains in scores.items()}
    for other in WAYS[:2]:
        low, high = interval(scores["history"], scores[other])
        result |= {f"above {other}, low": round(low, 4), f"above {other}, high": round(high, 4)}
    return result


def ask(memory: Memory, query: Row, way: str) -> Sequence[Hit]:
    """The first hits in one of the ways."""
    meta, text = query["meta"], query["query"]
    turns = meta["context"]
    if way == "joined":
        text = "\n".join([*turns, text])[-JOINED_CHARS:]
    filters = {"group": meta["group"]} if meta.get("group") else None
    history = turns or None if way == "history" else None
    return memory.recall(text, kinds=["document"], k=K, filters=filters, history=history).hits


def fill(memory: Memory, corpus: Sequence[Row], queries: Sequence[Row], *, most: int | None) -> int:
    """Store the passages, each as one document record; returns how many."""
    relevant = {item for query in queries for item in query["relevant"]}
    kept = corpus if most is None else thinned(corpus, relevant, most=most)
    drafts = [
        Draft(
            kind=Kind.DOCUMENT,
            text=passage["text"],
            scope=Scope(),
            external_id=passage["id"],
            metadata={"group": passage["meta"].get("group")},
        )
        for passage in kept
    ]
    memory._parts.writer.add(drafts)  # noqa: SLF001 -- as they are: `ingest` would cut them and add titles
    return len(kept)


def thinned(corpus: Sequence[Row], relevant: set[str], *, most: int) -> list[Row]:
    """Every relevant passage, and others up to so many a domain, by chance."""
    groups: dict[str | None, list[Row]] = defaultdict(list)
    for passage in corpus:
        groups[passage["meta"].get("group")].append(passage)
    chance, kept = random.Random(0), []  # noqa: S311 -- no secret
    for group in groups.values():
        chance.shuffle(group)
        group.sort(key=lambda passage: passage["id"] not in relevant)
        count = sum(passage["id"] in relevant for passage in group)
        kept += group[: max(count, most)]
    return kept


def gain(hits: Sequence[Hit], query: Row) -> float:
    """The share of the question's passages among the hits."""
    relevant = set(query["relevant"])
    return len({hit.external_id for hit in hits} & relevant) / len(relevant)


def show(name: str, result: Mapping[str, float]) -> None:
    """Print one set."""
    print(f"{name}: {result['queries']:.0f} questions, {result['passages']:,.0f} passages, R@10")
    for way in WAYS:
        above = (
            ""
            if way == "history"
            else f"   history above it by {result[f'above {way}, low']:+.3f} to {result[f'above {way}, high']:+.3f}"
        )
        print(f"  {way:10} {result[way]:.3f}{above}")
