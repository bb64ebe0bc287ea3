"""Tools found for requests (R@5), hybrid beside each leg alone, by how many words request and tool share; import speed.

R@5 is the mean share of a request's tools among its first five hits, over the dev requests. A leg alone is the same search
with the other leg's weight 0, and without what `memory.tools.recall` adds (parts of a request, near-twins passed over).
The overlap of a request is the share of its stemmed words that the tools it needs hold; requests are cut in three by it.
The import is timed by the clock, 10,000 tools a call, each beside the bare encoder on the same lines (`benchmarks.slices`).
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TypedDict
from unittest import mock

from benchmarks.recall import lines
from benchmarks.slices import Beside, beside_encoder
from memsdk import Kind, Memory, Record, Task
from memsdk.embedding.lexical import Bm25Encoder
from memsdk.ports import LexicalText
from memsdk.ranking import DEFAULT_WEIGHTS, Weights
from memsdk.shelf_texts import tool_texts

K = 5
DATA = Path(__file__).parents[2] / "shared" / "data" / "tool"
SETS = ("sealtools", "bfcl", "metatool")
MARGIN = {"sealtools": 0.0, "bfcl": 0.0, "metatool": 0.02}
"""How far hybrid has to lie above the better leg."""
LEGS = {"dense": Weights(dense=1.0, lexical=0.0), "lexical": Weights(dense=0.0, lexical=1.0)}
IMPORT_LIMIT = 1.15
THIRDS = ("few shared words", "some", "many")


class Query(TypedDict):
    """A line of the queries."""

    query: str
    relevant: list[str]
    meta: dict[str, str]


def main(arguments: list[str]) -> dict[str, object]:
    """Measure and print; `met` says whether hybrid keeps its margins and the import its limit."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks tools", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of the sets")
    parser.add_argument("--sets", nargs="*", default=SETS)
    parser.add_argument("--queries", type=int, default=10**9, help="at most so many requests a set")
    parser.add_argument(
        "--import-tools", type=int, default=10_000, help="tools in a timed import; 0 for none"
    )
    parser.add_argument("--imports", type=int, default=3, help="how many such imports, each into a new store")
    parser.add_argument("--index", default="embedded-inline", help="embedded, embedded-inline or exact")
    options = parser.parse_args(arguments)
    table = {
        name: measure(options.data / name, most=options.queries, index=options.index) for name in options.sets
    }
    met = True
    for name, rows in table.items():
        show(name, rows)
        best = max(rows[leg]["all"] for leg in LEGS)
        met &= rows["hybrid"]["all"] >= best + MARGIN[name]
    result: dict[str, object] = {"r@5": table}
    if options.import_tools:
        found = import_ratio(options.data, count=options.import_tools, calls=options.imports)
        print(
            f"{options.imports} imports of {options.import_tools:,} tools: {found.took_s:.1f} s, {found.ratio:.3f} times the"
            f" encoder's own (median of the calls, {found.least:.2f} to {found.most:.2f}; limit {IMPORT_LIMIT})"
        )
        met &= found.ratio <= IMPORT_LIMIT
        result["import"] = {"tools": options.import_tools, "calls": options.imports, **asdict(found)}
    return {"met": met, **result}


def measure(data: Path, *, most: int, index: str) -> dict[str, dict[str, float]]:
    """R@5 by way of searching, over all requests and by their overlap with the tools that they need."""
    corpus = list(lines(data / "corpus.jsonl.gz"))
    queries: list[Query] = [
        query for query in lines(data / "queries.jsonl.gz") if query["meta"]["split"] == "dev"
    ]
    queries = queries[:: max(1, len(queries) // most)]
    name_of = {row["id"]: row["meta"]["name"] for row in corpus}
    with (
        tempfile.TemporaryDirectory() as folder,
        Memory.open(folder, index=index, log_recalls=False) as memory,
    ):
        added = memory.tools.add([row["meta"]["schema"] for row in corpus])
        memory.flush()
        records = {record.name: record for record in added}
        wanted = [{name_of[each] for each in query["relevant"]} for query in queries]
        found = {
            "hybrid": [names(memory.tools.recall(query["query"], k=K)) for query in queries],
            "one search": [names(memory.recall(query["query"], kinds=["tool"], k=K)) for query in queries],
        }
        for leg, weights in LEGS.items():
            with weighted(weights):
                found[leg] = [names(memory.recall(query["query"], kinds=["tool"], k=K)) for query in queries]
    groups = thirds(
        [
            shared_words(query["query"], [records[name] for name in needed])
            for query, needed in zip(queries, wanted, strict=True)
        ]
    )
    return {
        way: {
            group: statistics.fmean(len(needed & set(hits[:K])) / len(needed) for needed, hits in (pairs[n] for n in places))
            for group, places in groups.items()
        }
        for way, pairs in ((way, list(zip(wanted, lists, strict=True))) for way, lists in found.items())
    }  # fmt: skip


def names(found: Sequence[Record] | object) -> list[str]:
    """The tools' names, best first."""
    return [hit.name for hit in found]


@contextmanager
def weighted(weights: Weights) -> Iterator[None]:
    """Tools ranked with these weights."""
    with mock.patch.dict(DEFAULT_WEIGHTS, {Kind.TOOL: weights}):
        yield


def shared_words(request: str, tools: Sequence[Record]) -> float:
    """The share of the request's stemmed words that the tools' own texts hold, 0 to 1."""
    encoder = Bm25Encoder()
    asked = set(encoder.encode_query(request).indices)
    words = tuple(tool_texts(tool).words for tool in tools)
    (said,) = encoder.encode_keys([[LexicalText(words, average_length=25, b=0.75)]])
    return len(asked & set(said.indices)) / max(1, len(asked))


def thirds(overlaps: Sequence[float]) -> dict[str, list[int]]:
    """The places of all requests, and of each third by overlap, the least first."""
    order = sorted(range(len(overlaps)), key=lambda place: overlaps[place])
    cut = [len(order) * part // 3 for part in range(4)]
    return {"all": order, **{name: order[cut[n] : cut[n + 1]] for n, name in enumerate(THIRDS)}}


def import_ratio(data: Path, *, count: int, calls: int) -> Beside:
    """`tools.add` beside the bare encoder on the same lines, into a new store a call, the others closed.

    Both in float32: halves of the lines at once would be very many for an encoder that may change over to bfloat16.
    """
    schemas = [row["meta"]["schema"] for name in SETS for row in lines(data / name / "corpus.jsonl.gz")]
    tools = [renamed(schemas[n % len(schemas)], n) for n in range(count)]
    texts = tool_lines(tools)
    found = []
    for _ in range(calls):
        with tempfile.TemporaryDirectory() as folder, Memory.open(folder, dtype="float32") as memory:
            memory.remember("The first one starts the index host.")
            embedder = memory._parts.serving.current().embedder  # noqa: SLF001 -- the bare encoder
            found.append(
                beside_encoder([(texts, partial(memory.tools.add, tools))], embedder, task=Task.TOOL)
            )
    return Beside.of([each.took_s for each in found], [each.encoder_s for each in found])


def tool_lines(tools: Sequence[Mapping[str, object]]) -> list[str]:
    """What of each tool is embedded."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Memory.open(folder, embedder="hashing", index="exact") as memory,
    ):
        return [tool_texts(tool).line for tool in memory.tools.add(tools)]


def renamed(schema: Mapping[str, object], number: int) -> dict[str, object]:
    """The tool under a name that no other has."""
    key = "api_name" if "api_name" in schema else "name"
    return {**schema, key: f"{schema[key]}_{number}"}


def show(name: str, rows: Mapping[str, Mapping[str, float]]) -> None:
    """Print R@5, a line a way of searching, a column a group."""
    print(f"{name + ', R@5':20}" + "".join(f"{group:>18}" for group in ("all", *THIRDS)))
    for way, row in rows.items():
        print(f"{way:20}" + "".join(f"{row[group]:18.4f}" for group in ("all", *THIRDS)))
