"""Graphs that are built unasked, beside the writing and the dying."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import pytest

from memsdk.errors import ClosedError
from memsdk.index.address import LOG, SOCKET
from memsdk.index.client import HostedIndex
from memsdk.index.edge import EdgeIndex
from memsdk.index.engine import Engine
from memsdk.index.host import WORTH_IT_VARIABLE
from memsdk.index.tending import Tending
from memsdk.index.wire import point_to_row, spec_to_plain
from memsdk.models import CollectionSpec, Point
from memsdk.testing.failpoints import VARIABLE
from tests.unit.index.test_host import host_pid, wait_until

WIDE = CollectionSpec(dense={"dense": 384}, keywords=("u",), tenant="u")
MANY = 700  # of 384 numbers: enough for the engine to want a graph


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the index is."""
    return tmp_path / "index"


def wide_points(count: int, *, seed: int) -> list[Point]:
    """Points wide enough for the engine to want a graph."""
    rows = np.random.default_rng(seed).standard_normal((count, 384)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return [
        Point(id=uuid4(), record=uuid4(), dense={"dense": row}, sparse={}, payload={"u": "ana"})
        for row in rows
    ]


def ids_in(folder: Path) -> set[UUID]:
    """What the index holds, read once nobody has it open."""
    index = EdgeIndex(folder, wait_s=20)
    found = {hit.id for hit in index.scan("space")}
    assert not index.optimize("space")  # all is in the graph
    index.close()
    return found


def test_a_host_builds_the_graph_before_it_leaves(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A nightly `memsdk ingest` ends at once: if the host ended with it, each recall would scan all that it brought."""
    monkeypatch.setenv(WORTH_IT_VARIABLE, "500")
    points = wide_points(MANY, seed=1)
    index = HostedIndex(folder, linger_s=0.1)
    index.ensure("space", WIDE)
    index.upsert("space", points)
    index.close()
    wait_until(lambda: not (folder / SOCKET).exists(), seconds=60)
    assert "switched to the new graph" in (folder / LOG).read_text()
    reopened = EdgeIndex(folder, wait_s=20, worth_it=500)
    assert not reopened.optimize("space")
    assert {hit.id for hit in reopened.scan("space")} == {point.id for point in points}
    reopened.close()


@pytest.mark.parametrize("failpoint", ["optimize", "optimize-switch"])
def test_a_host_killed_while_it_builds_loses_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, failpoint: str
) -> None:
    """Nobody asked for the build, so nobody may pay for its end: neither with a memory nor with one that returns."""
    monkeypatch.setenv(WORTH_IT_VARIABLE, "500")
    monkeypatch.setenv(VARIABLE, failpoint)
    points = wide_points(MANY, seed=2)
    index = HostedIndex(folder, linger_s=5)
    index.ensure("space", WIDE)
    index.upsert("space", points)
    index.delete("space", [points[0].record])
    pid = host_pid(folder)
    wait_until(lambda: not _lives(pid), seconds=60)
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv(WORTH_IT_VARIABLE, "1000000")
    assert {hit.id for hit in index.scan("space")} == {point.id for point in points[1:]}
    assert len(list((folder / "space").glob("shard-*"))) == 1
    os.kill(host_pid(folder), signal.SIGTERM)
    index.close()


def _lives(pid: int) -> bool:
    try:
        return "zombie" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_what_changes_during_a_build_is_in_the_new_graph(folder: Path) -> None:
    """Written, forgotten, written again while the copy was optimized: the copy must end as the serving shard is."""
    engine = Engine(folder, worth_it=500)
    engine.ensure("space", spec_to_plain(WIDE))
    points = wide_points(MANY, seed=3)
    engine.upsert("space", [point_to_row(point) for point in points])
    moved, returning, passing = points[0], points[1], wide_points(1, seed=4)[0]
    changed = threading.Event()

    def progress(text: str) -> None:
        if changed.is_set() or "building" not in text:
            return
        changed.set()
        threading.Thread(target=change).start()

    def change() -> None:
        collection = engine._loaded["space"]
        wait_until(lambda: collection.journal is not None)
        engine.upsert("space", [point_to_row(passing)])
        engine.delete("space", [passing.record.bytes, returning.record.bytes, points[2].record.bytes])
        engine.upsert("space", [point_to_row(returning)])
        row = point_to_row(moved)
        row[2] = {"dense": points[3].dense["dense"].tobytes()}
        engine.upsert("space", [row])
        done.set()

    done = threading.Event()
    assert engine.optimize("space", progress)
    assert done.wait(20)
    found = engine.scan("space", [], None)[0]
    assert isinstance(found, bytes)
    there = {found[at : at + 16] for at in range(0, len(found), 16)}
    assert there == {point.id.bytes for point in points} - {points[2].id.bytes}
    legs: list[object] = [["dense", points[3].dense["dense"].tobytes()]]
    best = engine.search("space", [[legs, None, 2, [], False]])[0][0]
    assert best in (moved.id.bytes + points[3].id.bytes, points[3].id.bytes + moved.id.bytes)
    engine.close()


def test_closing_ends_a_build_and_switches_nothing(folder: Path) -> None:
    """The next process writes to the shard as it was: a late switch would take those writes away."""
    engine = Engine(folder, worth_it=500)
    engine.ensure("space", spec_to_plain(WIDE))
    engine.upsert("space", [point_to_row(point) for point in wide_points(MANY, seed=5)])
    pointer = (folder / "space" / "CURRENT").read_bytes()
    with pytest.raises(ClosedError):
        engine.optimize("space", lambda _: engine.close())
    assert (folder / "space" / "CURRENT").read_bytes() == pointer
    assert len(ids_in(folder)) == MANY


def test_two_who_optimize_share_one_build(folder: Path) -> None:
    """The operator's command meets the host's own build: it waits for it, and both say that a graph was built."""
    engine = Engine(folder, worth_it=500)
    engine.ensure("space", spec_to_plain(WIDE))
    engine.upsert("space", [point_to_row(point) for point in wide_points(MANY, seed=6)])
    built: list[bool] = []
    threads = [
        threading.Thread(target=lambda: built.append(engine.optimize("space", lambda _: None)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert built == [True, True]
    assert not engine.optimize("space", lambda _: None)
    engine.close()


def test_a_writer_is_not_disturbed_and_a_failure_is_told_once(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A copy in the middle of a bulk load would be stale at once; a full disk must not fill the log."""
    left = [10**12]
    engine = Engine(folder, worth_it=500, free=lambda _: left[0])
    engine.ensure("space", spec_to_plain(WIDE))
    engine.upsert("space", [point_to_row(point) for point in wide_points(MANY, seed=7)])
    assert not Tending(engine, alone=lambda: False).look()  # it was written to just now
    left[0] = 0
    tending = Tending(engine, alone=lambda: True)
    with caplog.at_level(logging.WARNING):
        assert not tending.look()
        assert not tending.look()
    assert len(caplog.records) == 1
    assert "disk" in caplog.text
    left[0] = 10**12
    assert Tending(engine, alone=lambda: True).look()
    engine.close()


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="only Linux has this class")
def test_who_builds_a_graph_computes_only_while_nobody_else_wants_to(tmp_path: Path) -> None:
    """Beside a build that takes its turn, the recalls of two minutes take twice as long."""
    code = (
        "import os, sys; from memsdk.index import optimizing as o; o.edge.EdgeShard.load ="
        " lambda folder: sys.exit(os.sched_getscheduler(0)); o.main(sys.argv[1])"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert ended.returncode == os.SCHED_IDLE
