"""What concerns all parts of an open store at once."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

from memsdk.parts import bytes_of


def test_the_size_of_a_folder_is_told_while_its_files_come_and_go(tmp_path: Path) -> None:
    """The index host makes and removes folders while it optimizes; `stats` must not fail on them."""
    (tmp_path / "kept").write_bytes(b"x" * 100)
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            for number in range(20):
                inner = tmp_path / f"{number}" / "inner"
                inner.mkdir(parents=True)
                (inner / "file").write_bytes(b"x")
            for number in range(20):
                shutil.rmtree(tmp_path / f"{number}")

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        assert all(bytes_of(tmp_path) >= 100 for _ in range(300))
    finally:
        stop.set()
        thread.join()
    assert bytes_of(tmp_path) == 100
