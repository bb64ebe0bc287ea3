"""T2: the packaged encoder trained on the train splits of ../shared/data, measured on their dev splits (dense nDCG@10).

Before: the untrained model without prefixes. After: the same model trained with the six prefixes and merged with its old
weights. LoCoMo is measured, never trained on: its licence forbids giving away what was.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import save_file

from benchmarks.protocol import guard, interval, mine, ndcg_10, taught
from benchmarks.tasks import DATA, MEASURED_ONLY, NAMES, Question, TaskSet, packaged, read_set, smaller
from memsdk.trainer.encoder import TrainableEncoder
from memsdk.trainer.full import MERGES, FullSettings, choose_merge, fit_full
from memsdk.trainer.loop import LoopSettings, Progress
from memsdk.trainer.rows import Candidate, Row
from memsdk.trainer.tasks import PRESETS, TaskTable, shortened

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

TOKENS = 256  # the packaged model's longest text
PART_BYTES = 15 * 2**20
SMALL: Mapping[str, object] = {
    "steps": 320, "batch": 32, "group": 2, "rate": 1e-4, "anchor": 0.0, "minutes": 25.0, "merges": [0.8],
}  # fmt: skip
"""Defaults for two cores: one hard negative, a higher rate, no second forward pass for an anchor."""
SMALL_GUARD = 6
"""With --small, where there are fewer questions, each so manieth right document is kept to choose on."""


def main(arguments: list[str]) -> dict[str, object]:
    """Train and measure, once a seed; returns the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks full", description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--model", type=Path, help="the base model's folder; the packaged one where left out")
    parser.add_argument("--save", type=Path, help="where the first seed's model goes, as fp16 in parts")
    parser.add_argument(
        "--small", action="store_true", help="a part of the data and short texts, for two cores"
    )
    parser.add_argument("--sets", nargs="+", default=list(NAMES), choices=NAMES)
    parser.add_argument("--seeds", type=int, default=3, help="at most; fewer where the time is short")
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--steps", type=int, help="instead of epochs; with --small 320")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--group", type=int, default=6, help="candidates of a query in a batch")
    parser.add_argument("--rate", type=float, default=5e-5)
    parser.add_argument("--anchor", type=float, default=0.1)
    parser.add_argument("--temperature", type=float, default=0.02)
    parser.add_argument(
        "--minutes", type=float, default=6.0, help="no further seed begins that would end later"
    )
    parser.add_argument("--documents", type=int, default=600, help="with --small: a set's documents")
    parser.add_argument("--dev", type=int, default=250, help="with --small: a set's dev questions")
    parser.add_argument("--train", type=int, default=1_000, help="with --small: a set's train questions")
    parser.add_argument(
        "--frozen", type=int, default=2, help="with --small: layers that are left as they are"
    )
    parser.add_argument("--tokens", type=int, default=64, help="with --small: of the longest document")
    parser.add_argument("--query-tokens", type=int, default=96, help="with --small: of the longest query")
    parser.add_argument("--merges", type=float, nargs="+", default=list(MERGES))
    if "--small" in arguments:
        parser.set_defaults(**SMALL)
    options = parser.parse_args(arguments)
    began = time.monotonic()
    sets = [read_set(options.data, name) for name in options.sets]
    if options.small:
        sets = [
            smaller(
                one,
                documents=options.documents,
                dev=options.dev,
                train=options.train,
                chars=3 * options.query_tokens,
                seed=0,
            )
            for one in sets
        ]
    return Run(options, sets, began=began).report()


class Run:
    """One run of the benchmark: the sets, the untrained model's figures, then a training a seed."""

    def __init__(self, options: argparse.Namespace, sets: Sequence[TaskSet], *, began: float) -> None:
        """Measure the untrained model and mine with it."""
        self.options, self.sets, self.began = options, sets, began
        cuda = str(options.device).startswith("cuda")
        self.tokens = options.tokens if options.small else TOKENS
        self.query_tokens = options.query_tokens if options.small else TOKENS
        self.batch_tokens = 131_072 if cuda else 2_048
        table = {task: replace(config, group=options.group) for task, config in PRESETS["default"].items()}
        self.table: TaskTable = (
            shortened(table, query_tokens=self.query_tokens, key_tokens=self.tokens, group=options.group)
            if options.small
            else table
        )
        self.model = options.model or packaged()
        self.key_ids: dict[tuple[str, bool], list[list[int]]] = {}
        encoder = self.encoder()
        self.base = encoder.state()
        self.guards = [guard(one, every=SMALL_GUARD) if options.small else guard(one) for one in sets]
        self.say(f"read {len(sets)} sets")
        vectors = [self.keys(encoder, one, prefixed=False) for one in sets]
        self.before, guards = self.measure(encoder, prefixed=False, keys=vectors)
        self.guard_before = _means(guards)
        self.say(f"untrained: {_mean(self.before):.4f}")
        self.rows, self.groups = self.mine(encoder, vectors)
        self.say(f"{len(self.rows)} rows mined")

    def report(self) -> dict[str, object]:
        """Train with each seed that there is time for; print and return the figures."""
        results: list[dict[str, object]] = []
        longest = 0.0
        for seed in range(self.options.seeds):
            left = self.options.minutes * 60 - (time.monotonic() - self.began)
            if results and left < longest * 1.1:
                self.say(f"no time for seed {seed}")
                break
            started = time.monotonic()
            results.append(self.train(seed))
            if self.options.save is not None:  # whatever becomes of the further seeds
                told = json.dumps({"before": _means(self.before), "seeds": results}, indent=2)
                (self.options.save / "seeds.json").write_text(told, encoding="utf-8")
            longest = max(longest, time.monotonic() - started)
        before = _means(self.before)
        mean = float(np.mean([_number(one, "mean") for one in results]))
        worst = min(_number(one, "worst_change") for one in results)
        target = 8.0 if self.options.small else 15.0
        gain = 100 * (mean / _mean(self.before) - 1)
        trained = [name for name in before if name not in MEASURED_ONLY]
        print(f"\nmean dense nDCG@10 over {len(self.sets)} sets: {_mean(self.before):.4f} -> {mean:.4f}, {gain:+.1f} %"
              f" (target +{target:.0f} %); worst change of one set {100 * worst:+.1f} points")  # fmt: skip
        return {
            "device": _device(self.options.device), "small": self.options.small, "before": before, "trained_on": trained,
            "before_mean": _mean(self.before), "after_mean": mean, "gain_percent": gain, "worst_change": worst,
            "seeds": results, "seconds": round(time.monotonic() - self.began, 1), "rows": len(self.rows),
            "settings": {name: str(value) for name, value in vars(self.options).items()},
            "met": gain >= target and worst >= -0.01,
        }  # fmt: skip

    def train(self, seed: int) -> dict[str, object]:
        """One training, merged at the share that does best on the guard questions."""
        encoder, options = self.encoder(), self.options
        counts = {name: self.groups.count(name) for name in set(self.groups)}
        shares = {name: (1_500 / count) ** 0.5 for name, count in counts.items()}  # between level and by size
        steps = options.steps or round(
            options.epochs * sum(counts[n] * shares[n] for n in counts) / options.batch
        )
        cuda = encoder.device.type == "cuda"
        settings = FullSettings(
            loop=LoopSettings(steps=steps, learning_rate=options.rate, seed=seed, checkpoint_every=steps),
            table=self.table, batch=options.batch, temperature=options.temperature, anchor=options.anchor,
            chunk_tokens=32_768 if cuda else 1_024, cached=not cuda and not options.small,
        )  # fmt: skip

        def progress(now: Progress) -> None:
            if now.step % 50 == 0 or now.step == now.steps:
                self.say(str(now))

        started = time.monotonic()
        losses = fit_full(
            encoder, self.rows, settings=settings, groups=self.groups, shares=shares, progress=progress,
            folder=options.save if seed == 0 else None,
        )  # fmt: skip
        spent = time.monotonic() - started
        by_share: dict[float, dict[str, list[float]]] = {}  # the dev figures, beside which nothing is chosen

        def measured(tried: TrainableEncoder, share: float) -> Mapping[str, float]:
            by_share[share], guards = self.measure(tried, prefixed=True)
            self.say(f"share {share}: guard {np.mean(list(_means(guards).values())):.4f}")
            return _means(guards)

        merge = choose_merge(
            encoder, base=self.base, before=self.guard_before, measure=measured, shares=options.merges
        )
        after = by_share[merge.share]
        gain = interval(self.before, after, seed=seed)
        means, before = _means(after), _means(self.before)
        self.say(f"seed {seed}: {_mean(after):.4f} at share {merge.share}; change {gain}")
        for name, value in means.items():
            print(
                f"  {name:26} {before[name]:.4f} -> {value:.4f}  {100 * (value - before[name]):+.1f}",
                flush=True,
            )
        if options.save is not None and seed == 0:
            save_parts(encoder, options.save)
        return {
            "seed": seed, "steps": steps, "share": merge.share, "guard": {str(k): dict(v) for k, v in merge.figures.items()},
            "mean": _mean(after), "after": means, "change_95": gain, "losses": dict(losses), "seconds": round(spent, 1),
            "worst_change": min(means[name] - before[name] for name in means),
        }  # fmt: skip

    def encoder(self) -> TrainableEncoder:
        """The base model, afresh; for a small machine without dropout and with its lower part as it is."""
        device = str(self.options.device)
        encoder = TrainableEncoder(Path(self.model), device=device, bf16=device.startswith("cuda"))
        if self.options.small:
            encoder.lighten(layers=self.options.frozen)
        return encoder

    def room(self, encoder: TrainableEncoder, *, prefix: str, most: int, prefixed: bool) -> int:
        """Tokens of the longest text: with few, the prefix's are left free where it is left out, so that both sides see the same words."""
        if prefixed or not self.options.small:
            return most
        with_prefix, without = (
            len(encoder.token_ids([""], prefix=one, max_tokens=most)[0]) for one in (prefix, "")
        )
        return most - with_prefix + without

    def keys(self, encoder: TrainableEncoder, one: TaskSet, *, prefixed: bool) -> Vectors:
        """[n, d] the documents' vectors."""
        if (one.name, prefixed) not in self.key_ids:
            prefix = self.table[one.task].key_prefix
            room = self.room(encoder, prefix=prefix, most=self.tokens, prefixed=prefixed)
            self.key_ids[one.name, prefixed] = encoder.token_ids(
                one.texts, prefix=prefix if prefixed else "", max_tokens=room
            )
        return encoder.embed(self.key_ids[one.name, prefixed], batch_tokens=self.batch_tokens).numpy()

    def queries(
        self, encoder: TrainableEncoder, one: TaskSet, asked: Sequence[Question], *, prefixed: bool
    ) -> Vectors:
        """[n, d] the questions' vectors."""
        prefix = self.table[one.task].query_prefix
        room = self.room(encoder, prefix=prefix, most=self.query_tokens, prefixed=prefixed)
        ids = encoder.token_ids(
            [each.text for each in asked], prefix=prefix if prefixed else "", max_tokens=room
        )
        return encoder.embed(ids, batch_tokens=self.batch_tokens).numpy()

    def measure(
        self, encoder: TrainableEncoder, *, prefixed: bool, keys: Sequence[Vectors] | None = None
    ) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
        """nDCG@10 of each question, by set: of the dev split, and of those kept out of training; documents are embedded once."""
        dev, guards = {}, {}
        for number, one in enumerate(self.sets):
            documents = self.keys(encoder, one, prefixed=prefixed) if keys is None else keys[number]
            for found, asked in ((dev, one.asked("dev")), (guards, self.guards[number])):
                if asked:
                    queries = self.queries(encoder, one, asked, prefixed=prefixed)
                    found[one.name] = ndcg_10(one, asked, queries, documents)
        return dev, guards

    def mine(self, encoder: TrainableEncoder, keys: Sequence[Vectors]) -> tuple[list[Row], list[str]]:
        """Training rows with hard negatives: the untrained model's best, but for what may be right too."""
        rows: list[Row] = []
        groups: list[str] = []
        for one, kept, vectors in zip(self.sets, self.guards, keys, strict=True):
            if one.name in MEASURED_ONLY:
                continue
            asked = taught(one, kept)
            asking = self.queries(encoder, one, asked, prefixed=False)
            for number, found in enumerate(mine(one, kept, asked, queries=asking, keys=vectors)):
                rows.append(_row(one, found.question, right=found.right, hard=found.hard, number=number))
                groups.append(one.name)
        return rows, groups

    def say(self, line: str) -> None:
        """One line with the time."""
        print(f"[{time.monotonic() - self.began:6.1f} s] {line}", flush=True)


def save_parts(encoder: TrainableEncoder, folder: Path) -> None:
    """The weights as fp16 safetensors, cut into parts that can be carried; `cat` puts them together again."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = folder / "model.safetensors"
    save_file(
        {
            name: value.half() if value.is_floating_point() else value
            for name, value in encoder.state().items()
        },
        whole,
    )
    content = whole.read_bytes()
    for number, start in enumerate(range(0, len(content), PART_BYTES)):
        (folder / f"model.safetensors.{number}").write_bytes(content[start : start + PART_BYTES])
    whole.unlink()
    (folder / "checkpoint.pt").unlink(missing_ok=True)


def _row(one: TaskSet, question: Question, *, right: Sequence[int], hard: Sequence[int], number: int) -> Row:
    positive = [Candidate(text=one.texts[place], positive=True) for place in right]
    mined = [Candidate(text=one.texts[place], source="dense") for place in hard]
    return Row(
        id=f"{one.name} {number}",
        task=one.task,
        query=question.text,
        output=None,
        candidates=(*positive, *mined),
    )


def _means(figures: Mapping[str, list[float]]) -> dict[str, float]:
    return {name: float(np.mean(values)) for name, values in figures.items()}


def _mean(figures: Mapping[str, list[float]]) -> float:
    return float(np.mean(list(_means(figures).values())))


def _number(result: Mapping[str, object], name: str) -> float:
    value = result[name]
    assert isinstance(value, float)
    return value


def _device(name: str) -> str:
    return (
        torch.cuda.get_device_name() if name.startswith("cuda") else f"CPU, {torch.get_num_threads()} threads"
    )


if __name__ == "__main__":
    print(json.dumps(main([]), indent=2))
