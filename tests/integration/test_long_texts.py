"""Texts of several points, and embedders that cut them differently."""

from __future__ import annotations

from pathlib import Path

from memsdk import Memory
from memsdk.models import Point
from memsdk.payloads import RECORD

LONG = " ".join(f"word{n}" for n in range(700))


def test_another_embedder_that_cuts_elsewhere_leaves_nothing_to_repair(tmp_path: Path) -> None:
    """The number of points belongs to the embedder; counted by the old one, every long text seemed damaged."""
    with Memory.open(tmp_path / "s", embedder="hashing:64:256:a", index="exact", background=False) as memory:
        memory.remember([LONG, "short"], user_id="u")
        for embedder in ("hashing:64:48:b", "hashing:64:300:c"):
            memory.reindex(embedder=embedder)
            memory.flush()
            assert memory.verify().differences == ()


def test_a_rebuild_that_was_killed_within_a_text_brings_the_rest(tmp_path: Path) -> None:
    """A kill may come between two batches of one text's points; those that are there look up to date."""
    with Memory.open(tmp_path / "s", embedder="hashing:64:256:a", index="exact", background=False) as memory:
        record = memory.remember(LONG, user_id="u")
        rebuilder, index = memory._parts.rebuilder, memory._parts.index
        chosen = memory._parts.load("hashing:64:48:b")
        memory._parts.serving.ensure(chosen.spec, spaces := rebuilder._spaces.begin(
            chosen.spec, memory._parts.serving.fingerprints(chosen.spec)))  # fmt: skip
        collection = next(iter(spaces.values())).collection
        first: list[Point] = []
        real, index.upsert = index.upsert, lambda name, points: first.extend(points)  # type: ignore[method-assign]
        rebuilder._put(_target(chosen, spaces), [record.id])
        index.upsert = real  # type: ignore[method-assign]
        assert len(first) > 2
        index.upsert(collection, first[:2])
        memory.reindex(embedder="hashing:64:48:b")
        there = list(index.scan(collection, fields=(RECORD,)))
        assert len(there) == len(first)
        assert memory.verify().differences == ()


def _target(embedder, spaces):  # type: ignore[no-untyped-def]
    from memsdk.spaces import Serving

    return Serving(embedder=embedder, spaces=spaces, epoch=-1)
