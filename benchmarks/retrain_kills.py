"""Claim 7: `memsdk retrain` killed at 20 random moments. It serves as before, the next run goes on, nothing is half-made."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from memsdk.embedding.adapters import read_description
from memsdk.models import QueryVersion
from memsdk.testing import feedback
from memsdk.trainer.publish import MAKING

if TYPE_CHECKING:
    from memsdk import Memory

COMMAND = ("retrain", "--index", "embedded-inline", "--tier", "t0")
FAILPOINTS = ("retrain-stage:1", "retrain-stage:2", "version-written", "version-added", "version-switch",
              "sql-before-commit:3", "sql-after-commit:2", "sql-after-commit:4")  # fmt: skip
PROMOTED = 0


def main(arguments: list[str]) -> dict[str, object]:
    """Kill so often, by the clock and at named places in turn, each time on a fresh copy; print a line each.

    A run that ended before its moment came is another round, and no kill.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks retrain_kills", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    rng, faults, resumed, killed, number = random.Random(options.seed), 0, 0, 0, 0  # noqa: S311 -- no secret
    with tempfile.TemporaryDirectory() as temporary:
        clean = Path(temporary) / "clean"
        with feedback.open_store(clean) as memory:
            feedback.ask_all(memory, feedback.fill(memory), times=12)
            before = _hits(memory)
        seconds = _timed(clean, Path(temporary) / "timed")
        print(f"an undisturbed retrain takes {seconds:.1f} s")
        while killed < options.rounds and number < 2 * options.rounds:
            store = Path(temporary) / f"round{number}"
            shutil.copytree(clean, store)
            after = rng.uniform(0.3, 1.0) * seconds if number % 2 == 0 else None
            moment = None if after is not None else FAILPOINTS[number // 2 % len(FAILPOINTS)]
            began = time.monotonic()
            was_killed = _killed(store, after_s=after, moment=moment)
            if not was_killed:  # the machine was busier when it was timed
                seconds = min(seconds, time.monotonic() - began)
            found = _faults(store, before)
            code = subprocess.run(_command(store), capture_output=True, check=False).returncode  # noqa: S603 -- ourselves
            found += [] if code in (PROMOTED, 10) else [f"the next run ended with {code}"]
            found += _faults(store, before)
            killed, faults = killed + was_killed, faults + len(found)
            resumed += code == PROMOTED
            told = f"after {after:.1f} s" if after is not None else str(moment)
            print(
                f"{number:4} {told:20}{'killed' if was_killed else 'lived':8}next: {code}  {'; '.join(found)}",
                flush=True,
            )
            shutil.rmtree(store)
            number += 1
    print(f"\n{number} rounds, {killed} killed, {resumed} promoted by the next run, {faults} faults")
    return {
        "met": faults == 0 and killed >= options.rounds,
        "rounds": number,
        "killed": killed,
        "faults": faults,
    }


def _command(store: Path) -> list[str]:
    return [sys.executable, "-m", "memsdk", *COMMAND, "--store", str(store)]


def _timed(clean: Path, store: Path) -> float:
    shutil.copytree(clean, store)
    began = time.monotonic()
    subprocess.run(_command(store), capture_output=True, check=False)  # noqa: S603 -- ourselves
    return time.monotonic() - began


def _killed(store: Path, *, after_s: float | None, moment: str | None) -> bool:
    environment = {**os.environ, **({"MEMSDK_FAILPOINT": moment} if moment else {})}
    process = subprocess.Popen(  # noqa: S603 -- ourselves
        _command(store), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    if after_s is not None:
        try:
            process.wait(after_s)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait() == -signal.SIGKILL


def _faults(store: Path, before: list[UUID]) -> list[str]:
    """What is wrong with the store: it answers otherwise and no version serves, or one that serves is not whole."""
    with feedback.open_store(store) as memory:
        hits = _hits(memory)
        versions = memory._parts.store.versions  # noqa: SLF001 -- the benchmark looks inside
        active: list[QueryVersion] = versions.list(active_only=True)
    found = [] if hits == before or (active and hits) else ["it does not serve as before"]
    for version in active:
        folder = store / "models" / version.id
        if folder.name.startswith(MAKING) or read_description(folder)["id"] != version.id:
            found.append(f"{version.id} serves and is not whole")
    return found


def _hits(memory: Memory) -> list[UUID]:
    return [hit.id for hit in memory.recall("my ferry", kinds=["memory"], k=5)]
