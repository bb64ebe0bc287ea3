"""Texts of several points, and embedders that cut them differently."""

from __future__ import annotations

from pathlib import Path

from memsdk import Memory
from memsdk.spaces import Serving

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
        parts, chosen = memory._parts, memory._parts.load("hashing:64:48:b")
        spaces = parts.store.spaces.begin(chosen.spec, parts.serving.fingerprints(chosen.spec))
        parts.serving.ensure(chosen.spec, spaces)
        target = Serving(embedder=chosen, spaces=spaces, epoch=-1)
        states = parts.store.outbox.read([record.id], neighbours=0)
        (points,) = parts.indexer.builder(target).prepare(states).points()
        assert len(points) > 2
        parts.index.upsert(target.collection(record.kind), points[:2])
        memory.reindex(embedder=chosen)
        assert len(list(parts.index.scan(target.collection(record.kind)))) == len(points)
        assert memory.verify().differences == ()
