"""What the language model's reward is worth: the encoder trained on hard labels, on likelihood and on ranks, with two losses.

All arms see the same questions, candidates and steps. Those with a reward are told no label. Judged on dev questions:
dense nDCG@10 by the data's labels, and how much likelier SmolLM2 finds the right output with the first hit in its prompt.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch

from benchmarks.protocol import guard, mine, rank, taught
from benchmarks.tasks import DATA, Question, TaskSet, packaged, read_set
from memsdk.ports import Origin
from memsdk.trainer.encoder import TrainableEncoder
from memsdk.trainer.full import FullSettings, fit_full
from memsdk.trainer.jsonl import read_rows, write_rows
from memsdk.trainer.loop import LoopSettings
from memsdk.trainer.metrics import ndcg_at, paired_gain
from memsdk.trainer.rewards.caching import Asked, CachedScorer, MemoryCache
from memsdk.trainer.rewards.formulas import RewardKind
from memsdk.trainer.rewards.loading import load_reward_model
from memsdk.trainer.rewards.local import LocalModel, Machine
from memsdk.trainer.rewards.port import Job, Sampling
from memsdk.trainer.rewards.scoring import Report, RewardSettings, score_with_report
from memsdk.trainer.rewards.templates import TEMPLATES
from memsdk.trainer.rows import Candidate, Row
from memsdk.trainer.tasks import PRESETS, LossName

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

SETS = ("qa/fairytaleqa", "chat/beam", "lrlm/long_docs")
LABELS = "labels"
HARD = (LABELS, "graded")
"""The arm that the others are compared with; with labels alone graded distillation is the contrastive loss."""
ARMS: tuple[tuple[str, LossName], ...] = (
    (LABELS, "graded"),
    *((kind.value, loss) for kind in RewardKind for loss in ("graded", "kl")),  # type: ignore[misc]  # a str, to mypy
)
Found = TypeVar("Found")
MOST_RIGHT = 2  # right candidates of a question; the others are mined


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """One training's figures on the dev questions, in their order.

    Attributes:
        first: the place of each question's first hit.
    """

    name: str
    arm: tuple[str, str]
    seed: int
    ndcg_10: tuple[float, ...]
    first: tuple[int, ...]


def main(arguments: list[str]) -> dict[str, object]:
    """Score, train and judge; print the tables."""
    options = _options(arguments)
    began = time.monotonic()
    sets = [read_set(options.data, name) for name in options.sets]
    options.folder.mkdir(parents=True, exist_ok=True)
    reports = _scored(options, sets)
    _say(began, "scored")
    names = [one.name for one in sets]
    jobs = [(name, arm, seed) for name in names for seed in range(options.seeds) for arm in ARMS]
    jobs += [(name, None, 0) for name in names]
    found = list(_mapped(options, _train, [(options, *job) for job in jobs]))
    _say(began, f"{len(jobs) - len(names)} trainings")
    judging = [(options, name, [each for each in found if each.name == name]) for name in names]
    helped = dict(zip(names, _mapped(options, _helped, judging), strict=True))
    _say(began, "judged by the language model")
    tables = {one.name: _table(one.name, found, helped[one.name], seeds=options.seeds) for one in sets}
    device = torch.cuda.get_device_name() if options.device == "cuda" else "CPU, 1 thread"
    return {
        "met": True,  # there is no target: the table is what is asked for
        "device": device, "tables": tables, "rewards": reports, "seconds": round(time.monotonic() - began, 1),
        "settings": {name: str(value) for name, value in vars(options).items()},
    }  # fmt: skip


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks rewards", description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--model", type=Path, help="the encoder's folder; the packaged one where left out")
    parser.add_argument("--language-model", default="packaged")
    parser.add_argument(
        "--folder", type=Path, default=Path("build/bench/rewards"), help="for rows with rewards"
    )
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--rows", type=int, default=96, help="questions a set, at most")
    parser.add_argument("--dev", type=int, default=100, help="dev questions a set, at most")
    parser.add_argument("--candidates", type=int, default=8)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=3e-5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=128, help="of a text, at most, for the encoder")
    parser.add_argument("--workers", type=int, default=1, help="processes that score and train at once")
    return parser.parse_args(list(arguments))


def _scored(options: argparse.Namespace, sets: Sequence[TaskSet]) -> dict[str, object]:
    """Files of rows with each kind of reward in the folder; those that are there already are taken as they are."""
    parts = max(1, options.workers // len(sets))
    missing = [
        one.name for one in sets if not all(_file(options, one.name, kind).is_file() for kind in RewardKind)
    ]
    jobs = [(options, name, part, parts) for name in missing for part in range(parts)]
    by_kind: dict[tuple[str, RewardKind], list[Row]] = {}
    rates: dict[str, object] = {}
    for (_, name, _, _), scored in zip(jobs, _mapped(options, _score, jobs), strict=True):
        for kind, (rows, said) in scored.items():
            by_kind.setdefault((name, kind), []).extend(rows)
            rates.setdefault(f"{name} {kind}", []).append(said)  # type: ignore[attr-defined]  # a list, of parts
    for (name, kind), rows in by_kind.items():
        write_rows(_file(options, name, kind), rows)
    return rates


def _score(
    options: argparse.Namespace, name: str, part: int, parts: int
) -> dict[RewardKind, tuple[list[Row], dict[str, float]]]:
    """A part of a set's rows with each kind of reward; samples and scores are drawn once for all kinds."""
    torch.set_num_threads(1)
    one = read_set(options.data, name)
    rows = rows_of(options, one)[part::parts]
    model, cache = _language_model(options), MemoryCache()
    found = {}
    for kind in reversed(RewardKind):  # ranks first: likelihood then costs nothing more
        settings = RewardSettings(
            kind=kind, samples=options.samples, samples_with_candidate=options.samples // 2,
            sampling=Sampling(max_tokens=16), max_key_tokens=256, max_query_tokens=256, max_output_tokens=48,
        )  # fmt: skip
        scored = score_with_report(rows, model, cache=cache, settings=settings)
        found[kind] = (scored.rows, _told(scored.report))
    return found


def rows_of(options: argparse.Namespace, one: TaskSet) -> list[Row]:
    """Questions with an answer: their right documents, and others that the untrained encoder finds."""
    kept = guard(one)
    asked = [each for each in taught(one, kept) if each.answer]
    asked = random.Random(3).sample(asked, min(options.rows, len(asked)))  # noqa: S311 -- no secret
    encoder = _encoder(options)
    needed = _needed(one, asked)
    keys = _keys(encoder, one, needed, prefix="", tokens=options.tokens)
    queries = _queries(encoder, asked, prefix="", tokens=options.tokens)
    rows = []
    for number, row in enumerate(mine(one, kept, asked, queries=queries, keys=keys)):
        right = row.right[:MOST_RIGHT]
        others = row.hard[: options.candidates - len(right)]
        candidates = (
            *(Candidate(text=one.texts[place], positive=True) for place in right),
            *(Candidate(text=one.texts[place], source="dense") for place in others),
        )
        if right and others:
            rows.append(
                Row(id=f"{one.name} {number}", task=one.task, query=row.question.text, output=row.question.answer,
                    candidates=candidates)
            )  # fmt: skip
    return rows


def _train(options: argparse.Namespace, name: str, arm: tuple[str, LossName] | None, seed: int) -> Trained:
    """One training of the encoder, or none for the untrained one without prefixes, and its figures."""
    torch.set_num_threads(1)
    one, encoder = read_set(options.data, name), _encoder(options)
    asked = judged(options, one)
    prefixes = ("", "")
    if arm is not None:
        reward, loss = arm
        kind = RewardKind.SMOOTH if reward == LABELS else RewardKind(reward)
        rows = read_rows(_file(options, name, kind))
        rows = [_labels_only(row) if reward == LABELS else _rewards_only(row) for row in rows]
        config = replace(
            PRESETS["default"][one.task], loss=loss, group=options.candidates, query_tokens=options.tokens,
            key_tokens=options.tokens, positive="label" if reward == LABELS else "teacher",
        )  # fmt: skip
        settings = FullSettings(
            loop=LoopSettings(steps=options.steps, learning_rate=options.rate, seed=seed),
            table={**PRESETS["default"], one.task: config}, batch=options.batch, chunk_tokens=32_768,
            cached=options.device == "cpu",
        )  # fmt: skip
        fit_full(encoder, rows, settings=settings)
        prefixes = (config.query_prefix, config.key_prefix)
    keys = _keys(encoder, one, _needed(one, asked), prefix=prefixes[1], tokens=options.tokens)
    queries = _queries(encoder, asked, prefix=prefixes[0], tokens=options.tokens)
    ranked = rank(one, asked, queries, keys, k=10)
    figures = [
        ndcg_at([place for place, _ in top], set(each.relevant), k=10)
        for each, top in zip(asked, ranked, strict=True)
    ]
    return Trained(
        name=name, arm=arm or ("untrained", ""), seed=seed, ndcg_10=tuple(figures),
        first=tuple(top[0][0] for top in ranked),
    )  # fmt: skip


def judged(options: argparse.Namespace, one: TaskSet) -> list[Question]:
    """The dev questions that have an answer and may find something."""
    asked = [each for each in one.asked("dev") if each.answer and one.searched(each)]
    return asked if len(asked) <= options.dev else random.Random(7).sample(asked, options.dev)  # noqa: S311


def _helped(
    options: argparse.Namespace, name: str, found: Sequence[Trained]
) -> dict[tuple[tuple[str, str], int], list[float]]:
    """By arm and seed, of each question: the output's log-probability a token with the first hit, less that without."""
    torch.set_num_threads(1)
    one = read_set(options.data, name)
    asked, model = judged(options, one), _language_model(options)
    template, scorer = TEMPLATES[one.task], CachedScorer(model, MemoryCache())
    without: list[float] = []
    with_hit: dict[tuple[int, int], float] = {}
    for number, each in enumerate(asked):
        places = sorted({run.first[number] for run in found})
        assert each.answer is not None  # `judged` sees to it
        output = model.output_ids(template.answer(model.cut(each.answer.strip(), most=48)))
        query = model.cut(each.text, most=256, from_end=True)
        shown: list[str | None] = [None, *(model.cut(one.texts[place], most=256) for place in places)]
        jobs = [
            Asked(Job(model.prompt_ids(template.prompt(query, text)), (output,)), Origin()) for text in shown
        ]
        values = [scores[0].mean for scores in scorer.score(jobs)]
        without.append(values[0])
        with_hit.update({(number, place): value for place, value in zip(places, values[1:], strict=True)})
    return {
        (run.arm, run.seed): [
            with_hit[number, place] - without[number] for number, place in enumerate(run.first)
        ]
        for run in found
    }


def _table(
    name: str,
    found: Sequence[Trained],
    helped: Mapping[tuple[tuple[str, str], int], list[float]],
    *,
    seeds: int,
) -> list[dict[str, object]]:
    """A line an arm: means over seeds and questions, and the paired intervals against hard labels."""
    runs = {(each.arm, each.seed): each for each in found if each.name == name}

    def means(arm: tuple[str, str]) -> tuple[list[float], list[float]]:
        """Of each question, over the seeds: nDCG@10, and what the first hit gives the language model."""
        of_seeds = [seed for seed in range(seeds) if (arm, seed) in runs]
        quality = np.mean([runs[arm, seed].ndcg_10 for seed in of_seeds], axis=0)
        return quality.tolist(), np.mean([helped[arm, seed] for seed in of_seeds], axis=0).tolist()

    hard = means(HARD)
    print(f"\n{name}, {len(hard[0])} dev questions\n"
          f"{'reward':12}{'loss':9}{'nDCG@10':>8}  against labels, points    {'nats':>7}  against labels")  # fmt: skip
    lines: list[dict[str, object]] = []
    for arm in (("untrained", ""), *ARMS):
        quality, nats = means(arm)
        gains = [paired_gain(quality, hard[0]), paired_gain(nats, hard[1])]
        by_seed = [float(np.mean(runs[arm, seed].ndcg_10)) for seed in range(seeds) if (arm, seed) in runs]
        print(f"{arm[0]:12}{arm[1]:9}{np.mean(quality):8.4f}  {100 * gains[0].mean:+5.1f} [{100 * gains[0].low:+.1f},"
              f" {100 * gains[0].high:+.1f}]{'':8}{np.mean(nats):+7.4f}  {gains[1].mean:+.4f} [{gains[1].low:+.4f},"
              f" {gains[1].high:+.4f}]")  # fmt: skip
        lines.append(
            {"reward": arm[0], "loss": arm[1], "ndcg_10": float(np.mean(quality)), "by_seed": by_seed,
             "nats": float(np.mean(nats)),
             "against_labels": {"ndcg_10": [gains[0].mean, gains[0].low, gains[0].high],
                                "nats": [gains[1].mean, gains[1].low, gains[1].high]}}
        )  # fmt: skip
    return lines


def _labels_only(row: Row) -> Row:
    return replace(row, candidates=tuple(replace(one, reward=None) for one in row.candidates))


def _rewards_only(row: Row) -> Row:
    return replace(row, candidates=tuple(replace(one, positive=False) for one in row.candidates))


def _needed(one: TaskSet, asked: Sequence[Question]) -> list[int]:
    """The places that some of the questions may find."""
    groups = {each.group for each in asked}
    return [place for place in range(len(one.texts)) if None in groups or one.groups[place] in groups]


def _keys(
    encoder: TrainableEncoder, one: TaskSet, needed: Sequence[int], *, prefix: str, tokens: int
) -> Vectors:
    """[n, d] the documents' vectors; zeros for those that nobody may find."""
    ids = encoder.token_ids([one.texts[place] for place in needed], prefix=prefix, max_tokens=tokens)
    found = encoder.embed(ids, batch_tokens=_batch_tokens(encoder)).numpy()
    keys = np.zeros((len(one.texts), found.shape[1]), np.float32)
    keys[list(needed)] = found
    return keys


def _queries(encoder: TrainableEncoder, asked: Sequence[Question], *, prefix: str, tokens: int) -> Vectors:
    ids = encoder.token_ids([each.text for each in asked], prefix=prefix, max_tokens=tokens)
    return encoder.embed(ids, batch_tokens=_batch_tokens(encoder)).numpy()


def _batch_tokens(encoder: TrainableEncoder) -> int:
    return 131_072 if encoder.device.type == "cuda" else 2_048


def _encoder(options: argparse.Namespace) -> TrainableEncoder:
    folder = options.model or packaged()
    return TrainableEncoder(folder, device=options.device, bf16=options.device == "cuda")


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
    options: argparse.Namespace, work: Callable[..., Found], jobs: Sequence[tuple[object, ...]]
) -> Iterable[Found]:
    """The work's results in the jobs' order, from as many processes as were asked for."""
    if options.workers == 1:
        return [work(*job) for job in jobs]
    context = multiprocessing.get_context("spawn")  # CUDA can't be forked
    with ProcessPoolExecutor(min(options.workers, max(1, len(jobs))), mp_context=context) as pool:
        return [each.result() for each in [pool.submit(work, *job) for job in jobs]]


def _say(began: float, line: str) -> None:
    print(f"[{time.monotonic() - began:6.1f} s] {line}", flush=True)


if __name__ == "__main__":
    print(json.dumps(main([]), indent=2))
