"""What recall adds to embedding the query in a large store, alone and while another process writes; and reopening.

The store believes that the packaged model made its vectors, and hashing did (384 numbers), so that filling takes minutes;
recall's own part does not depend on it. Reopening loads the real model, and is compared with loading it alone.
A recall's own time is what passed around the call, less the time inside the embedder.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from filelock import FileLock

from benchmarks.turns import sentence, synthetic
from memsdk import Memory, Side, Task
from memsdk.index.engine import LOCK
from memsdk.testing.embedders import HashingEmbedder

TARGETS = {"alone_p50_ms": 2.0, "alone_p99_ms": 8.0, "busy_p99_ms": 25.0, "reopen_s": 1.0}
K, SESSION, WRITTEN = 10, 50, 100
LINGER_S = 1.0


def main(arguments: list[str]) -> dict[str, object]:
    """Measure and print; `met` says whether every target is."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks speed", description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--users", type=int, default=1_000)
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument(
        "--busy-s", type=float, default=20.0, help="how long to recall while another process writes"
    )
    parser.add_argument(
        "--index", default="embedded", help="embedded or embedded-inline (then nobody else can write)"
    )
    parser.add_argument("--keep", type=Path, help="the store's folder; used again where it is filled")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        return measure(options.keep or Path(temporary) / "store", options)


def measure(folder: Path, options: argparse.Namespace) -> dict[str, object]:
    """Fill, recall, recall while others write, reopen."""
    result: dict[str, object] = {"records": options.records, "users": options.users}
    with Memory.open(folder, embedder=Borrowed(), index=options.index, host_idle_s=LINGER_S) as memory:
        result["filled_s"] = round(fill(memory, options), 1)
        began = time.perf_counter()
        memory.optimize()  # else the host builds the graph meanwhile, on one of the cores
        result["built_s"] = round(time.perf_counter() - began, 1)
        ask(memory, options, limit=50)
        result["alone"] = summary(ask(memory, options, limit=options.queries))
        if options.index == "embedded":
            result["busy"], result["written"] = while_writing(memory, folder, options)
            result["reopen_host_running_s"] = reopened(folder, alone=False)
    if options.index == "embedded":
        result["reopen_s"] = reopened(folder, alone=True)
    return show(result)


def fill(memory: Memory, options: argparse.Namespace) -> float:
    """Seconds it took; nothing is done where the store is filled already."""
    if memory.stats().records.get("memory", 0) >= options.records:
        return 0.0
    began = time.perf_counter()
    for batch in synthetic(options.records, users=options.users, batch=SESSION, seed=options.seed):
        memory.remember(batch.messages, user_id=batch.user_id, session_id=batch.session_id)
    memory.flush()
    return time.perf_counter() - began


def ask(
    memory: Memory, options: argparse.Namespace, *, limit: int | None = None, until: float | None = None
) -> list[tuple[float, float]]:
    """Milliseconds of each recall beside embedding: measured around the call, and as the recall itself says."""
    chance = random.Random(options.seed + 1)  # noqa: S311 -- no secret
    own = []
    for number in count():
        if number == limit or (until is not None and time.perf_counter() > until):
            break
        query = sentence(chance, words=8)
        user = f"user-{chance.randrange(options.users)}"
        began = time.perf_counter()
        recall = memory.recall(query, user_id=user, k=K)
        took = time.perf_counter() - began
        assert recall.hits, "every user has something to find"
        own.append(((took - recall.embed_s) * 1e3, (recall.total_s - recall.embed_s) * 1e3))
    return own


def while_writing(memory: Memory, folder: Path, options: argparse.Namespace) -> tuple[dict[str, float], int]:
    """The same while another process remembers batch after batch; also how many turns it wrote."""
    command = [sys.executable, "-m", "benchmarks.speed", "--write", str(folder)]
    before = memory.stats().records["memory"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:  # noqa: S603 -- our own module
        assert writer.stdin is not None
        assert writer.stdout is not None
        writer.stdout.readline()  # it has begun
        own = ask(memory, options, until=time.perf_counter() + options.busy_s)
        writer.stdin.close()
    return summary(own), memory.stats().records["memory"] - before


def write(folder: Path) -> None:
    """The other process: remember batches until our input ends."""
    ended = threading.Event()

    def listen() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=listen, daemon=True).start()
    with Memory.open(folder, embedder=Borrowed(), host_idle_s=LINGER_S) as memory:
        for number, batch in enumerate(synthetic(10**9, users=50, batch=WRITTEN, seed=time.time_ns())):
            memory.remember(
                batch.messages, user_id=f"writer-{batch.user_id}", session_id=f"w{time.time_ns()}"
            )
            if number == 2:
                print("writing", flush=True)
            if ended.is_set():
                return


def reopened(folder: Path, *, alone: bool, times: int = 5) -> float:
    """Seconds from opening to the first answer in a new process beyond those of loading the model alone: medians.

    Args:
        alone: no index host runs yet.
    """
    took: dict[str, list[float]] = {"--open": [], "--load": []}
    for _ in range(times):
        for what, seconds in took.items():
            if alone:
                wait_for_host(folder)
            command = [sys.executable, "-m", "benchmarks.speed", what, str(folder)]
            answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603 -- our own module
            seconds.append(float(answer.stdout))
    return round(statistics.median(took["--open"]) - statistics.median(took["--load"]), 3)


def open_once(folder: Path) -> None:
    """The new process: open, load the model, ask; print the seconds."""
    began = time.perf_counter()
    with Memory.open(folder, host_idle_s=LINGER_S) as memory:
        memory.recall("Who bought the red bicycle?", user_id="user-3", k=K)
        print(time.perf_counter() - began)


def load_once(_: Path) -> None:
    """The new process: load the model and embed one query; print the seconds."""
    began = time.perf_counter()
    from memsdk.embedding.loading import load_embedder

    load_embedder(None).embed(["Who bought the red bicycle?"], task=Task.QA, side=Side.QUERY)
    print(time.perf_counter() - began)


class Borrowed:
    """Hashing under the packaged model's name. Quick, and of the same size."""

    def __init__(self) -> None:
        from memsdk.embedding.loading import load_embedder

        self.spec = load_embedder(None).spec
        self._hashing = HashingEmbedder(dims=self.spec.dims)
        self.embed = self._hashing.embed
        self.count_tokens = self._hashing.count_tokens


def wait_for_host(folder: Path) -> None:
    """Return once the index host has left: it removes its socket, puts all on disk, and lets go of its lock."""
    socket = folder / "index" / "host.sock"
    deadline = time.monotonic() + 60
    while socket.exists():
        assert time.monotonic() < deadline, "the index host leaves after its last client"
        time.sleep(0.05)
    with FileLock(folder / "index" / LOCK, timeout=60):
        pass


def summary(own: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Percentiles of the milliseconds around the call, and the recall's own count of them."""
    around, inside = sorted(pair[0] for pair in own), sorted(pair[1] for pair in own)
    at = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
    return {
        "queries": len(own),
        **{f"{name}_ms": round(around[int(share * len(own))], 3) for name, share in at.items()},
        "max_ms": round(around[-1], 3),
        **{f"inside_{name}_ms": round(inside[int(share * len(own))], 3) for name, share in at.items()},
    }


def show(result: dict[str, object]) -> dict[str, object]:
    """Print the table; the result with `met`."""
    figures: dict[str, object] = {"reopen_s": result.get("reopen_s")}
    print(
        f"{result['records']} records of {result['users']} users, filled in {result['filled_s']} s, the graph built in"
        f" {result['built_s']} s; k={K}"
    )
    print(
        f"{'recall beside embedding, ms':32}{'p50':>8}{'p90':>8}{'p99':>8}{'max':>8}{'inside p50':>12}{'p99':>8}"
    )
    for name in ("alone", "busy"):
        row = result.get(name)
        if isinstance(row, dict):
            cells = "".join(f"{row[cell]:8.2f}" for cell in ("p50_ms", "p90_ms", "p99_ms", "max_ms"))
            print(f"  {name:30}{cells}{row['inside_p50_ms']:12.2f}{row['inside_p99_ms']:8.2f}")
            figures |= {f"{name}_{cell}": row[cell] for cell in ("p50_ms", "p99_ms")}
    if "written" in result:
        print(f"  (busy: another process wrote {result['written']} turns meanwhile)")
        print(
            f"reopened and answered, beyond loading the model: {result['reopen_s']} s;"
            f" with the host running {result['reopen_host_running_s']} s"
        )
    print("targets: " + ", ".join(f"{name} <= {most}" for name, most in TARGETS.items()))
    met = all(figures[name] <= most for name, most in TARGETS.items() if figures.get(name) is not None)  # type: ignore[operator]  # numbers
    return {**result, "met": met, "targets": TARGETS}


if __name__ == "__main__":  # the other processes
    {"--write": write, "--open": open_once, "--load": load_once}[sys.argv[1]](Path(sys.argv[2]))
