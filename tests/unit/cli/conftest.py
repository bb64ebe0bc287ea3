"""A store with a little in it, and a way to call the command line as a shell would."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from memsdk.cli.main import cli

Run = Callable[..., Result]
NOTES = {
    "travel.md": "# Travel\n\nA hotel room in Oslo may cost 1,400 crowns.\n",
    "fleet.txt": "Little Auk stays in port.",
}


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No model and no host process; a wide terminal that is none."""
    monkeypatch.setenv("MEMSDK_EMBEDDER", "hashing")
    monkeypatch.setenv("MEMSDK_INDEX", "exact")
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Calls `memsdk` in this process, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str | Path, stdin: str | bytes | None = None) -> Result:
        return CliRunner().invoke(cli, [str(item) for item in arguments], input=stdin, prog_name="memsdk")

    return call


@pytest.fixture
def filled(run: Run, tmp_path: Path) -> Run:
    """The same with a store that holds one memory, one session and two documents."""
    folder = tmp_path / "notes"
    folder.mkdir()
    for name, text in NOTES.items():
        (folder / name).write_text(text, encoding="utf-8")
    chat = [
        {"role": "user", "content": "When do we sail?", "time": "2025-01-05T10:00:00Z"},
        {"role": "assistant", "content": "On Monday.", "time": "2025-01-05T10:01:00Z"},
    ]
    (tmp_path / "chat.json").write_text(json.dumps(chat), encoding="utf-8")
    for command in (
        ["remember", "Ana is allergic to peanuts.", "--user", "ana", "--tag", "health", "--meta", "n=3"],
        ["remember", "--file", "chat.json", "--user", "ben", "--session", "s1"],
        ["ingest", "notes"],
    ):
        assert run(*command).exit_code == 0
    return run
