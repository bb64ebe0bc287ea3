"""Ctrl-C in the middle of a write."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from memsdk import Memory
from memsdk.models import Side, Task
from memsdk.pipeline import Pipeline
from memsdk.remembering import slices
from memsdk.testing.embedders import HashingEmbedder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WRITER = """
import signal
import sys
from memsdk import Memory
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are started with it ignored
with Memory.open(sys.argv[1], embedder="hashing") as memory:
    memory.remember("the first", user_id="u")
    print("ready", flush=True)
    memory.remember([f"line number {n}" for n in range(20000)], user_id="u")
"""


class Interrupted(HashingEmbedder):
    """Ctrl-C comes while it embeds keys, as often as it is told."""

    times = 0

    def embed(self, texts: Sequence[str], *, task: Task, side: Side) -> NDArray[np.float32]:
        """Raise KeyboardInterrupt, or embed."""
        if side is Side.KEY and self.times:
            self.times -= 1
            raise KeyboardInterrupt
        return super().embed(texts, task=task, side=side)


def test_an_interrupted_remember_is_finished_by_the_same_process(tmp_path: Path) -> None:
    """Its claims must come back: else `flush` waits for this very process and then blames another one."""
    embedder = Interrupted()
    with Memory.open(tmp_path / "s", embedder=embedder, index="exact", background=False) as memory:
        memory.remember("before", user_id="u")
        embedder.times = 1
        with pytest.raises(KeyboardInterrupt):
            memory.remember([f"line {n}" for n in range(40)], user_id="u")
        began = time.monotonic()
        memory.flush()
        assert time.monotonic() - began < 20
        assert memory.verify().clean
        assert memory.recall("line 7", user_id="u", k=1)[0].text == "line 7"


def test_claims_dropped_between_commit_and_indexing_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C may come at any line, also where nobody is there to give the claims back."""
    with Memory.open(tmp_path / "s", embedder="hashing", index="exact", background=False) as memory:
        with monkeypatch.context() as patch:
            patch.setattr(Pipeline, "take", _interrupt)
            with pytest.raises(KeyboardInterrupt):
                memory.remember("kept", user_id="u")
        memory.flush()
        assert memory.verify().clean
        assert memory.recall("kept", user_id="u")[0].text == "kept"


@pytest.mark.parametrize("after_s", [0.05, 0.5])
def test_sigint_during_a_long_list_leaves_a_consistent_store(tmp_path: Path, after_s: float) -> None:
    """A person ends an import with Ctrl-C and goes on: whole slices are there, and all that is there is found."""
    store = tmp_path / "s"
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(store)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(after_s)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) in (1, 130, -signal.SIGINT)
    process.stdout.close()
    with Memory.open(store, log_recalls=False, host_idle_s=0.2) as memory:
        memory.flush()
        verification = memory.verify()
        assert verification.clean
        whole = accumulate(map(len, slices(range(20_000))))
        assert verification.records - 1 in (0, *whole)
        last = memory.list(limit=1000)[-1]
        assert memory.recall(last.text, user_id="u", k=1)[0].id == last.id


def _interrupt(*arguments: object, **named: object) -> None:
    raise KeyboardInterrupt
