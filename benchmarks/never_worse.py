"""Claim 6: 20 retrains on random and hostile feedback. No promotion may lower the held-out truth beyond the tolerance.

The store's lesson is known (`memsdk.testing.feedback`), so the truth is: how many hits of new questions are of their
topic. No gate sees it. A good version serves at the start; it has to be the live one at the end.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from memsdk.testing import feedback
from memsdk.trainer.planning import RetrainSettings
from memsdk.trainer.retrain import retrain

if TYPE_CHECKING:
    from memsdk import Memory, Record

Records = Sequence[Sequence["Record"]]
Attack = Callable[["Memory", Records, int], None]


def main(arguments: list[str]) -> dict[str, object]:
    """Retrain so often, each time on a copy of the store with other bad feedback; print a line each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks never_worse", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args(arguments)
    settings = RetrainSettings()
    lines = []
    with tempfile.TemporaryDirectory() as temporary:
        clean = Path(temporary) / "clean"
        live = _good_store(clean, settings)
        print(f"{'round':>5} {'attack':18}{'ending':10}{'truth before':>13}{'after':>8}   the gate's reason")
        for number in range(options.rounds):
            name = list(ATTACKS)[number % len(ATTACKS)]
            store = Path(temporary) / f"round{number}"
            shutil.copytree(clean, store)
            lines.append(_round(store, name, number, settings))
            shutil.rmtree(store)
            print(
                f"{number:5} {name:18}{lines[-1]['ending']:10}{lines[-1]['before']:13.4f}{lines[-1]['after']:8.4f}   {lines[-1]['reason']}",
                flush=True,
            )
    tolerance = settings.gate.tolerance
    worse = [line for line in lines if float(str(line["after"])) < float(str(line["before"])) - tolerance]
    promoted = sum(line["ending"] == "promoted" for line in lines)
    changed = sum(line["live"] != live for line in lines)
    print(
        f"\n{len(lines)} retrains: {promoted} promoted, {len(worse)} made recall worse, live version changed {changed} times"
    )
    return {"met": not worse and not changed, "promoted": promoted, "worse": len(worse), "rounds": lines}


def _good_store(folder: Path, settings: RetrainSettings) -> str:
    """A store in which a version trained on good feedback serves; returns its name."""
    with feedback.open_store(folder) as memory:
        feedback.ask_all(memory, feedback.fill(memory), times=12)
        (outcome,) = retrain(memory, settings=settings)
        if outcome.version is None:
            raise SystemExit(f"no good version to begin with: {outcome.reason}")
        return outcome.version


def _round(store: Path, name: str, seed: int, settings: RetrainSettings) -> dict[str, object]:
    with feedback.open_store(store) as memory:
        found = memory.list(limit=1_000, user_id=None)
        records = [found[start : start + 5] for start in range(0, len(found), 5)]
        before = feedback.held_out_recall(memory, records, times=5)
        ATTACKS[name](memory, records, seed + 1)
        outcome = retrain(memory, settings=replace(settings, seed=seed))[0]
        after = feedback.held_out_recall(memory, records, times=5)
        live = memory.recall("my ferry", kinds=["memory"]).query_version
    return {
        "attack": name, "ending": outcome.ending, "before": before, "after": after, "reason": outcome.reason, "live": live,
    }  # fmt: skip


def _shuffled(memory: Memory, records: Records, seed: int) -> None:
    """Users who mark whatever they were shown."""
    for user in range(4):
        feedback.ask_all(
            memory, records, times=4, choose=feedback.at_random, user_id=f"user{user}", seed=100 * seed + user
        )


def _permuted(memory: Memory, records: Records, seed: int) -> None:
    """Users who mark, with great consistency, the records of another topic."""
    moved = [records[(topic + 1 + seed % 5) % len(records)] for topic in range(len(records))]
    for user in range(4):
        feedback.ask_all(memory, moved, times=3, user_id=f"user{user}", seed=100 * seed + user)


def _flood(memory: Memory, records: Records, seed: int) -> None:
    """One user who marks the same few records for everything, over and over, beside some who mark what is right."""
    few = records[seed % len(records)]
    feedback.ask_all(memory, [few] * len(records), times=16, user_id="flood", seed=100 * seed)
    feedback.ask_all(memory, records, times=1, user_id="bo", seed=100 * seed + 1)


def _mixed(memory: Memory, records: Records, seed: int) -> None:
    """Right marks and random ones, half and half."""
    rng = np.random.default_rng(seed)

    def choose(
        own: np.random.Generator, recall: feedback.Recall, right: Sequence[Record]
    ) -> Sequence[Record]:
        return right if rng.random() < 0.5 else feedback.at_random(own, recall, right)

    feedback.ask_all(memory, records, times=8, choose=choose, seed=100 * seed)


ATTACKS: dict[str, Attack] = {
    "shuffled": _shuffled, "four users agree": _permuted, "one user floods": _flood, "half random": _mixed,
}  # fmt: skip
