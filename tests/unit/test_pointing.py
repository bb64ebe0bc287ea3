from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from memsdk import Memory
from memsdk.errors import EmbedderError
from memsdk.line_vectors import LineVectors
from memsdk.models import Point, Side, Task
from memsdk.pointing import PointBuilder
from memsdk.ports import Indexable
from memsdk.spaces import DENSE
from memsdk.testing.embedders import HashingEmbedder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]


class Careless(HashingEmbedder):
    """Forgets to make its vectors unit vectors."""

    def embed(self, texts: Sequence[str], *, task: Task, side: Side) -> Vectors:
        """Three times as long."""
        return 3 * super().embed(texts, task=task, side=side)


class FailsAt(HashingEmbedder):
    """Can't embed texts that say so."""

    def embed(self, texts: Sequence[str], *, task: Task, side: Side) -> Vectors:
        """Fails as a GPU does that runs out of memory."""
        if any("line 150 of b" in text for text in texts):
            raise EmbedderError("out of memory")
        return super().embed(texts, task=task, side=side)


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> list[Indexable]:
    """Of 400 turns of two sessions, of many lengths."""
    with Memory.open(tmp_path_factory.mktemp("s"), embedder="hashing", index="exact") as memory:
        for session in ("a", "b"):
            turns = [
                {"role": "user", "content": f"line {n} of {session}{' and more' * (n % 17)}"}
                for n in range(200)
            ]
            memory.remember(turns, user_id="ana", session_id=session)
        ids = [record.id for record in memory.list(limit=1_000)]
        return memory._parts.store.outbox.read(ids, neighbours=2)


@pytest.fixture
def builder(tmp_path: Path) -> PointBuilder:
    """The one that a store has."""
    with Memory.open(tmp_path, embedder="hashing", index="exact") as memory:
        return memory._parts.indexer.builder(memory._parts.serving.current())


def same(one: Point, other: Point) -> bool:
    """Is it the same point, but for rounding?"""
    close = np.allclose(one.dense[DENSE], other.dense[DENSE], atol=1e-6)
    return bool(close) and (one.id, one.record, one.sparse) == (other.id, other.record, other.sparse)


def test_many_records_get_the_points_that_each_gets_alone(
    states: list[Indexable], builder: PointBuilder
) -> None:
    """They are embedded in parts, in another order: a vector under the wrong id is a memory that answers for another."""
    together = builder.prepare(states).points()
    assert len(together) == len(states)
    for state, (point,) in list(zip(states, together, strict=True))[::23]:
        (alone,) = builder.prepare([state]).points()[0]
        assert point.record == state.id
        assert same(point, alone)


def test_each_record_is_ready_once(states: list[Indexable], builder: PointBuilder) -> None:
    """One left out would be acknowledged and never found."""
    stretches = [(places, list(made)) for places, made in builder.prepare(states).stretches()]
    assert len(stretches) > 1
    assert all(places == [place for place, _ in made] for places, made in stretches)
    assert sorted(place for places, _ in stretches for place in places) == list(range(len(states)))


@pytest.mark.parametrize("some", [slice(0, 400), slice(340, 360)])
def test_what_the_encoder_fails_at_is_raised_where_the_points_are_asked_for(
    states: list[Indexable], builder: PointBuilder, monkeypatch: pytest.MonkeyPatch, some: slice
) -> None:
    """The thread that embeds has nobody to tell: its caller would wait for ever, or send what is not there."""
    monkeypatch.setattr(builder, "_embedder", FailsAt())
    prepared = builder.prepare(states[some])
    with pytest.raises(EmbedderError, match="out of memory"):
        prepared.points()
    assert isinstance(prepared.encoded.exception(5), EmbedderError)  # the next batch does not wait for it


def test_vectors_have_unit_length_whoever_made_them() -> None:
    """An engine that compares by cosine would be given what the index refuses."""
    found = LineVectors().embed(["tea", "cake"], embedder=Careless(), task=Task.CHAT)
    assert [float(np.linalg.norm(vector)) for vector in found.values()] == pytest.approx([1, 1])
