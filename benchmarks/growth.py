"""How cost grows with the store: ingest, recall, memory and disk at each size, in scopes of the same size; with a picture.

Stores are filled by `benchmarks.filling`, with vectors made without an encoder, and kept where `--keep` says: what is filled
is used again. Each is measured as its graphs leave it: built where that pays. Recall's own part is what passes around the
call, less the embedding; memory is that of a fresh index host after the recalls.
"""

from __future__ import annotations

import argparse
import random
import re
import statistics
import tempfile
import time
from pathlib import Path
from typing import cast

from benchmarks.filling import Borrowed, fill
from benchmarks.turns import sentence, synthetic
from memsdk import Memory
from memsdk.index.address import LOG
from memsdk.parts import bytes_of

SIZES = (1_000, 10_000, 100_000, 1_000_000)
K, LINGER_S, BATCHES, BATCH = 10, 1.0, 10, 50
MOST_GROWTH, MOST_ANONYMOUS_MB = 3.0, 1_000
PANELS = {
    "recall_p50_ms": "recall beside embedding, p50, ms",
    "remember_ms": "remember in batches of 50, ms a record",
    "anonymous_mb": "index host, private memory, MB",
    "disk_mb": "store on disk, MB",
}


def main(arguments: list[str]) -> dict[str, object]:
    """Measure and print; `met` says whether recall's p50 grows gently and memory stays small."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks growth", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument(
        "--scope", type=int, default=100, help="records a user; 1,000 and 2,000 are a multiple of it"
    )
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--keep", type=Path, help="where the stores are, and stay")
    parser.add_argument(
        "--plot", type=Path, help="the picture, an .svg; needs matplotlib: pip install 'memsdk[plot]'"
    )
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args(arguments)
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        for size in options.sizes:
            folder = (options.keep or Path(temporary)) / f"store-{size}-{options.scope}"
            steps = fill(folder, records=size, scope=options.scope, seed=options.seed)
            rows.append({"records": size, **measure(folder, size=size, options=options), "filled": steps})
            print(f"  {rows[-1]}", flush=True)
    if options.plot:
        draw(rows, options.plot)
    return show(rows)


def measure(folder: Path, *, size: int, options: argparse.Namespace) -> dict[str, float]:
    """Recalls first, with the index host that they start; then some batches remembered by a user of their own."""
    chance = random.Random(options.seed + 1)  # noqa: S311 -- no secret
    users = size // options.scope
    with Memory.open(folder, embedder=Borrowed(), host_idle_s=LINGER_S, log_recalls=False) as memory:
        own = []
        for _ in range(options.queries + options.queries // 10):
            query, user = sentence(chance, words=8), f"user-{chance.randrange(users)}"
            began = time.perf_counter()
            recall = memory.recall(query, user_id=user, k=K)
            own.append((time.perf_counter() - began - recall.embed_s) * 1e3)
        own = sorted(own[options.queries // 10 :])  # the first ones read from the disk
        anonymous = anonymous_mb(folder)
        disk = bytes_of(folder) / 2**20
        took = []
        for batch in synthetic(BATCHES * BATCH, users=1, batch=BATCH, seed=time.time_ns()):
            began = time.perf_counter()
            memory.remember(batch.messages, user_id="a-writer", session_id=f"s{time.time_ns()}")
            took.append((time.perf_counter() - began) / BATCH * 1e3)
        for record in memory.list(user_id="a-writer", limit=BATCHES * BATCH):
            memory.forget(record.id)
        return {
            "recall_p50_ms": round(statistics.median(own), 3),
            "recall_p99_ms": round(own[int(0.99 * len(own))], 3),
            "remember_ms": round(statistics.median(took), 3),
            "anonymous_mb": round(anonymous, 1),
            "disk_mb": round(disk, 1),
        }


def anonymous_mb(folder: Path) -> float:
    """RssAnon of the store's index host: memory that no file backs."""
    served = [line for line in (folder / "index" / LOG).read_text().splitlines() if "INFO serving" in line]
    status = Path(f"/proc/{served[-1].split()[2]}/status").read_text()
    found = re.search(r"RssAnon:\s+(\d+) kB", status)
    assert found is not None, "Linux tells"
    return int(found[1]) / 1024


def draw(rows: list[dict[str, object]], path: Path) -> None:
    """Four panels over the number of records."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(PANELS), figsize=(13, 3), layout="constrained")
    sizes = [cast("int", row["records"]) for row in rows]
    for axis, (name, title) in zip(axes, PANELS.items(), strict=True):
        axis.plot(sizes, [cast("float", row[name]) for row in rows], marker="o")
        axis.set(xscale="log", xlabel="records", title=title)
        axis.set_ylim(bottom=0)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def show(rows: list[dict[str, object]]) -> dict[str, object]:
    """Print the table; the result with `met`."""
    print(f"{'records':>10}" + "".join(f"{name:>16}" for name in ("recall_p99_ms", *PANELS)))
    for row in rows:
        print(f"{row['records']:>10}" + "".join(f"{row[name]:>16}" for name in ("recall_p99_ms", *PANELS)))
    by_size = {cast("int", row["records"]): row for row in rows}
    smallest = min((size for size in by_size if size >= SIZES[1]), default=min(by_size))
    largest = by_size[max(by_size)]
    growth = cast("float", largest["recall_p50_ms"]) / cast("float", by_size[smallest]["recall_p50_ms"])
    anonymous = cast("float", largest["anonymous_mb"])
    print(
        f"p50 grew {growth:.2f} times from {smallest} to {max(by_size)} records (target: at most {MOST_GROWTH})"
    )
    print(f"private memory of the index host: {anonymous:.0f} MB (target: under {MOST_ANONYMOUS_MB} MB)")
    met = growth <= MOST_GROWTH and anonymous < MOST_ANONYMOUS_MB
    return {"rows": rows, "growth": round(growth, 2), "met": met}
