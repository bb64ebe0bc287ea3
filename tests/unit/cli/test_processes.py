"""The command line in processes of its own: signals, pipes, terminals, and how fast its help is."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import pytest

COMMAND = (sys.executable, "-m", "memsdk")
HEAVY = ("pydantic", "memsdk.memory", "memsdk.models", "numpy", "torch", "sqlalchemy", "memsdk.cli.stores")

NOT_FOR_RECALL = {
    "alembic", "memsdk.documents", "memsdk.examples", "memsdk.passages", "memsdk.scoped", "memsdk.sessions", "memsdk.tools",
    "tiktoken", "torch", "transformers",
}  # fmt: skip


def call(
    *arguments: str, folder: Path, stdin: bytes | None = None, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run it to its end."""
    return subprocess.run(
        [*COMMAND, *arguments], cwd=folder, input=stdin, capture_output=True, timeout=60, check=False,
        env={**os.environ, **(environment or {})},
    )  # fmt: skip


def cpu_seconds(command: Sequence[str], *, folder: Path) -> float:
    """How much processor time it takes; unlike the time on the wall it does not count who else is busy."""
    before = os.times()
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=60)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def documents_in(store: Path) -> int:
    """How many the store holds, read beside the process that fills it."""
    if not (store / "memory.db").exists():
        return 0
    with closing(sqlite3.connect(f"file:{store / 'memory.db'}?mode=ro", uri=True, timeout=5)) as database:
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
            return 0  # being made
        return int(database.execute("SELECT count(*) FROM sources").fetchone()[0])


def test_help_imports_no_command_and_nothing_heavy(tmp_path: Path) -> None:
    """Help that waits for torch is not asked for twice."""
    probe = (
        "import sys\nfrom memsdk.cli.main import cli\n"
        "try: cli(['--help'])\nexcept SystemExit: pass\n"
        f"sys.exit(', '.join(name for name in {HEAVY!r} if name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr.strip() == ""


@pytest.mark.slow
def test_recall_imports_no_other_shelf_and_nothing_heavy(tmp_path: Path) -> None:
    """Each import is waited for, every time that somebody asks."""
    call("remember", "Ana likes tea.", "--user", "ana", folder=tmp_path)
    probe = [
        sys.executable,
        "-X",
        "importtime",
        "-m",
        "memsdk",
        "recall",
        "What does Ana like?",
        "--user",
        "ana",
    ]
    done = subprocess.run(probe, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert "Ana likes tea." in done.stdout
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "memsdk.recalling" in loaded
    assert loaded.isdisjoint(NOT_FOR_RECALL)


def test_help_takes_at_most_one_and_a_half_times_what_click_takes(tmp_path: Path) -> None:
    """Half a second for a list of commands would be felt. Sums over many, in turn, as the clock of it is coarse."""
    script = str(Path(sys.executable).with_name("memsdk"))
    ours = clicks = 0.0
    for _ in range(40):
        ours += cpu_seconds([script, "--help"], folder=tmp_path)
        clicks += cpu_seconds([sys.executable, "-c", "import click"], folder=tmp_path)
    assert ours <= 1.5 * clicks


def test_ctrl_c_during_an_ingest_keeps_what_was_read(tmp_path: Path) -> None:
    """A long ingest that is interrupted must not have been for nothing, nor leave a damaged store."""
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(150):
        lines = (f"Paragraph {line} of file {number} has its own words.\n\n" for line in range(400))
        (folder / f"{number:03}.txt").write_text("".join(lines), encoding="utf-8")
    ingest = ["ingest", "files", "--embedder", "hashing", "--index", "embedded-inline"]
    with subprocess.Popen([*COMMAND, *ingest], cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and documents_in(tmp_path / "agent-memory") < 3:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=60)[1]
    assert process.returncode == 130, errors
    assert "the same command goes on from there" in errors
    assert "Traceback" not in errors
    kept = documents_in(tmp_path / "agent-memory")
    assert kept >= 3
    stats = json.loads(call("stats", "--json", "--index", "embedded-inline", folder=tmp_path).stdout)
    assert stats["documents"] == kept
    again = call("ingest", "files/000.txt", "--index", "embedded-inline", "--json", folder=tmp_path)
    assert len(json.loads(again.stdout)["unchanged"]) == 1


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    """`memsdk list | head` must end quietly."""
    chat = json.dumps([{"role": "user", "content": f"{n} " + "x" * 2_000} for n in range(200)])
    options = {"MEMSDK_EMBEDDER": "hashing", "MEMSDK_INDEX": "exact"}
    assert (
        call("remember", "--file", "-", folder=tmp_path, stdin=chat.encode(), environment=options).returncode
        == 0
    )
    with subprocess.Popen(
        [*COMMAND, "list", "--json", "--limit", "1000"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, **options},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 141


def test_through_a_pipe_nothing_is_cut_coloured_or_animated(tmp_path: Path) -> None:
    """What is piped is parsed."""
    (tmp_path / "note.txt").write_text("word " * 80, encoding="utf-8")
    options = {"MEMSDK_EMBEDDER": "hashing", "MEMSDK_INDEX": "exact"}
    made = call("ingest", "note.txt", folder=tmp_path, environment=options)
    assert made.stderr.decode().splitlines() == ["made a new store in agent-memory"]
    listed = call("list", folder=tmp_path, environment=options).stdout.decode()
    assert "\x1b" not in listed
    assert len(listed.splitlines()) == 2
    assert len(listed.splitlines()[1]) > 400


def test_what_is_no_error_of_ours_keeps_its_traceback_and_is_called_a_bug(tmp_path: Path) -> None:
    """A bug that looks like a wrong argument is never reported."""
    probe = (
        "import memsdk.cli.stores, memsdk.cli.main as main\n"
        "def broken(**_): raise RuntimeError('oops')\n"
        "memsdk.cli.stores.stats_command.callback = broken\n"
        "import sys; sys.argv = ['memsdk', 'stats']; main.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "RuntimeError: oops" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("This is a bug in memsdk")


def test_with_the_index_host_two_commands_share_a_store(tmp_path: Path) -> None:
    """The default set-up: the host outlives a command and serves the next."""
    assert call("init", "--embedder", "hashing", "--index", "embedded", folder=tmp_path).returncode == 0
    assert call("remember", "Ana eats no peanuts.", folder=tmp_path).returncode == 0
    found = call("recall", "peanuts", folder=tmp_path, environment={"MEMSDK_HOST_IDLE_S": "0"})
    assert b"Ana eats no peanuts." in found.stdout
