"""Rounds of `kill -9`: workers write, one is killed, the store is reopened and asked whether it kept its word.

Used by the tests and by `python -m benchmarks crash`; of use to whoever writes an index adapter or a store of their own.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Client
from pathlib import Path
from typing import Literal
from uuid import UUID

from memsdk.index.address import FAMILY, LOG, SOCKET, address
from memsdk.index.host import WORTH_IT_VARIABLE
from memsdk.memory import Memory
from memsdk.testing import failpoints
from memsdk.testing.crash_oracle import Findings, Oracle
from memsdk.testing.crash_worker import Known, Orders, Work
from memsdk.wiring import INDEX

Victim = Literal["client", "host", "both"]

OPERATIONS = 30  # of a worker that is to live
MANY = 300  # of one that is to be killed
PATIENCE_S = 120.0
SAMPLE = 60  # of the older records and of the round's own: so many of each are looked for
HOST_FAILPOINTS = ("index-update", "index-updated", "optimize", "optimize-switch")
CLIENT_FAILPOINTS = tuple(name for name in failpoints.STORE if not name.startswith("optimize"))
LATEST = {"space-built": 1, "space-switch": 2, "optimize": 1, "optimize-switch": 1, "forget-erased": 4}
"""How often a failpoint is passed at most before it kills; 15 times where nothing is said."""
_SERVING = re.compile(r"^\S+ \S+ (\d+) INFO serving", re.MULTILINE)
_LEAVING = re.compile(r"^\S+ \S+ (\d+) \w+ .*; leaving$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Who is killed, and when: at a failpoint (of the client, where both are), or at a random moment."""

    victim: Victim
    failpoint: str | None = None
    work: Work = "write"
    bystander: bool = False  # a second process writes on

    @property
    def name(self) -> str:
        """As it stands in the table."""
        moment = self.failpoint or ("random" if self.work == "write" else f"random in {self.work}")
        return f"{self.victim}, {moment}"


def all_kinds() -> list[Round]:
    """Every failpoint of client and host, and random moments of each victim."""
    kinds = [
        Round(victim="client", failpoint=name, work="reindex" if name.startswith("space") else "write")
        for name in CLIENT_FAILPOINTS
    ]
    kinds += [
        Round(victim="host", failpoint=name, work="optimize" if name.startswith("optimize") else "write")
        for name in HOST_FAILPOINTS
    ]
    kinds += [Round(victim="both", failpoint=name) for name in ("index-updated", "forget-erased")]
    for victim in ("client", "host", "both"):
        kinds += [Round(victim=victim, bystander=bystander) for bystander in (False, True)]
        kinds += [Round(victim=victim, work=work) for work in ("reindex", "optimize")]
    return kinds


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a round."""

    round: Round
    hit: bool  # whether the victim died as it was meant to
    acknowledged: int
    seconds: float
    findings: Findings


@dataclass(slots=True, kw_only=True)
class _Running:
    process: subprocess.Popen[bytes]
    journal: Path
    errors: Path
    may_die: bool


def play(folder: Path, rounds: Sequence[Round], *, seed: int, rounds_a_store: int = 10) -> Iterator[Outcome]:
    """Play the rounds on stores in the folder, each of which takes several rounds; sound ones are removed.

    A graph is worth it only for many or long vectors, so rounds that optimize have stores of their own.
    """
    stores: dict[int, CrashStore] = {}
    for number, chosen in enumerate(rounds):
        dims = 1_024 if chosen.work == "optimize" else 64
        store = stores.get(dims)
        if store is None or store.rounds == rounds_a_store:
            if store is not None:
                store.remove()
            store = stores[dims] = CrashStore(folder / f"{number}", dims=dims)
        outcome = store.play(chosen, seed=seed * 10_000 + number)
        if outcome.findings.all():
            del stores[dims]  # kept for whoever looks into it
        yield outcome


@dataclass(slots=True)
class CrashStore:
    """One store that goes through round after round, with all that is known of it."""

    folder: Path
    dims: int = 64
    oracle: Oracle = field(default_factory=Oracle)
    rounds: int = 0
    killed: set[int] = field(default_factory=set)  # hosts, by us

    @property
    def store(self) -> Path:
        """The store itself; the journals lie beside it."""
        return self.folder / "store"

    def play(self, chosen: Round, *, seed: int) -> Outcome:
        """Let workers write, kill, reopen, check."""
        began, rng = time.monotonic(), random.Random(seed)  # noqa: S311 -- no secret
        self.rounds += 1
        self.folder.mkdir(parents=True, exist_ok=True)
        before, acknowledged, gone = set(self.oracle.live), self.oracle.acknowledged, self._dead_hosts()
        self._await_no_host()  # so that the worker's host is one with the failpoint
        workers = self._start(chosen, seed=seed, rng=rng)
        if chosen.failpoint is None:
            self._kill(chosen, workers[0], rng)
        elif chosen.victim == "both":
            workers[0].process.wait(PATIENCE_S)
            self._kill_host()
        errors = [error for worker in workers for error in self._end(worker)]
        died = {
            "client": workers[0].process.returncode == -signal.SIGKILL,
            "host": bool(self._dead_hosts() - gone),
        }
        live = set(self.oracle.live)
        wanted = {
            each
            for some in (live & before, live - before)
            for each in rng.sample(sorted(some), min(SAMPLE, len(some)))
        }
        findings = self._reopen(wanted)
        died["host"] = died["host"] or bool(self._dead_hosts() - gone)
        findings.errors += errors
        return Outcome(
            round=chosen,
            hit=all(died.values()) if chosen.victim == "both" else died[chosen.victim],
            acknowledged=self.oracle.acknowledged - acknowledged,
            seconds=time.monotonic() - began,
            findings=findings,
        )

    def remove(self) -> None:
        """Remove the folder, once no host works in it any more."""
        self._await_no_host()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self, chosen: Round, *, seed: int, rng: random.Random) -> list[_Running]:
        """The worker to be killed first; each has the records that it may change."""
        number = 2 if chosen.bystander else 1
        shares: list[list[Known]] = [[] for _ in range(number)]
        for _, known in sorted(self.oracle.live.items()):
            rng.choice(shares).append(known)
        point = chosen.failpoint and f"{chosen.failpoint}:{rng.randint(1, LATEST.get(chosen.failpoint, 15))}"
        started = []
        for worker, share in enumerate(shares):
            is_victim = worker == 0
            orders = Orders(
                seed=2 * seed + worker,  # no two alike: equal seeds would write equal texts
                name=f"r{self.rounds}w{worker}",
                operations=MANY if is_victim and chosen.victim != "host" else OPERATIONS,
                work=chosen.work if is_victim else "write",
                reindex_to=[
                    f"hashing:{self.dims}:{tokens}:cut-at-{tokens}"
                    for tokens in rng.sample((48, 150, 256), 2)
                ],
                embedder=f"hashing:{self.dims}:256:first" if self.rounds == 1 else None,
                known=share,
                client_failpoint=point if is_victim and chosen.victim != "host" else None,
                host_failpoint=point if is_victim and chosen.victim == "host" else None,
            )
            started.append(self._spawn(orders, may_die=is_victim and chosen.victim != "host"))
            if chosen.bystander:
                self._await_line(started[0], b'"ready"')
        return started

    def _spawn(self, orders: Orders, *, may_die: bool) -> _Running:
        journal, errors = self.folder / f"{orders.name}.jsonl", self.folder / f"{orders.name}.err"
        environment = {name: value for name, value in os.environ.items() if name != failpoints.VARIABLE}
        with errors.open("wb") as stderr:
            process = subprocess.Popen(  # noqa: S603 -- our own module
                [sys.executable, "-m", "memsdk.testing.crash_worker", str(self.store), str(journal)],
                stdin=subprocess.PIPE,
                stdout=stderr,
                stderr=stderr,
                env=environment | {WORTH_IT_VARIABLE: "1"},
            )
        assert process.stdin is not None
        process.stdin.write(orders.model_dump_json().encode())
        process.stdin.close()
        return _Running(process=process, journal=journal, errors=errors, may_die=may_die)

    def _kill(self, chosen: Round, worker: _Running, rng: random.Random) -> None:
        """At a random moment of writing, or of what the round is about."""
        if chosen.work == "write":
            self._await_line(worker, b'"ok"', times=rng.randint(1, 15))
            time.sleep(rng.uniform(0, 0.1))
        else:
            self._await_line(worker, f'"do": "{chosen.work}"'.encode())
            time.sleep(rng.uniform(0, 0.2 if chosen.work == "reindex" else 0.6))
        if chosen.victim in ("host", "both"):
            self._kill_host()
        if chosen.victim in ("client", "both"):
            worker.process.kill()

    def _kill_host(self) -> None:
        for pid in self._serving()[-1:]:
            self.killed.add(pid)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _await_line(self, worker: _Running, what: bytes, *, times: int = 1) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while worker.process.poll() is None and time.monotonic() < deadline:
            if worker.journal.exists() and worker.journal.read_bytes().count(what) >= times:
                return
            time.sleep(0.002)

    def _end(self, worker: _Running) -> list[str]:
        """Wait for its end; what it complains of, an end that was not meant included."""
        problems = []
        try:
            status = worker.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            worker.process.kill()
            status = worker.process.wait()
            problems.append(f"{worker.journal.stem} hung")
        if status != 0 and not (worker.may_die and status == -signal.SIGKILL):
            said = worker.errors.read_text(errors="replace")[-600:]
            problems.append(f"{worker.journal.stem} ended with {status}: {said}")
        return problems + (self.oracle.read(worker.journal) if worker.journal.exists() else [])

    def _reopen(self, wanted: set[UUID]) -> Findings:
        with Memory.open(self.store, log_recalls=False, host_idle_s=0.3) as memory:
            return self.oracle.check(memory, self.store, recall=wanted)

    # -- the host, as its log shows it

    def _log(self) -> str:
        path = self.store / INDEX / LOG
        return path.read_text(errors="replace") if path.exists() else ""

    def _serving(self) -> list[int]:
        return [int(pid) for pid in _SERVING.findall(self._log())]

    def _dead_hosts(self) -> set[int]:
        """Hosts that ended without a word; the last one may still serve."""
        served = self._serving()
        gone = set(served) - {int(pid) for pid in _LEAVING.findall(self._log())}
        return gone - (set(served[-1:]) - self.killed)

    def _await_no_host(self) -> None:
        """Until the last host has left. Asking it keeps it for a while longer, so that is done seldom."""
        folder, deadline = self.store / INDEX, time.monotonic() + PATIENCE_S
        while (folder / SOCKET).exists() and time.monotonic() < deadline:
            for _ in range(10):
                time.sleep(0.1)
                if not (folder / SOCKET).exists():
                    return
            try:
                with address(folder) as name:
                    Client(name, family=FAMILY).close()
            except OSError:
                return  # it was killed, and its socket is left
