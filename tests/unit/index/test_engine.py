"""The engine's guards: locks, forks, full disks, damaged files, and the switch to an optimized shard."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import pytest
import qdrant_edge as edge

from memsdk.errors import (
    DiskFullError,
    ForkedProcessError,
    IndexCorruptError,
    IndexingError,
    IndexUnavailableError,
    InvalidInputError,
)
from memsdk.index import shard
from memsdk.index.edge import EdgeIndex
from memsdk.index.facade import MESSAGE
from memsdk.models import CollectionSpec, Point
from memsdk.ports import Leg, SearchRequest
from memsdk.testing.failpoints import VARIABLE
from memsdk.testing.index_contract import DENSE, SPEC, ask, point, random_points

WIDE = CollectionSpec(dense={"dense": 384}, keywords=("u",), tenant="u")
MIB = 2**20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the index is."""
    return tmp_path / "index"


@pytest.fixture
def index(folder: Path) -> Iterator[EdgeIndex]:
    """An open index that finds a graph worth it early."""
    opened = EdgeIndex(folder, worth_it=500)
    yield opened
    opened.close()


def wide_points(count: int, *, seed: int) -> list[Point]:
    """Points wide enough for the engine to want a graph."""
    rows = np.random.default_rng(seed).standard_normal((count, 384)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return [
        Point(id=uuid4(), record=uuid4(), dense={"dense": row}, sparse={}, payload={"u": "ana"})
        for row in rows
    ]


def test_a_second_opener_is_told_to_share(index: EdgeIndex, folder: Path) -> None:
    """Two processes in one shard would lose each other's writes."""
    with pytest.raises(IndexUnavailableError, match='index="embedded"'):
        EdgeIndex(folder)


def test_a_closed_folder_opens_again(index: EdgeIndex, folder: Path) -> None:
    """A lock that outlives its holder would shut the user out."""
    index.close()
    EdgeIndex(folder).close()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_gets_a_named_error_and_ends(index: EdgeIndex) -> None:
    """The engine's threads are not in the child: without the guard it hangs in its first query."""
    index.ensure("space", SPEC)
    index.upsert("space", [point()])

    def in_child() -> None:
        try:
            ask(index, DENSE)
        except ForkedProcessError:
            index.close()
            sys.exit(7)

    child = multiprocessing.get_context("fork").Process(target=in_child)
    child.start()
    child.join(20)
    assert child.exitcode == 7
    index.upsert("space", [point()])
    assert len(ask(index, DENSE)[0]) == 2
    with pytest.raises(IndexUnavailableError):
        EdgeIndex(index._engine._folder)  # the child's end did not take the parent's lock along


def test_a_nearly_full_disk_refuses_writes_and_serves_reads(folder: Path) -> None:
    """The engine writes through mapped files: where no room is left the kernel kills the process."""
    left = [1_000 * MIB]
    index = EdgeIndex(folder, free=lambda _: left[0])
    index.ensure("space", SPEC)
    index.upsert("space", [point()])
    left[0] = 255 * MIB
    with pytest.raises(DiskFullError, match="255 MB left"):
        index.upsert("space", [point()])
    with pytest.raises(DiskFullError):
        index.flush()
    with pytest.raises(DiskFullError):
        index.ensure("other", SPEC)
    assert len(ask(index, DENSE)[0]) == 1
    left[0] = 1_000 * MIB
    index.upsert("space", [point()])
    index.close()
    left[0] = 1 * MIB
    again = EdgeIndex(folder, free=lambda _: left[0])
    with pytest.raises(DiskFullError):
        ask(again, DENSE)
    again.close()


@pytest.mark.parametrize("damage", ["pointer", "shard", "missing"])
def test_a_damaged_collection_names_the_cure_and_can_be_dropped(
    index: EdgeIndex, folder: Path, damage: str
) -> None:
    """Repair drops what it can't read and builds it anew; the other collections go on."""
    for name in ("space", "other"):
        index.ensure(name, SPEC)
        index.upsert(name, [point()])
    index.close()
    shard = folder / "space" / json.loads((folder / "space" / "CURRENT").read_text())["shard"]
    if damage == "pointer":
        (folder / "space" / "CURRENT").write_text("{")
    elif damage == "shard":
        next(shard.rglob("segment.json")).write_text("nonsense")
    else:
        shard.rename(folder / "gone")
    again = EdgeIndex(folder)
    with pytest.raises(IndexCorruptError, match="memsdk repair"):
        ask(again, DENSE)
    with pytest.raises(IndexCorruptError, match="memsdk repair"):
        again.ensure("space", SPEC)
    assert len(ask(again, DENSE, collection="other")[0]) == 1
    again.drop("space")
    again.ensure("space", SPEC)
    assert again.collections() == {"other": 1, "space": 0}
    again.close()


@pytest.mark.parametrize("name", ["", "..", "a/b", "/etc", "x" * 101, "host.sock\0"])
def test_a_collection_stays_in_its_folder(index: EdgeIndex, name: str) -> None:
    """A name is a folder's name: it must not lead elsewhere."""
    with pytest.raises(InvalidInputError):
        index.ensure(name, SPEC)


def test_keyword_fields_hold_texts(index: EdgeIndex) -> None:
    """The engine's keyword index skips a number without a word, and the filter would never find it."""
    index.ensure("space", SPEC)
    with pytest.raises(IndexingError, match="keyword"):
        index.upsert("space", [point(payload={"u": 5})])


def test_fields_may_be_added(index: EdgeIndex) -> None:
    """A newer release filters on one more field."""
    index.ensure("space", CollectionSpec(dense={"dense": 4}, sparse=SPEC.sparse))
    index.upsert("space", random_points(5, seed=1))
    index.ensure("space", SPEC)
    assert len(ask(index, DENSE)[0]) == 5


def test_optimizing_serves_on_and_keeps_what_came_meanwhile(index: EdgeIndex) -> None:
    """A memory added or forgotten while the graph was built must not be lost or come back."""
    index.ensure("space", WIDE)
    points = wide_points(1_500, seed=1)
    index.upsert("space", points)
    late, alive, stop = wide_points(300, seed=2), set[UUID](), threading.Event()
    searches = [0]

    def search() -> None:
        while not stop.is_set():
            request = SearchRequest(legs=(Leg(name="dense", dense=points[7].dense["dense"]),), limit=5)
            assert index.search("space", [request])[0]["dense"][0].id == points[7].id
            searches[0] += 1
            time.sleep(1e-3)  # a thread that never sleeps may keep Python's lock from all others for seconds

    def change() -> None:
        for number, each in enumerate(late):
            index.upsert("space", [each])
            index.delete("space", [points[1_000 + number].record])
            if number % 3 == 0:
                index.delete("space", [each.record])
        stop.wait()

    threads = [threading.Thread(target=search), threading.Thread(target=change)]
    for thread in threads:
        thread.start()
    told: list[str] = []
    assert index.optimize("space", progress=told.append)
    stop.set()
    for thread in threads:
        thread.join()
    alive = {each.id for each in points[:1_000] + points[1_300:]}
    alive |= {each.id for number, each in enumerate(late) if number % 3}
    assert {hit.id for hit in index.scan("space")} == alive
    assert searches[0] > 0
    assert any("switched" in text for text in told)
    assert not index.optimize("space")  # nothing is left to do
    assert len(list((index._engine._folder / "space").glob("shard-*"))) == 1


CRASHING = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_engine import WIDE, wide_points
from memsdk.index.edge import EdgeIndex
index = EdgeIndex(Path(sys.argv[1]), worth_it=500)
index.ensure("space", WIDE)
index.upsert("space", wide_points(700, seed=1))
index.optimize("space")
index.delete("space", [hit.id for hit in index.scan("space")][:1])
"""


@pytest.mark.parametrize(
    ("failpoint", "expected"),
    [
        ("optimize", 700),
        ("optimize-switch", 700),
        ("index-update:3", 2 * MESSAGE),
        ("index-updated:3", 3 * MESSAGE),
    ],
)
def test_a_crash_at_any_moment_leaves_a_loadable_collection(
    folder: Path, failpoint: str, expected: int
) -> None:
    """Whatever was acknowledged is there again, from the old shard or the new one."""
    ended = subprocess.run(
        [sys.executable, "-c", CRASHING, str(folder), str(Path(__file__).parent)],
        env={**os.environ, VARIABLE: failpoint},
        check=False,
    )
    assert ended.returncode == -9
    index = EdgeIndex(folder)
    assert index.collections() == {"space": expected}
    assert len(list((folder / "space").glob("shard-*"))) == 1
    index.close()


def test_a_collection_in_single_precision_stays_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores of older releases: they are opened, written to, and given a graph, and nobody had to rebuild them."""
    points = wide_points(900, seed=4)
    monkeypatch.setattr(shard, "HALF", edge.VectorStorageDatatype.Float32)
    older = EdgeIndex(folder)
    older.ensure("space", WIDE)
    older.upsert("space", points[:800])
    older.close()
    monkeypatch.undo()
    index = EdgeIndex(folder, worth_it=500)
    index.ensure("space", WIDE)
    index.upsert("space", points[800:])
    for optimized in (False, True):
        assert not optimized or index.optimize("space")
        for at in (0, 799, 800, 899):
            leg = Leg(name="dense", dense=points[at].dense["dense"])
            assert ask(index, leg, limit=1)[0][0].id == points[at].id
    found = index.vectors("space", [each.id for each in points], name="dense")
    for each in points:
        np.testing.assert_allclose(found[each.id], each.dense["dense"], atol=1e-6)
    index.close()


def test_a_full_disk_leaves_optimizing_undone(folder: Path) -> None:
    """The copy needs room: without it the serving shard stays as it is."""
    left = [10_000 * MIB]
    index = EdgeIndex(folder, worth_it=500, free=lambda _: left[0])
    index.ensure("space", WIDE)
    index.upsert("space", wide_points(700, seed=1))
    left[0] = 100 * MIB
    with pytest.raises(DiskFullError):
        index.optimize("space")
    left[0] = 10_000 * MIB
    assert index.collections() == {"space": 700}
    assert index.optimize("space")
    index.close()
