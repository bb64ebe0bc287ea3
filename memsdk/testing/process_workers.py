"""Processes that share a store: writers and readers that say what they did, for the tests and `benchmarks processes`.

`python -m memsdk.testing.process_workers write|read STORE NAME COUNT`. A writer prints the number of each record that it
has remembered, a reader those of other processes' that it has found; both end with 0 only where all went well.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from memsdk.memory import Memory

PATIENCE_S = 300.0


def text_of(name: str, number: int) -> str:
    """What a writer remembers."""
    return f"{name} put parcel {number} on shelf {number * 7919 % 10_007}"


def write(store: Path, name: str, count: int) -> None:
    """Remember one after the other, and find each at once."""
    with Memory.open(store, embedder="hashing", host_idle_s=0.5) as memory:
        for number in range(count):
            record = memory.remember(text_of(name, number), user_id="team", metadata={"by": name})
            if number % 25 == 0:
                hits = memory.recall(record.text, user_id="team", k=5)
                if record.id not in [hit.id for hit in hits]:
                    raise AssertionError(f"{name} does not find its own {number}")
            sys.stdout.write(f"{number}\n")
            sys.stdout.flush()


def read(store: Path, journals: Mapping[str, Path], count: int) -> None:
    """Follow the writers: what they have said to be there must be found."""
    behind = dict.fromkeys(journals, -1)
    deadline = time.monotonic() + PATIENCE_S
    with Memory.open(store, embedder="hashing", host_idle_s=0.5) as memory:
        while min(behind.values()) < count - 1:
            if time.monotonic() > deadline:
                raise AssertionError(f"the writers are at {behind}")
            for name, journal in journals.items():
                said = journal.read_text().split("\n")[:-1] if journal.exists() else []
                last = int(said[-1]) if said else -1
                if last > behind[name]:
                    hits = memory.recall(text_of(name, last), user_id="team", k=5)
                    if text_of(name, last) not in [hit.text for hit in hits]:
                        raise AssertionError(f"{name}'s {last} was written and is not found")
                    behind[name] = last
            time.sleep(0.005)


def run(folder: Path, *, writers: int, readers: int, count: int) -> dict[str, object]:
    """Let them work at once on one new store; what went wrong, how many records there are, how long it took."""
    store, began = folder / "store", time.monotonic()
    journals = {f"writer-{number}": folder / f"writer-{number}.out" for number in range(writers)}
    orders = [(["write", str(store), name, str(count)], name) for name in journals]
    followed = [f"{name}={journal}" for name, journal in journals.items()]
    orders += [
        (["read", str(store), ",".join(followed), str(count)], f"reader-{number}")
        for number in range(readers)
    ]
    running = []
    for order, name in orders:
        with (folder / f"{name}.out").open("wb") as output, (folder / f"{name}.err").open("wb") as errors:
            command = [sys.executable, "-m", "memsdk.testing.process_workers", *order]
            running.append((name, subprocess.Popen(command, stdout=output, stderr=errors)))  # noqa: S603 -- ours
    failures = []
    for name, process in running:
        if process.wait(PATIENCE_S + 60) != 0:
            said = (folder / f"{name}.err").read_text(errors="replace")[-400:]
            failures.append(f"{name} ended with {process.returncode}: {said}")
    seconds = time.monotonic() - began
    with Memory.open(store, log_recalls=False, host_idle_s=0.5) as memory:
        memory.flush()
        verification = memory.verify()
        wanted = {text_of(name, number) for name in journals for number in range(count)}
        there: list[str] = []
        after = None
        while page := memory.list(user_id="team", limit=1_000, after=after):
            there += [record.text for record in page]
            after = page[-1].id
    return {
        "errors": failures,
        "lost": len(wanted - set(there)),
        "doubled": len(there) - len(set(there)),
        "clean": verification.clean,
        "records": len(there),
        "seconds": round(seconds, 1),
    }


def main(arguments: list[str]) -> int:
    """Be one of them."""
    what, store, name, count = arguments
    if what == "write":
        write(Path(store), name, int(count))
    else:
        read(
            Path(store), {n: Path(p) for n, p in (pair.split("=", 1) for pair in name.split(","))}, int(count)
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
