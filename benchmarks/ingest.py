"""What remembering costs beside its encoder, side by side in one run.

In batches: `remember` in lists, and the same lines (as `memsdk.composing` indexes them) embedded with the same encoder, in
turn (`benchmarks.slices`); a flush between is not timed. One at a time: `remember` of a message, and its line embedded alone.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.slices import beside_encoder
from benchmarks.turns import Batch, locomo, synthetic
from memsdk import Memory
from memsdk.composing import read_turn
from memsdk.embedding.loading import load_embedder
from memsdk.embedding.runtime import Runtime
from memsdk.memory import IndexName
from memsdk.models import Side, Task
from memsdk.ports import Embedder, EmbedderSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

TARGET_RATIO, TARGET_MS = 1.15, 5.0


class Timed:
    """An embedder that adds up the seconds spent in it, and knows its texts."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self.seconds = 0.0
        self.texts: set[str] = set()

    @property
    def spec(self) -> EmbedderSpec:
        """The embedder's own."""
        return self._embedder.spec

    def embed(self, texts: Sequence[str], *, task: Task, side: Side) -> Vectors:
        """As the embedder does it, and timed."""
        began = time.perf_counter()
        vectors = self._embedder.embed(texts, task=task, side=side)
        self.seconds += time.perf_counter() - began
        self.texts.update(texts)
        return vectors

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """As the embedder does it."""
        return self._embedder.count_tokens(texts)


def main(arguments: list[str]) -> dict[str, object]:
    """Measure and print; `met` says whether both targets are."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks ingest", description=__doc__)
    parser.add_argument("--turns", type=int, default=5_000, help="in batches; 1,000 make a quick version")
    parser.add_argument("--batch", type=int, default=500, help="messages a call")
    parser.add_argument("--singles", type=int, default=200, help="messages one at a time")
    parser.add_argument("--data", type=Path, help="LoCoMo's folder, instead of synthetic turns")
    parser.add_argument("--embedder", default="packaged")
    parser.add_argument("--index", default="embedded", help="embedded, embedded-inline or exact")
    parser.add_argument("--threads", type=int, help="torch threads; torch's choice by default")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args(arguments)
    embedder = load_embedder(options.embedder, runtime=Runtime(threads=options.threads))
    embedder.embed(["warm", "up " * 50], task=Task.CHAT, side=Side.KEY)
    if options.data:
        batches = list(locomo(options.data, batch=options.batch))
    else:
        batches = list(synthetic(options.turns, users=4, batch=options.batch, seed=options.seed))
    result: dict[str, object] = {
        "turns": sum(len(batch.messages) for batch in batches),
        "data": "LoCoMo" if options.data else f"synthetic, seed {options.seed}",
        "in_batches": in_batches(batches, embedder, index=options.index),
        "one_at_a_time": one_at_a_time(options.singles, embedder, index=options.index, seed=options.seed),
    }
    return show(result, batch=options.batch)


def in_batches(batches: Sequence[Batch], embedder: Embedder, *, index: IndexName) -> dict[str, float]:
    """Seconds of `remember`, of the encoder alone, and what they make."""
    timed = Timed(embedder)
    lines = turn_lines(batches)
    with tempfile.TemporaryDirectory() as folder, Memory.open(folder, embedder=timed, index=index) as memory:
        memory.remember("The first one makes the store.", user_id="nobody-else")
        memory.flush()
        timed.texts.clear()
        steps = [
            (
                texts,
                partial(memory.remember, batch.messages, user_id=batch.user_id, session_id=batch.session_id),
            )
            for batch, texts in zip(batches, lines, strict=True)
        ]
        found = beside_encoder(steps, embedder, task=Task.CHAT, between=memory.flush)
    turns = [line for texts in lines for line in texts]
    assert timed.texts == set(turns), "both sides embed the same"
    return {
        "encoder_s": found.encoder_s,
        "remember_s": found.took_s,
        "own_ms_a_turn": (found.took_s - found.encoder_s) / len(turns) * 1e3,
        "turns_per_s": len(turns) / found.took_s,
        "ratio": found.ratio,
        "least": found.least,
        "most": found.most,
    }


def turn_lines(batches: Sequence[Batch]) -> list[list[str]]:
    """What of each turn is embedded, by batch."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Memory.open(folder, embedder="hashing", index="exact") as memory,
    ):
        return [
            [
                read_turn(record).line
                for record in memory.remember(
                    batch.messages, user_id=batch.user_id, session_id=batch.session_id, wait=False
                )
            ]
            for batch in batches
        ]


def one_at_a_time(count: int, embedder: Embedder, *, index: IndexName, seed: int) -> dict[str, float]:
    """Medians in milliseconds of `remember` of a message and of embedding its line, taken in turn."""
    timed = Timed(embedder)
    alone, remembered = [], []
    with tempfile.TemporaryDirectory() as folder, Memory.open(folder, embedder=timed, index=index) as memory:
        for batch in synthetic(count + 20, users=4, batch=20, seed=seed + 1):
            for message in batch.messages:
                began = time.perf_counter()
                record = memory.remember(message, user_id=batch.user_id, session_id=batch.session_id)
                remembered.append((time.perf_counter() - began) * 1e3)
                began = time.perf_counter()
                embedder.embed([read_turn(record).line], task=Task.CHAT, side=Side.KEY)
                alone.append((time.perf_counter() - began) * 1e3)
        embeddings = timed.seconds
        memory.flush()
        extra = timed.seconds - embeddings
    pairs = list(zip(remembered, alone, strict=True))[20:]  # the first ones start the host and fill caches
    added = sorted(mine - own for mine, own in pairs)
    return {
        "encoder_p50_ms": statistics.median(own for _, own in pairs),
        "remember_p50_ms": statistics.median(mine for mine, _ in pairs),
        "added_p50_ms": statistics.median(added),
        "added_p90_ms": added[int(0.9 * len(added))],
        "embedding_left_for_flush_ms": extra * 1e3,
    }


def show(result: dict[str, object], *, batch: int) -> dict[str, object]:
    """Print the table; the result, rounded, with `met`."""
    many = {name: round(value, 3) for name, value in result["in_batches"].items()}  # type: ignore[attr-defined]  # a dict
    one = {name: round(value, 2) for name, value in result["one_at_a_time"].items()}  # type: ignore[attr-defined]  # a dict
    print(f"{result['turns']} turns ({result['data']}), {batch} a call")
    print(f"  encoder alone, sorted as one call {many['encoder_s']:8.2f} s")
    print(
        f"  remember                          {many['remember_s']:8.2f} s   {many['turns_per_s']:.0f} turns/s"
    )
    print(f"    beyond the encoder, a turn      {many['own_ms_a_turn']:8.2f} ms")
    print(
        f"  ratio, median of the calls        {many['ratio']:8.3f}     target <= {TARGET_RATIO}"
        f" ({many['least']:.2f} to {many['most']:.2f})"
    )
    print("one message a call, p50")
    print(f"  encoder alone                     {one['encoder_p50_ms']:8.2f} ms")
    print(f"  remember                          {one['remember_p50_ms']:8.2f} ms")
    print(
        f"  added                             {one['added_p50_ms']:8.2f} ms  target <= {TARGET_MS}; p90 {one['added_p90_ms']:.2f}"
    )
    met = many["ratio"] <= TARGET_RATIO and one["added_p50_ms"] <= TARGET_MS
    targets = {"ratio": TARGET_RATIO, "added_p50_ms": TARGET_MS}
    return {**result, "met": met, "targets": targets, "in_batches": many, "one_at_a_time": one}
