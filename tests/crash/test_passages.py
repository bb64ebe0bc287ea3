"""A writer that appends to a stream is killed with SIGKILL; what was acknowledged is there, once, and can be gone on with."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from memsdk import Memory

TEXT = "".join(
    f"Sentence number {number} of the long draft is about ship {number % 7}. " for number in range(400)
)
WRITER = """
import os, sys
from memsdk import Memory
from memsdk.testing import failpoints

store, text, point = sys.argv[1:]
with Memory.open(store, embedder="hashing", index="embedded-inline") as memory:
    memory.passages.append("draft", text[:50], at=0, user_id="ana")
    failpoints.arm(point or None)
    place = 50
    while place < len(text):
        piece = text[place : place + 97 + place % 400]
        place = memory.passages.append("draft", piece, at=place, user_id="ana").chars
        os.write(1, f"{place}\\n".encode())
"""


@pytest.mark.parametrize(
    "point", ["", "sql-before-commit:9", "sql-after-commit:7", "index-update:11", "embed:5"]
)
def test_kill_9_loses_and_doubles_nothing_of_a_draft(tmp_path: Path, point: str) -> None:
    """Half a chunk, or a sentence twice, would be told on by whoever reads the draft next."""
    errors = tmp_path / "errors"
    with errors.open("wb") as stderr:
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "store"), TEXT, point],
            stdout=subprocess.PIPE, stderr=stderr,
        )  # fmt: skip
        assert writer.stdout is not None
        told = (
            [writer.stdout.readline() for _ in range(random.Random(point).randint(3, 9))] if not point else []
        )
        if not point:
            os.kill(writer.pid, signal.SIGKILL)
        told += writer.stdout.read().splitlines()
        writer.wait(60)
        writer.stdout.close()
    assert writer.returncode == -signal.SIGKILL, errors.read_text()[-500:]
    acknowledged = max((int(line) for line in told if line.strip()), default=50)
    with Memory.open(tmp_path / "store", index="embedded-inline") as memory:
        kept = memory.passages.read("draft", user_id="ana")
        assert kept == TEXT[: len(kept)]
        assert len(kept) >= acknowledged
        memory.passages.append("draft", TEXT[acknowledged:], at=acknowledged, user_id="ana")
        memory.passages.append("whole", TEXT, user_id="ana")
        assert memory.passages.read("draft", user_id="ana") == TEXT
        records = memory.list(kinds=["passage"], limit=10_000)
        chunks = {
            name: [
                each.text
                for each in sorted(records, key=lambda one: one.position or 0)
                if each.session_id == name
            ]
            for name in ("draft", "whole")
        }
        assert chunks["draft"] == chunks["whole"]
        memory.flush()
        assert memory.verify().clean
        assert memory.passages.recall("draft", "ship 3 of sentence number 38", k=3, user_id="ana")
