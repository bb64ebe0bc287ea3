"""What the language model's reward is worth: T0 and T1 fitted on hard labels, on likelihood and on ranks, with two losses.

All arms see the same questions, candidates and steps, and keep the last weights; those with a reward are told no label.
Judged on dev questions: dense nDCG@10 by the data's labels, and how much likelier SmolLM2 finds the right output with the
first hit in its prompt than with none.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from benchmarks.adapters import Prepared, fit_adapter, prepare
from benchmarks.protocol import rank
from benchmarks.tasks import DATA
from memsdk.ports import Origin
from memsdk.trainer.jsonl import read_rows, write_rows
from memsdk.trainer.metrics import Gain, ndcg_at, paired_gain
from memsdk.trainer.rewards.caching import Asked, CachedScorer, MemoryCache
from memsdk.trainer.rewards.formulas import RewardKind
from memsdk.trainer.rewards.loading import load_reward_model
from memsdk.trainer.rewards.local import LocalModel, Machine
from memsdk.trainer.rewards.port import Job, Sampling
from memsdk.trainer.rewards.scoring import Report, RewardSettings, score_with_report
from memsdk.trainer.rewards.templates import TEMPLATES
from memsdk.trainer.rows import Row
from memsdk.trainer.tiers import LoraSettings, Loss, ResidualSettings

Found = TypeVar("Found")
SETS = ("qa/fairytaleqa", "chat/beam", "lrlm/long_docs")
LABELS, UNTRAINED = "labels", "untrained"
MOST_RIGHT = 2  # right candidates of a question; the others are mined
OUTPUT_TOKENS, SHOWN_TOKENS = 48, 256  # of what the language model scores, and of a query or a candidate


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """What is learnt from; with labels alone graded distillation is the contrastive loss."""

    tier: str
    reward: str
    loss: Loss = "graded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """An arm's figures on the dev questions, in their order.

    Attributes:
        first: the place of each question's first hit.
    """

    arm: Arm
    seed: int
    rows: int
    ndcg_10: tuple[float, ...]
    first: tuple[int, ...]


def main(arguments: list[str]) -> dict[str, object]:
    """Score, train and judge; print a table a set and tier."""
    options = _options(arguments)
    began = time.monotonic()
    options.folder.mkdir(parents=True, exist_ok=True)
    told = {
        name: said
        for name, said in zip(options.sets, _mapped(options, score, options.sets), strict=True)
        if said
    }
    print(f"[{time.monotonic() - began:6.1f} s] scored", flush=True)
    tables: dict[str, object] = {}
    for name, (found, helped) in zip(options.sets, _mapped(options, compare, options.sets), strict=True):
        for tier in options.tiers:
            tables[f"{name} {tier}"] = table(options, name, tier, found, helped)
    device = torch.cuda.get_device_name() if options.device == "cuda" else "CPU, 1 thread"
    return {
        "device": device, "tables": tables, "rewards": told, "seconds": round(time.monotonic() - began, 1),
        "settings": {name: str(value) for name, value in vars(options).items()},
    }  # fmt: skip


def score(options: argparse.Namespace, name: str) -> dict[str, dict[str, float]]:
    """Files of rows with each kind of reward in the folder; those that are there already are taken as they are."""
    files = {kind: _file(options, name, kind) for kind in RewardKind}
    if all(file.is_file() for file in files.values()):
        return {}
    torch.set_num_threads(1)
    one = prepare(options, name)
    usable = [row for row in one.rows if row.output and any(not each.positive for each in row.candidates)]
    drawn = random.Random(3).sample(usable, min(options.scored, len(usable)))  # noqa: S311 -- no secret
    rows = [_cut(row, most=options.candidates) for row in drawn]
    model, cache = _language_model(options), MemoryCache()
    told = {}
    for kind in reversed(RewardKind):  # ranks first: likelihood then costs nothing more
        settings = RewardSettings(
            kind=kind, samples=options.samples, samples_with_candidate=options.samples // 2,
            sampling=Sampling(max_tokens=16), max_key_tokens=SHOWN_TOKENS, max_query_tokens=SHOWN_TOKENS,
            max_output_tokens=OUTPUT_TOKENS,
        )  # fmt: skip
        scored = score_with_report(rows, model, cache=cache, settings=settings)
        write_rows(files[kind], scored.rows)
        told[kind.value] = _told(scored.report)
    return told


def compare(
    options: argparse.Namespace, name: str
) -> tuple[list[Judged], dict[tuple[Arm, int], list[float]]]:
    """Every arm and seed on one set, and what their first hits give the language model; see `helped`."""
    torch.set_num_threads(1)
    one = prepare(options, name)
    dev = [number for number, each in enumerate(one.asked["dev"]) if each.answer and one.data.searched(each)]
    dev = sorted(random.Random(7).sample(dev, min(options.dev, len(dev))))  # noqa: S311 -- no secret
    one = replace(
        one,
        asked={**one.asked, "dev": [one.asked["dev"][number] for number in dev]},
        vectors={**one.vectors, "dev": one.vectors["dev"][dev]},
    )
    found = []
    for tier in options.tiers:
        found.append(_judged(one, one.vectors["dev"], Arm(tier=tier, reward=UNTRAINED), seed=0, rows=0))
        for arm in arms(tier):
            kind = RewardKind.SMOOTH if arm.reward == LABELS else RewardKind(arm.reward)
            rows = [_told_only(arm, row) for row in read_rows(_file(options, name, kind))]
            learnt = sum(_teaches(row) for row in rows)
            for seed in range(options.seeds):
                settings = _settings(options, arm, seed=seed, rows=learnt)
                adapter = fit_adapter(one, rows, settings, model=options.model, device=options.device)
                found.append(_judged(one, adapter.embed(one, "dev"), arm, seed=seed, rows=learnt))
                print(f"{name} {arm} seed {seed}: {np.mean(found[-1].ndcg_10):.4f}, {learnt} rows,"
                      f" {adapter.seconds:.0f} CPU s", flush=True)  # fmt: skip
    return found, helped(options, one, found)


def arms(tier: str) -> list[Arm]:
    """Hard labels, then each reward with each loss."""
    losses: tuple[Loss, ...] = ("graded", "kl")
    return [
        Arm(tier=tier, reward=LABELS),
        *(Arm(tier=tier, reward=kind.value, loss=loss) for kind in RewardKind for loss in losses),
    ]


def helped(
    options: argparse.Namespace, one: Prepared, found: Sequence[Judged]
) -> dict[tuple[Arm, int], list[float]]:
    """Of some questions: the output's log-probability a token with the first hit shown, less that with none."""
    asked, model = one.asked["dev"][: options.judged], _language_model(options)
    template, scorer = TEMPLATES[one.data.task], CachedScorer(model, MemoryCache())
    without: list[float] = []
    with_hit: dict[tuple[int, int], float] = {}
    for number, each in enumerate(asked):
        places = sorted({run.first[number] for run in found})
        output = model.output_ids(template.answer(model.cut(str(each.answer).strip(), most=OUTPUT_TOKENS)))
        query = model.cut(each.text, most=SHOWN_TOKENS, from_end=True)
        shown = [model.cut(one.data.texts[place], most=SHOWN_TOKENS) for place in places]
        prompts = [template.prompt(query, text) for text in (None, *shown)]
        jobs = [Asked(Job(model.prompt_ids(prompt), (output,)), Origin()) for prompt in prompts]
        bare, *values = (scores[0].mean for scores in scorer.score(jobs))
        without.append(bare)
        with_hit.update({(number, place): value for place, value in zip(places, values, strict=True)})
    return {
        (run.arm, run.seed): [
            with_hit[number, run.first[number]] - without[number] for number in range(len(asked))
        ]
        for run in found
    }


def table(
    options: argparse.Namespace,
    name: str,
    tier: str,
    found: Sequence[Judged],
    nats: dict[tuple[Arm, int], list[float]],
) -> list[dict[str, object]]:
    """Print and return a line an arm: means over seeds and questions, and the paired intervals against hard labels."""
    runs = {(each.arm, each.seed): each for each in found}

    def means(arm: Arm) -> tuple[list[float], list[float]]:
        """Of each question, over the seeds: nDCG@10, and what the first hit gives the language model."""
        of_arm = [key for key in runs if key[0] == arm]
        quality = np.mean([runs[key].ndcg_10 for key in of_arm], axis=0)
        return quality.tolist(), np.mean([nats[key] for key in of_arm], axis=0).tolist()

    hard = means(Arm(tier=tier, reward=LABELS))
    usual = means(Arm(tier=tier, reward=RewardSettings().kind.value, loss=ResidualSettings().loss))
    print(f"\n{name} {tier}, {len(hard[0])} dev questions, {len(hard[1])} of them for the language model; differences of"
          f" nDCG@10 in points\n{'reward':12}{'loss':8}{'rows':>5}{'nDCG@10':>9}  {'than labels':22}{'than the default':22}"
          f"{'nats a token':>13}  than labels")  # fmt: skip
    lines: list[dict[str, object]] = []
    for arm in (Arm(tier=tier, reward=UNTRAINED), *arms(tier)):
        quality, given = means(arm)
        better, likelier = paired_gain(quality, hard[0]), paired_gain(given, hard[1])
        than_usual = paired_gain(quality, usual[0])
        print(f"{arm.reward:12}{arm.loss:8}{runs[arm, 0].rows:5}{np.mean(quality):9.4f}  {_points(better):22}"
              f"{_points(than_usual):22}{np.mean(given):+13.4f}  {likelier.mean:+.4f}"
              f" [{likelier.low:+.4f}, {likelier.high:+.4f}]")  # fmt: skip
        lines.append(
            {"reward": arm.reward, "loss": arm.loss, "rows": runs[arm, 0].rows, "ndcg_10": float(np.mean(quality)),
             "by_seed": [float(np.mean(runs[key].ndcg_10)) for key in runs if key[0] == arm],
             "nats": float(np.mean(given)),
             "ndcg_10_against_labels": [better.mean, better.low, better.high],
             "ndcg_10_against_default": [than_usual.mean, than_usual.low, than_usual.high],
             "nats_against_labels": [likelier.mean, likelier.low, likelier.high]}
        )  # fmt: skip
    return lines


def _points(gain: Gain) -> str:
    return f"{100 * gain.mean:+.2f} [{100 * gain.low:+.2f}, {100 * gain.high:+.2f}]"


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks rewards", description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--model", type=Path, help="the encoder's folder; the packaged one where left out")
    parser.add_argument("--language-model", default="packaged")
    parser.add_argument(
        "--folder", type=Path, default=Path("build/bench/rewards"), help="for rows with rewards"
    )
    parser.add_argument("--vectors", type=Path, default=Path("build/bench/vectors"), help="for vectors")
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--tiers", nargs="+", default=["t0", "t1"], choices=("t0", "t1"))
    parser.add_argument("--scored", type=int, default=96, help="questions a set that get rewards")
    parser.add_argument("--candidates", type=int, default=8)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=60, help="of each fit, but for the rest of a pass")
    parser.add_argument("--dev", type=int, default=300, help="dev questions a set")
    parser.add_argument("--judged", type=int, default=40, help="of these, for the language model")
    parser.add_argument("--workers", type=int, default=1, help="sets that are worked on at once")
    parser.set_defaults(rows=None, by_turn=False)
    return parser.parse_args(list(arguments))


def _settings(
    options: argparse.Namespace, arm: Arm, *, seed: int, rows: int
) -> ResidualSettings | LoraSettings:
    """Passes are so many that all arms take the same steps, whatever the number of rows that teach."""
    batch = max(8, min(options.batch, rows // 12))  # as T0 has it
    passes = max(1, round(options.steps / max(1, rows // batch)))
    if arm.tier == "t0":
        return ResidualSettings(bags=1, batch=batch, passes=passes, loss=arm.loss, keep="last", seed=seed)
    return LoraSettings(batch=batch, passes=passes, loss=arm.loss, keep="last", seed=seed)


def _judged(one: Prepared, queries: np.ndarray, arm: Arm, *, seed: int, rows: int) -> Judged:
    asked = one.asked["dev"]
    ranked = rank(one.data, asked, queries, one.vectors["keys"], k=10)
    figures = [
        ndcg_at([place for place, _ in top], set(each.relevant), k=10)
        for each, top in zip(asked, ranked, strict=True)
    ]
    return Judged(
        arm=arm, seed=seed, rows=rows, ndcg_10=tuple(figures), first=tuple(top[0][0] for top in ranked)
    )


def _cut(row: Row, *, most: int) -> Row:
    """The row with few candidates: the first right ones, then the hardest others."""
    right = [one for one in row.candidates if one.positive][:MOST_RIGHT]
    others = [one for one in row.candidates if not one.positive]
    return replace(row, candidates=(*right, *others[: most - len(right)]))


def _told_only(arm: Arm, row: Row) -> Row:
    """The row with labels and no rewards, or with rewards and no labels."""
    if arm.reward == LABELS:
        return replace(row, candidates=tuple(replace(one, reward=None) for one in row.candidates))
    return replace(row, candidates=tuple(replace(one, positive=False) for one in row.candidates))


def _teaches(row: Row) -> bool:
    rewards = {one.reward for one in row.candidates if one.reward is not None}
    return len(rewards) > 1 or any(one.positive for one in row.candidates)


def _language_model(options: argparse.Namespace) -> LocalModel:
    found = load_reward_model(options.language_model, machine=Machine(device=options.device, dtype="float32"))
    assert isinstance(found, LocalModel), "name a local model"
    return found


def _told(report: Report) -> dict[str, float]:
    return {
        "rows": report.rows, "scored": report.scored, "flat": report.flat, "unhelped": report.unhelped,
        "without_samples": report.without_samples, "tie_rate": report.tie_rate,
        "saturation_rate": report.saturation_rate,
    }  # fmt: skip


def _file(options: argparse.Namespace, name: str, kind: RewardKind) -> Path:
    folder: Path = options.folder
    return folder / f"{name.replace('/', '-')}-{kind}.jsonl"


def _mapped(
    options: argparse.Namespace, work: Callable[[argparse.Namespace, str], Found], names: Sequence[str]
) -> list[Found]:
    """The work's results in the sets' order, by as many processes as were asked for."""
    if options.workers == 1:
        return [work(options, name) for name in names]
    context = multiprocessing.get_context("spawn")  # CUDA can't be forked
    with ProcessPoolExecutor(min(options.workers, len(names)), mp_context=context) as pool:
        return list(pool.map(work, [options] * len(names), names))
