"""Promise 1: `kill -9` at any moment loses, doubles and resurrects nothing, and every failpoint was reached."""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from memsdk.testing import failpoints
from memsdk.testing.crash_oracle import Findings
from memsdk.testing.crash_rounds import Outcome, Round, all_kinds, play


def main(arguments: list[str]) -> dict[str, object]:
    """Play the rounds and print the table; `met` says whether nothing was found and every failpoint was hit."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks crash", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where the stores are made; those with findings stay")
    parser.add_argument("--only", default="", help="only the kinds of round with this in their name")
    options = parser.parse_args(arguments)
    rounds = plan(options.rounds, seed=options.seed, only=options.only)
    began, outcomes = time.monotonic(), []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        for outcome in play(options.folder or Path(temporary), rounds, seed=options.seed):
            outcomes.append(outcome)
            told = "; ".join(outcome.findings.all())
            print(
                f"{len(outcomes):4} {outcome.round.name:32} {'killed' if outcome.hit else 'lived':7}"
                f"{outcome.acknowledged:5} {outcome.seconds:5.1f} s  {told}",
                flush=True,
            )
    return report(outcomes, seconds=time.monotonic() - began)


def plan(count: int, *, seed: int, only: str = "") -> list[Round]:
    """So many rounds, each kind as often as the others, in random order."""
    kinds = [kind for kind in all_kinds() if only in kind.name]
    rounds = [kinds[number % len(kinds)] for number in range(count)]
    random.Random(seed).shuffle(rounds)  # noqa: S311 -- no secret
    return rounds


def report(outcomes: Sequence[Outcome], *, seconds: float) -> dict[str, object]:
    """Print the sums; return them."""
    names = sorted({outcome.round.name for outcome in outcomes})
    found = {
        name: sum(outcome.findings.counts()[name] for outcome in outcomes) for name in Findings().counts()
    }
    hits = Counter(outcome.round.failpoint for outcome in outcomes if outcome.hit and outcome.round.failpoint)
    print(f"\n{'victim, moment':34}{'rounds':>8}{'killed':>8}{'findings':>10}")
    for name in names:
        own = [outcome for outcome in outcomes if outcome.round.name == name]
        findings = sum(len(outcome.findings.all()) for outcome in own)
        print(f"{name:34}{len(own):8}{sum(outcome.hit for outcome in own):8}{findings:10}")
    acknowledged = sum(outcome.acknowledged for outcome in outcomes)
    print(f"\n{len(outcomes)} rounds, {acknowledged} acknowledged operations in {seconds:.0f} s: {found}")
    missed = [name for name in failpoints.STORE if not hits[name]]
    if missed:
        print(f"never reached: {', '.join(missed)}")
    return {
        "met": not any(found.values()) and not missed,
        "rounds": len(outcomes),
        "killed": sum(outcome.hit for outcome in outcomes),
        "acknowledged": acknowledged,
        **found,
        "failpoints": {name: hits[name] for name in failpoints.STORE},
    }
