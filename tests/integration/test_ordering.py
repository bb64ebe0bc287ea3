from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from memsdk import InvalidInputError, Memory
from memsdk.testing.embedders import HashingEmbedder


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    """Two people's talk of three days, and a text said twice."""
    with Memory.open(tmp_path / "store", embedder=HashingEmbedder(), index="exact") as opened:
        for day, place in ((1, "lake"), (20, "harbour"), (40, "forest")):
            opened.remember(
                [
                    {"role": "user", "name": name, "content": text, "time": f"2023-0{1 + day // 31}-{1 + day % 31:02}T10:00:00Z"}
                    for name, text in (("Ana", f"The dog ran to the {place}."), ("Ben", "Where did the dog run?"))
                ],
                user_id="u",
                session_id=f"s{day}",
            )  # fmt: skip
        yield opened


def test_a_time_that_the_query_names_and_who_said_it_move_hits_up_and_explain_shows_it(
    memory: Memory,
) -> None:
    """An order that nobody can explain can't be mended."""
    recall = memory.recall("What did Ana say of the dog in February 2023?", user_id="u", explain=True)
    assert recall[0].text == "The dog ran to the forest."
    for hit in recall:
        assert hit.why is not None
        assert {"time", "speaker", "session", "statement", "substance"} <= hit.why.parts.keys()
        assert hit.score == pytest.approx(sum(hit.why.parts.values()), abs=1e-5)


def test_recency_prefers_the_last_day(memory: Memory) -> None:
    """Of many places the last is where the dog is."""
    recall = memory.recall("the dog ran to the", user_id="u", recency=timedelta(days=1_000), explain=True)
    assert recall[0].why is not None
    assert recall[0].why.parts["recency"] < 0
    newest = memory.recall("the dog ran to the", user_id="u", recency=10_000, k=1)
    assert len(newest) == 1


def test_what_is_said_again_and_again_can_be_one_hit(memory: Memory) -> None:
    """Three equal questions leave no room for the answers."""
    texts = [hit.text for hit in memory.recall("Where did the dog run?", user_id="u", k=6)]
    assert texts.count("Where did the dog run?") == 3
    once = [hit.text for hit in memory.recall("Where did the dog run?", user_id="u", k=6, collapse=True)]
    assert once.count("Where did the dog run?") == 1
    spread = [hit.text for hit in memory.recall("Where did the dog run?", user_id="u", k=2, diversity=1.0)]
    assert len(set(spread)) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"recency": 0},
        {"recency": timedelta(days=-1)},
        {"recency": float("nan")},
        {"recency": "a week"},
        {"recency": True},
        {"diversity": 1.5},
        {"diversity": float("nan")},
        {"diversity": "much"},
    ],
)
def test_orderings_that_mean_nothing_are_refused(memory: Memory, wrong: dict[str, object]) -> None:
    """A half-life of 0 divides by it."""
    with pytest.raises(InvalidInputError):
        memory.recall("dog", user_id="u", **wrong)  # type: ignore[arg-type]  # what callers get wrong
