"""Every index adapter keeps the same contract."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memsdk.index.client import HostedIndex
from memsdk.index.edge import EdgeIndex
from memsdk.index.exact import ExactIndex
from memsdk.ports import Index
from memsdk.testing.index_contract import DurableIndexContract, VectorIndexContract


class TestExactIndex(VectorIndexContract):
    @pytest.fixture
    def index(self) -> ExactIndex:
        """In memory."""
        return ExactIndex()


class TestEdgeIndexInline(VectorIndexContract, DurableIndexContract):
    @pytest.fixture
    def index(self, tmp_path: Path) -> Iterator[EdgeIndex]:
        """In this process."""
        opened = EdgeIndex(tmp_path / "index")
        yield opened
        opened.close()

    @pytest.fixture
    def reopen(self, index: EdgeIndex, tmp_path: Path) -> Iterator[Callable[[], Index]]:
        """Close it, and open the folder anew."""
        opened: list[EdgeIndex] = []

        def again() -> Index:
            index.close()
            opened.append(EdgeIndex(tmp_path / "index"))
            return opened[-1]

        yield again
        for each in opened:
            each.close()


class TestEdgeIndexHosted(VectorIndexContract, DurableIndexContract):
    @pytest.fixture
    def index(self, tmp_path: Path) -> Iterator[HostedIndex]:
        """Through a host."""
        opened = HostedIndex(tmp_path / "index", linger_s=0.2)
        yield opened
        opened.close()

    @pytest.fixture
    def reopen(self, index: HostedIndex, tmp_path: Path) -> Iterator[Callable[[], Index]]:
        """Close it, wait until the host has left, and open the folder anew."""
        opened: list[HostedIndex] = []

        def again() -> Index:
            index.close()
            while (tmp_path / "index" / "host.sock").exists():
                time.sleep(0.01)
            opened.append(HostedIndex(tmp_path / "index", linger_s=0.2))
            return opened[-1]

        yield again
        for each in opened:
            each.close()
