"""What T0 and T1 keep of T2's gain with no document embedded again: dense nDCG@10 on dev splits, measured as T2 is.

Documents are embedded once by the packaged model, untrained and without prefixes. An adapter is fitted on each set's
train questions, as a store's is on its feedback, and judged on its dev questions. LoCoMo is measured with BEAM's adapter.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from benchmarks.adapters import fit_adapter, prepare
from benchmarks.protocol import interval
from benchmarks.tasks import DATA, MEASURED_ONLY, NAMES
from memsdk.trainer.tiers import LoraSettings, ResidualSettings

Found = TypeVar("Found")
T2_GAIN = 0.217
"""What `benchmarks full` measured, relative, the mean of three seeds; docs/training.md has its table."""
NEEDED = {"t0": 1 / 6, "t1": 1 / 2}
MOST_SECONDS = 60.0
"""Of CPU time, of T0's longest fit."""
UNITS = tuple(
    (name, *MEASURED_ONLY) if name == "chat/beam" else (name,) for name in NAMES if name not in MEASURED_ONLY
)
"""The sets that share an adapter; it is fitted on the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One fit: nDCG@10 of each dev question and of each guard question, the fit's CPU seconds, and its passes."""

    after: list[float]
    guard: list[float]
    seconds: float
    passes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One set's figures: by part before, and by tier a run a seed."""

    before: dict[str, list[float]] = field(default_factory=dict)
    runs: dict[str, list[Run]] = field(default_factory=dict)


def main(arguments: list[str]) -> dict[str, object]:
    """Fit and judge the tiers on each set; print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks tiers", description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--model", type=Path, help="the base model's folder; the packaged one where left out")
    parser.add_argument("--tiers", nargs="+", default=["t0", "t1"], choices=("t0", "t1"))
    parser.add_argument("--sets", nargs="+", default=[unit[0] for unit in UNITS])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1, help="processes that embed and fit at once")
    parser.add_argument("--rows", type=int, help="train questions a set, at most; all where left out")
    parser.add_argument(
        "--by-turn", action="store_true", help="queries amid a conversation as recall embeds them, not joined"
    )
    parser.add_argument("--t0", type=json.loads, default={}, help="other settings of T0, as JSON")
    parser.add_argument("--t1", type=json.loads, default={}, help="other settings of T1, as JSON")
    parser.add_argument(
        "--vectors", type=Path, default=Path("build/bench/vectors"), help="where they are kept"
    )
    options = parser.parse_args(arguments)
    units = [unit for unit in UNITS if unit[0] in options.sets]
    names = [name for unit in units for name in unit]
    found = {name: Measured() for name in names}
    for part, before in zip(
        ("dev", "guard"), zip(*_mapped(options, measure, names), strict=True), strict=True
    ):
        for name, figures in zip(names, before, strict=True):
            found[name].before[part] = figures
    jobs = [(unit, tier, seed) for tier in options.tiers for seed in range(options.seeds) for unit in units]
    for (unit, tier, _), runs in zip(jobs, _mapped(options, run, jobs), strict=True):
        for name, one in zip(unit, runs, strict=True):
            found[name].runs.setdefault(tier, []).append(one)
    return report(options, found)


def measure(options: argparse.Namespace, name: str) -> tuple[list[float], list[float]]:
    """nDCG@10 of each dev and each guard question by the untrained model; its vectors are kept for `run`."""
    torch.set_num_threads(1)
    one = prepare(options, name)
    return one.quality("dev", one.vectors["dev"]), one.quality("guard", one.vectors["guard"])


def run(options: argparse.Namespace, job: tuple[Sequence[str], str, int]) -> list[Run]:
    """An adapter for these sets, fitted on the first of them."""
    torch.set_num_threads(1)
    unit, tier, seed = job
    sets = [prepare(options, name) for name in unit]
    settings = _settings(options, tier, seed)
    adapter = fit_adapter(sets[0], sets[0].rows, settings, model=options.model, device=options.device)
    runs = []
    for one in sets:
        after = {
            part: one.quality(part, adapter.embed(one, part)) if one.asked[part] else []
            for part in ("dev", "guard")
        }
        runs.append(
            Run(after=after["dev"], guard=after["guard"], seconds=adapter.seconds, passes=adapter.passes)
        )
        print(f"{tier} seed {seed} {one.data.name:26} {np.mean(runs[-1].after):.4f}, {adapter.passes} passes,"
              f" {adapter.seconds:.1f} CPU s", flush=True)  # fmt: skip
    return runs


def _settings(options: argparse.Namespace, tier: str, seed: int) -> ResidualSettings | LoraSettings:
    return (
        ResidualSettings(seed=seed, **options.t0) if tier == "t0" else LoraSettings(seed=seed, **options.t1)
    )


def report(options: argparse.Namespace, found: Mapping[str, Measured]) -> dict[str, object]:
    """Print a table a tier, and say whether the targets are met."""
    before = {name: each.before["dev"] for name, each in found.items()}
    base = _mean(before.values())
    result: dict[str, object] = {
        "device": torch.cuda.get_device_name() if options.device.startswith("cuda") else "CPU, 1 thread",
        "before": {name: float(np.mean(values)) for name, values in before.items()}, "before_mean": base,
        "settings": {tier: asdict(_settings(options, tier, 0)) for tier in options.tiers},
    }  # fmt: skip
    met = True
    for tier in options.tiers:
        runs = {name: each.runs[tier] for name, each in found.items()}
        seeds = [_of_seed(found, runs, seed) for seed in range(options.seeds)]
        means = [_mean(each[seed].after for each in runs.values()) for seed in range(options.seeds)]
        longest = max(one.seconds for each in runs.values() for one in each)
        gain, needed = float(np.mean(means)) / base - 1, T2_GAIN * NEEDED[tier]
        print(f"\n{tier:26}{'before':>8}" + "".join(f"  seed {seed}" for seed in range(options.seeds)))
        for name, values in before.items():
            print(f"{name:26}{np.mean(values):8.4f}" + "".join(f"{np.mean(one.after):8.4f}" for one in runs[name]))  # fmt: skip
        print(f"{'mean':26}{base:8.4f}" + "".join(f"{mean:8.4f}" for mean in means))
        for each in seeds:
            print(each)
        print(
            f"{tier}: {100 * gain:+.1f} % relative (needed {100 * needed:+.1f} %), longest fit {longest:.0f} CPU s"
        )
        met = met and gain >= needed and (tier != "t0" or longest < MOST_SECONDS)
        result[tier] = {
            "seeds": seeds, "mean": float(np.mean(means)), "relative_gain": gain, "needed": needed,
            "longest_fit_cpu_s": longest,
            "after": {name: [float(np.mean(one.after)) for one in each] for name, each in runs.items()},
            "passes": {name: [one.passes for one in each] for name, each in runs.items()},
        }  # fmt: skip
    return {"met": met, **result}


def _of_seed(
    found: Mapping[str, Measured], runs: Mapping[str, Sequence[Run]], seed: int
) -> dict[str, object]:
    """The mean, its change with the interval, the guard's relative change, and the CPU seconds of all fits."""
    before = {name: each.before["dev"] for name, each in found.items()}
    after = {name: each[seed].after for name, each in runs.items()}
    guarded = [name for name, each in found.items() if each.before["guard"]]
    guard = [
        _mean(found[name].before["guard"] for name in guarded),
        _mean(runs[name][seed].guard for name in guarded),
    ]
    return {
        "seed": seed, "mean": _mean(after.values()), "change_95": interval(before, after, seed=seed),
        "guard_gain": guard[1] / guard[0] - 1,
        "worst_change": min(float(np.mean(after[name]) - np.mean(before[name])) for name in before),
        "cpu_seconds": sum(each[seed].seconds for name, each in runs.items() if name not in MEASURED_ONLY),
    }  # fmt: skip


def _mean(figures: Iterable[Sequence[float]]) -> float:
    """The mean over sets of each set's mean."""
    return float(np.mean([np.mean(values) for values in figures]))


def _mapped(options: argparse.Namespace, work: Callable[..., Found], jobs: Sequence[object]) -> list[Found]:
    """The work's results in the jobs' order, by as many processes as were asked for."""
    if options.workers == 1:
        return [work(options, job) for job in jobs]
    context = multiprocessing.get_context("spawn")  # CUDA can't be forked
    with ProcessPoolExecutor(min(options.workers, len(jobs)), mp_context=context) as pool:
        return list(pool.map(work, [options] * len(jobs), jobs))
