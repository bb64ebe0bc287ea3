"""Every record store keeps the same promises; Postgres will be one more subclass."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from memsdk.ports import Clock, Store
from memsdk.records import SqlStore, open_store
from memsdk.testing.store_contract import StoreContract
from memsdk.testing.store_drafts import Open


class TestSqlite(StoreContract):
    @pytest.fixture
    def opened(self, tmp_path: Path) -> Iterator[Open]:
        """Makes new stores."""
        stores: list[SqlStore] = []

        def fresh(clock: Clock) -> Store:
            stores.append(open_store(tmp_path / f"store{len(stores)}", clock=clock, synchronous="NORMAL"))
            return stores[-1]

        yield fresh
        for store in stores:
            store.close()
