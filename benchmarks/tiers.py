"""What T0 and T1 keep of a full training's gain, with no document embedded again: dense nDCG@10 on dev splits.

Documents and queries are embedded once by the packaged model, untrained and without prefixes. A tier is fitted on the
train split of each task, against the stored vectors, and judged on the dev split, whose answers no row has named.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.sets import SETS, DataSet, load_set
from memsdk.embedding.adapters import ResidualEmbedder
from memsdk.embedding.loading import load_embedder
from memsdk.embedding.transformer import TransformerEmbedder
from memsdk.models import Side, Task
from memsdk.testing.embedders import HashingEmbedder
from memsdk.trainer.metrics import paired_gain
from memsdk.trainer.problem import SHARED, Example, Problem
from memsdk.trainer.residual import fit_residual, ranking_quality
from memsdk.trainer.tiers import LoraSettings, ResidualSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

NEEDED_T2 = 0.15
"""What a full training has to gain (issue 5, claim 4), relative: T1 has to keep half of it, T0 a sixth."""
MOST_ANSWERS = 8


def main(arguments: list[str]) -> dict[str, object]:
    """Fit and judge the tiers on each set; print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks tiers", description=__doc__)
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--tiers", nargs="*", default=["t0", "t1"], choices=("t0", "t1"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--train", type=int, default=1_200, help="queries a set, at most")
    parser.add_argument("--dev", type=int, default=300)
    parser.add_argument("--passes", type=int, default=LoraSettings().passes, help="of T1")
    parser.add_argument("--t2-gain", type=float, default=NEEDED_T2, help="T2's measured relative gain")
    parser.add_argument("--cache", type=Path, default=Path("build/bench/vectors"))
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    sets = [
        load_set(name, cache=options.cache, most={"train": options.train, "dev": options.dev})
        for name in options.sets
    ]
    result: dict[str, object] = {"sets": [each.name for each in sets]}
    met = True
    for tier in options.tiers:
        found = [_tier(tier, each, seeds=options.seeds, passes=options.passes) for each in sets]
        gain = _report(tier, sets, found)
        needed = options.t2_gain * (0.5 if tier == "t1" else 1 / 6)
        seconds = max(fitted for *_, fitted in found)
        met = met and gain >= needed and (tier == "t1" or seconds < 60)
        print(
            f"{tier}: {100 * gain:+.1f} % relative; needed {100 * needed:+.1f} %; longest fit {seconds:.0f} CPU s\n"
        )
        result[tier] = {
            "relative_gain": gain, "needed": needed, "longest_fit_cpu_s": seconds,
            "base": {each.name: base for each, (base, *_) in zip(sets, found, strict=True)},
            "after": {each.name: after for each, (_, after, *_) in zip(sets, found, strict=True)},
        }  # fmt: skip
    return {"met": met, **result}


def problem_of(data: DataSet, split: str) -> Problem:
    """A split's queries, labels alone: the right answers level, and all else beneath."""
    examples = tuple(
        Example(
            candidates=np.array(query.relevant[:MOST_ANSWERS], np.int64),
            rewards=np.ones(len(query.relevant[:MOST_ANSWERS]), np.float32),
            relevant=frozenset(query.relevant),
        )
        for query in data.queries[split]
    )
    return Problem(
        queries=data.vectors[split], keys=data.keys, owners=np.full(len(data.keys), SHARED), examples=examples
    )


def _tier(
    tier: str, data: DataSet, *, seeds: int, passes: int
) -> tuple[float, float, list[float], list[float], float]:
    """Base and mean figure, the figures of each query with and without, and the longest fit in CPU seconds."""
    learnt, asked = problem_of(data, "train"), problem_of(data, "dev")
    base = ranking_quality(asked.queries, asked)
    runs, longest = [], 0.0
    for seed in range(seeds if tier == "t0" else 1):  # T1 takes minutes a seed
        began = time.process_time()
        vectors = _t0(learnt, asked, seed) if tier == "t0" else _t1(data, learnt, seed, passes)
        longest = max(longest, time.process_time() - began)
        runs.append(ranking_quality(vectors, asked))
    after = np.mean(runs, axis=0).tolist()
    return float(np.mean(base)), float(np.mean(after)), base, after, longest


def _t0(learnt: Problem, asked: Problem, seed: int) -> Vectors:
    found = fit_residual(learnt, settings=ResidualSettings(seed=seed))
    like = HashingEmbedder(dims=learnt.queries.shape[1])  # only its length counts here
    return ResidualEmbedder(like, down=found.down, up=found.up, name="t0").map(asked.queries)


def _t1(data: DataSet, learnt: Problem, seed: int, passes: int) -> Vectors:
    from memsdk.trainer.lora import Encoder, fit_lora

    embedder = load_embedder()
    assert isinstance(embedder, TransformerEmbedder)
    settings = replace(LoraSettings(seed=seed), passes=passes)
    texts = [query.text for query in data.queries["train"]]
    found = fit_lora(learnt, texts, embedder=embedder, task=Task.QA, settings=settings, progress=print)
    encoder = Encoder(embedder, found.model, task=Task.QA, max_tokens=embedder.spec.max_tokens)
    ids = embedder.token_ids([query.text for query in data.queries["dev"]], task=Task.QA, side=Side.QUERY)
    with torch.inference_mode():
        return np.concatenate([encoder([one]).numpy() for one in ids])


def _report(
    tier: str,
    sets: Sequence[DataSet],
    found: Sequence[tuple[float, float, list[float], list[float], float]],
) -> float:
    """Print a line a set; returns the relative gain of the mean over the sets."""
    print(f"{tier:26}{'base':>8}{'after':>8}{'points':>8}   95 % interval        fit, CPU s")
    for each, (base, after, before, now, seconds) in zip(sets, found, strict=True):
        gain = paired_gain(now, before)
        print(
            f"{each.name:26}{base:8.4f}{after:8.4f}{100 * gain.mean:+8.1f}   [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"
            f"{seconds:14.1f}"
        )
    before = float(np.mean([base for base, *_ in found]))
    after = float(np.mean([now for _, now, *_ in found]))
    return (after - before) / before
