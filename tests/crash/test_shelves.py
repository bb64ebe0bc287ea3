"""A process that syncs tools and adds examples is killed at every point: what was acknowledged is there, and the next sync ends it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from memsdk import Memory

WORKER = """
import sys
from memsdk import Memory
from memsdk.testing.failpoints import arm
memory = Memory.open(sys.argv[1], embedder="hashing", index="embedded-inline")
def tools(*names):
    return [{"name": name, "description": f"The tool {name}.", "inputSchema": {"type": "object"}} for name in names]
memory.tools.sync("server", tools("kept", "dropped"))
memory.examples.add("question", "answer", task="t")
print("acknowledged", flush=True)
arm(sys.argv[2])
memory.tools.sync("server", tools("kept", "new"))
"""


@pytest.mark.parametrize(
    "failpoint",
    [
        "sql-before-commit:3",
        "sql-after-commit:3",
        "embed:1",
        "index-update:3",
        "index-updated:3",
        "forget-erased:1",
    ],
)
def test_a_killed_sync_is_finished_by_the_next(tmp_path: Path, failpoint: str) -> None:
    """A sync that died half way must leave no tool lost, doubled, or offered for ever."""
    ran = subprocess.run(
        [sys.executable, "-c", WORKER, str(tmp_path / "store"), failpoint],
        env={"PATH": "", "HF_HUB_OFFLINE": "1"}, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    assert "acknowledged" in ran.stdout
    with Memory.open(tmp_path / "store", embedder="hashing", index="embedded-inline") as memory:
        names = [record.name for record in memory.tools.list(source="server")]
        assert {"kept", "new"} <= set(names) or {"kept", "dropped"} <= set(names)
        assert len(names) == len(set(names))
        assert memory.examples.recall("question").render() == "Input: question\nOutput: answer"
        tools = [{"name": name, "description": f"The tool {name}."} for name in ("kept", "new")]
        memory.tools.sync("server", tools)
        assert [record.name for record in memory.tools.list(source="server")] == ["kept", "new"]
        assert {hit.name for hit in memory.tools.recall("the tool", k=9)} == {"kept", "new"}
        memory.flush()
        assert memory.verify().clean
