"""`memsdk recall` from a shell, in seconds and CPU seconds: on a store that nobody has open, and beside a program that has.

There the first one runs in its own process (`first`), and those after it in the standby that it leaves behind (`warm`).
Beside it stand what Python and click alone take, in the same rounds. CPU seconds are those of the command and not of the
index host and the standby, which outlive it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from memsdk import Memory

TARGETS = {"cold": 1.5, "first": 0.7, "warm": 0.7}
LEAVES_S = 0.5  # how long a host stays after its last client, in the cold rounds


def main(arguments: list[str]) -> dict[str, object]:
    """Measure and print; `met` says whether both targets are."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks coldstart", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--records", type=int, default=100)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        store = Path(temporary) / "store"
        with Memory.open(store) as memory:
            memory.remember(
                [f"Fact {number}: tea at {number}." for number in range(options.records)], user_id="ana"
            )
        return _report(_measure(store, rounds=options.rounds))


def _measure(store: Path, *, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds and CPU seconds of each command, round by round."""
    python = [sys.executable, "-c"]
    recall = [
        sys.executable,
        "-m",
        "memsdk",
        "recall",
        "When is tea?",
        "--user",
        "ana",
        "--store",
        str(store),
    ]
    times: dict[str, list[tuple[float, float]]] = {
        "python": [],
        "click": [],
        "cold": [],
        "first": [],
        "warm": [],
    }
    for command in (
        recall,
        [*python, "import click"],
    ):  # once for nothing: what Python compiles, it compiles now
        _timed(command)
    for _ in range(rounds):
        times["python"].append(_timed([*python, "pass"]))
        times["click"].append(_timed([*python, "import click"]))
        _wait_for_no_host(store)
        times["cold"].append(_timed(recall))
    with Memory.open(store) as memory:
        memory.recall("Is it warm?", user_id="ana")
        # each in its own process, and none leaves a standby behind
        times["first"] += [_timed(recall, MEMSDK_STANDBY_S="0") for _ in range(rounds)]
        _timed(recall)
        _wait_for_standby(store)
        times["warm"] += [_timed(recall) for _ in range(rounds)]
    return times


def _timed(command: Sequence[str], **settings: str) -> tuple[float, float]:
    """How long it took, and the CPU time of it alone."""
    environment = {**os.environ, "MEMSDK_HOST_IDLE_S": str(LEAVES_S), **settings}
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)  # noqa: S603 -- our own commands
    _, status, used = os.wait4(process.pid, 0)
    took = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed with {process.returncode}")
    return took, used.ru_utime + used.ru_stime


def _wait_for_no_host(store: Path) -> None:
    from filelock import FileLock

    from memsdk.index.engine import LOCK

    with FileLock(store / "index" / LOCK, timeout=120):
        pass


def _wait_for_standby(store: Path) -> None:
    from memsdk.cli.standby import SOCKET

    deadline = time.monotonic() + 120
    while not (store / "index" / SOCKET).exists():
        if time.monotonic() > deadline:
            raise RuntimeError(f"no standby came; see {store / 'index' / 'host.log'}")
        time.sleep(0.1)


def _report(times: dict[str, list[tuple[float, float]]]) -> dict[str, object]:
    result: dict[str, object] = {}
    medians = {}
    print(f"{'':8}{'p50 s':>8}{'best s':>8}{'CPU s':>8}{'x click':>9}   target s")
    for name, pairs in times.items():
        seconds, cpu = zip(*pairs, strict=True)
        medians[name] = statistics.median(seconds)
        row = {
            "p50_s": medians[name],
            "best_s": min(seconds),
            "cpu_s": min(cpu),
            "times_click": medians[name] / medians["click"] if "click" in medians else None,
        }
        result[name] = row
        ratio = f"{row['times_click']:9.1f}" if row["times_click"] is not None else " " * 9
        print(
            f"{name:8}{medians[name]:8.2f}{min(seconds):8.2f}{min(cpu):8.2f}{ratio}   {TARGETS.get(name, '')}"
        )
    result["met"] = all(medians[name] <= target for name, target in TARGETS.items())
    return result
