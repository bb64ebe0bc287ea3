"""Processes of our own that outlive the one which starts them: the index host, and the standby of its commands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from memsdk.index.address import LOG


def start(module: str, *arguments: str, folder: Path) -> subprocess.Popen[bytes]:
    """Run a module in a session of its own, in this folder, whose log has what it prints. Raises OSError."""
    with (folder / LOG).open("ab") as log:
        return subprocess.Popen(  # noqa: S603 -- our own modules
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            start_new_session=True,
        )
