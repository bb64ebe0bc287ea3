"""Where the examples run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def workplace(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with `examples/` in it, as the current one; a wide terminal, hosts that leave soon, no waiting for the disk."""
    shutil.copytree(repository / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("MEMSDK_HOST_IDLE_S", "2")
    monkeypatch.setenv("MEMSDK_SYNCHRONOUS", "NORMAL")
    return tmp_path
