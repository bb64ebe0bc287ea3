"""What T0 and T1 keep of T2's gain with no document embedded again: dense nDCG@10 on dev splits, measured as T2 is.

Documents are embedded once by the packaged model, untrained and without prefixes. An adapter is fitted on each set's
train questions, as a store's is on its feedback, and judged on its dev questions. LoCoMo is measured with BEAM's adapter.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.protocol import Taught, guard, interval, mine, ndcg_10, taught
from benchmarks.tasks import DATA, MEASURED_ONLY, NAMES, Question, TaskSet, packaged, read_set
from memsdk.embedding.adapters import ResidualEmbedder
from memsdk.embedding.loading import load_embedder
from memsdk.embedding.runtime import Runtime
from memsdk.embedding.transformer import TransformerEmbedder
from memsdk.testing.embedders import HashingEmbedder
from memsdk.trainer.encoder import TrainableEncoder
from memsdk.trainer.lora import Encoder, embed_queries, fit_lora
from memsdk.trainer.problem import SHARED, Example, Problem, targets
from memsdk.trainer.residual import fit_residual
from memsdk.trainer.rows import Candidate, Row
from memsdk.trainer.tiers import LoraSettings, ResidualSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

T2_GAIN = 0.217
"""What `benchmarks full` measured, relative, the mean of three seeds; docs/training.md has its table."""
NEEDED = {"t0": 1 / 6, "t1": 1 / 2}
MOST_SECONDS = 60.0
"""Of T0's fit, of all sets together."""
TOKENS = 256  # the packaged model's longest text
UNITS = tuple(
    (name, *MEASURED_ONLY) if name == "chat/beam" else (name,) for name in NAMES if name not in MEASURED_ONLY
)
"""The sets that share an adapter; it is fitted on the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """One set with the untrained model's vectors: of its documents, and of the questions that teach, choose and judge."""

    data: TaskSet
    asked: dict[str, list[Question]]
    vectors: dict[str, Vectors]
    rows: tuple[Taught, ...]

    def quality(self, part: str, queries: Vectors) -> list[float]:
        """nDCG@10 of each question of the part."""
        return ndcg_10(self.data, self.asked[part], queries, self.vectors["keys"])


def main(arguments: list[str]) -> dict[str, object]:
    """Fit and judge the tiers on each set; print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks tiers", description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--model", type=Path, help="the base model's folder; the packaged one where left out")
    parser.add_argument("--tiers", nargs="+", default=["t0", "t1"], choices=("t0", "t1"))
    parser.add_argument("--sets", nargs="+", default=[unit[0] for unit in UNITS])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1, help="sets that are worked on at once")
    parser.add_argument(
        "--vectors", type=Path, default=Path("build/bench/vectors"), help="where they are kept"
    )
    options = parser.parse_args(arguments)
    units = [unit for unit in UNITS if unit[0] in options.sets]
    found: dict[str, dict[str, object]] = {}
    if options.workers == 1:
        for unit in units:
            found.update(run_unit(options, unit))
    else:
        context = multiprocessing.get_context("spawn")  # CUDA can't be forked
        with ProcessPoolExecutor(options.workers, mp_context=context) as pool:
            for each in pool.map(run_unit, [options] * len(units), units):
                found.update(each)
    return report(options, found)


def run_unit(options: argparse.Namespace, unit: Sequence[str]) -> dict[str, dict[str, object]]:
    """An adapter of each tier and seed for these sets; by set, each question's figures and how long the fits took."""
    torch.set_num_threads(1)
    sets = [prepare(options, name) for name in unit]
    found: dict[str, dict[str, object]] = {
        one.data.name: {"before": one.quality("dev", one.vectors["dev"])} for one in sets
    }
    for tier in options.tiers:
        for one in sets:
            found[one.data.name][tier] = []
        for seed in range(options.seeds):
            vectors, seconds, passes = fitted(options, tier, sets, seed=seed)
            for one, queries in zip(sets, vectors, strict=True):
                runs = found[one.data.name][tier]
                assert isinstance(runs, list)
                after = one.quality("dev", queries)
                runs.append({"after": after, "seconds": seconds, "passes": passes})
                print(f"{tier} seed {seed} {one.data.name:26} {np.mean(found[one.data.name]['before']):.4f} ->"
                      f" {np.mean(after):.4f}, {passes} passes, {seconds:.1f} CPU s", flush=True)  # fmt: skip
    return found


def fitted(
    options: argparse.Namespace, tier: str, sets: Sequence[Prepared], *, seed: int
) -> tuple[list[Vectors], float, int]:
    """The dev questions' vectors by an adapter of the first set, its fit's CPU seconds, and its passes."""
    learnt = sets[0]
    began = time.process_time()
    if tier == "t0":
        found = fit_residual(problem_of(learnt), settings=ResidualSettings(seed=seed))
        seconds = time.process_time() - began
        like = HashingEmbedder(dims=learnt.vectors["keys"].shape[1])  # only its length counts here
        adapter = ResidualEmbedder(like, down=found.down, up=found.up, name="t0")
        return [adapter.map(one.vectors["dev"]) for one in sets], seconds, found.passes
    embedder = load_embedder(options.model or packaged(), prefixes={}, runtime=Runtime(engine="torch"))
    assert isinstance(embedder, TransformerEmbedder)
    texts = [row.question.text for row in learnt.rows]
    tuned = fit_lora(
        problem_of(learnt), texts, embedder=embedder, task=learnt.data.task, settings=LoraSettings(seed=seed),
        device=options.device,
    )  # fmt: skip
    seconds = time.process_time() - began
    encoder = Encoder(
        embedder, tuned.model.to(options.device), task=learnt.data.task, max_tokens=embedder.spec.max_tokens
    )
    asked = [[each.text for each in one.asked["dev"]] for one in sets]
    return [embed_queries(encoder, encoder.tokens(some)) for some in asked], seconds, tuned.passes


def problem_of(one: Prepared) -> Problem:
    """What teaches, as `retrain` puts it: each question's right documents and its hard negatives; labels alone."""
    names: dict[str | None, int] = {None: SHARED}
    restricted = any(row.question.group is not None for row in one.rows)
    groups = one.data.groups if restricted else (None,) * len(one.data.groups)
    owners = np.array([names.setdefault(group, len(names)) for group in groups], np.int64)
    examples = []
    for row in one.rows:
        places = [*row.right, *row.hard]
        candidates = tuple(
            Candidate(text="", positive=number < len(row.right)) for number in range(len(places))
        )
        rewards = targets(
            Row(id="", task=one.data.task, query=row.question.text, output=None, candidates=candidates)
        )
        examples.append(
            Example(
                candidates=np.array(places, np.int64), rewards=np.array(rewards, np.float32),
                relevant=frozenset(row.right), owner=names[row.question.group],
            )
        )  # fmt: skip
    return Problem(
        queries=one.vectors["train"], keys=one.vectors["keys"], owners=owners, examples=tuple(examples)
    )


def prepare(options: argparse.Namespace, name: str) -> Prepared:
    """Read, embed and mine a set. Vectors are kept as float16, and used as they are kept."""
    one = read_set(options.data, name)
    kept = guard(one)
    asked = {
        "train": [] if name in MEASURED_ONLY else taught(one, kept),
        "guard": kept,
        "dev": one.asked("dev"),
    }
    texts = {"keys": list(one.texts), **{part: [each.text for each in some] for part, some in asked.items()}}
    digest = hashlib.sha256(json.dumps(texts).encode()).hexdigest()
    file = options.vectors / f"{name.replace('/', '-')}.npz"
    if not (file.exists() and str(np.load(file)["digest"]) == digest):
        options.vectors.mkdir(parents=True, exist_ok=True)
        np.savez(file, digest=np.array(digest), **_embedded(options, texts))
    with np.load(file) as stored:
        vectors = {part: _unit(stored[part].astype(np.float32)) for part in texts}
    rows = mine(one, kept, asked["train"], queries=vectors["train"], keys=vectors["keys"])
    usable = [number for number, row in enumerate(rows) if row.right]
    vectors["train"] = vectors["train"][usable]
    return Prepared(data=one, asked=asked, vectors=vectors, rows=tuple(rows[number] for number in usable))


def report(options: argparse.Namespace, found: dict[str, dict[str, object]]) -> dict[str, object]:
    """Print a table a tier, and say whether the targets are met."""
    before = {name: _figures(each["before"]) for name, each in found.items()}
    base = float(np.mean([np.mean(values) for values in before.values()]))
    result: dict[str, object] = {
        "device": torch.cuda.get_device_name() if options.device.startswith("cuda") else "CPU, 1 thread",
        "before": {name: float(np.mean(values)) for name, values in before.items()}, "before_mean": base,
        "settings": {"t0": asdict(ResidualSettings()), "t1": asdict(LoraSettings())},
    }  # fmt: skip
    met = True
    for tier in options.tiers:
        runs = {name: [_run(run) for run in _list(each[tier])] for name, each in found.items()}
        seeds = []
        for seed in range(options.seeds):
            after = {name: of_seeds[seed][0] for name, of_seeds in runs.items()}
            seeds.append(
                {"after": {name: float(np.mean(values)) for name, values in after.items()},
                 "mean": float(np.mean([np.mean(values) for values in after.values()])),
                 "change_95": interval(before, after, seed=seed),
                 "cpu_seconds": sum(each[seed][1] for name, each in runs.items() if name not in MEASURED_ONLY)}
            )  # fmt: skip
        mean = float(np.mean([each["mean"] for each in seeds]))
        seconds = max(float(str(each["cpu_seconds"])) for each in seeds)
        gain, needed = mean / base - 1, T2_GAIN * NEEDED[tier]
        print(f"\n{tier:26}{'before':>8}" + "".join(f"  seed {seed}" for seed in range(options.seeds)))
        for name, values in before.items():
            print(f"{name:26}{np.mean(values):8.4f}" + "".join(f"{np.mean(run):8.4f}" for run, _ in runs[name]))  # fmt: skip
        print(f"{'mean':26}{base:8.4f}" + "".join(f"{each['mean']:8.4f}" for each in seeds))
        for seed, each in enumerate(seeds):
            print(f"change, seed {seed}, 95 %: {each['change_95']}")
        print(
            f"{tier}: {100 * gain:+.1f} % relative (needed {100 * needed:+.1f} %), {seconds:.0f} CPU s for all sets"
        )
        met = met and gain >= needed and (tier != "t0" or seconds < MOST_SECONDS)
        result[tier] = {
            "seeds": seeds, "mean": mean, "relative_gain": gain, "needed": needed, "cpu_seconds": seconds,
        }  # fmt: skip
    return {"met": met, **result}


def _embedded(options: argparse.Namespace, texts: dict[str, list[str]]) -> dict[str, NDArray[np.float16]]:
    """By part, [n, d] vectors of the untrained model without prefixes."""
    cuda = str(options.device).startswith("cuda")
    encoder = TrainableEncoder(options.model or packaged(), device=options.device, bf16=cuda)
    return {
        part: encoder.embed(
            encoder.token_ids(some, max_tokens=TOKENS), batch_tokens=131_072 if cuda else 2_048
        )
        .numpy()
        .astype(np.float16)
        for part, some in texts.items()
    }


def _unit(vectors: Vectors) -> Vectors:
    if not len(vectors):
        return np.zeros((0, 0), np.float32)
    unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def _figures(value: object) -> list[float]:
    assert isinstance(value, list)
    return value


def _list(value: object) -> list[dict[str, object]]:
    assert isinstance(value, list)
    return value


def _run(run: dict[str, object]) -> tuple[list[float], float]:
    """The figures of each question, and the fit's CPU seconds."""
    return _figures(run["after"]), float(str(run["seconds"]))
