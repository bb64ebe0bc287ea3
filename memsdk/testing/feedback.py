"""A store with feedback whose lesson is known: questions in one vocabulary, records in another, and who answers whom."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from memsdk.testing.embedders import HashingEmbedder

if TYPE_CHECKING:
    from memsdk import Memory, Recall, Record

TOPICS = (
    ("ferry", "boat"), ("doctor", "clinic"), ("rent", "flat"), ("exam", "school"), ("pump", "garden"),
    ("salary", "bank"), ("train", "rail"), ("piano", "music"), ("oven", "kitchen"), ("tyre", "car"),
    ("visa", "travel"), ("router", "network"),
)  # fmt: skip
"""What is asked with the first word is answered by records with the second."""
EMBEDDER = HashingEmbedder(dims=64)

FILLERS = (
    "again", "today", "soon", "please", "now", "later", "really", "first", "quickly", "tonight", "then", "still",
    "always", "maybe", "just", "friday", "monday", "morning", "evening", "summer", "winter", "finally", "often", "once",
)  # fmt: skip

Choose = Callable[[np.random.Generator, "Recall", Sequence["Record"]], Sequence["Record"]]
"""Which records the agent says it used: given what was found, and the records that truly answer."""


def right(rng: np.random.Generator, recall: Recall, records: Sequence[Record]) -> Sequence[Record]:
    """What truly answers: the records of the topic."""
    return records


def at_random(rng: np.random.Generator, recall: Recall, records: Sequence[Record]) -> Sequence[Record]:
    """Something that was found, whatever it is."""
    return [recall[int(rng.integers(len(recall)))]] if recall else []


def open_store(folder: Path, *, index: str = "embedded-inline") -> Memory:
    """The store itself, empty at first."""
    from memsdk import Memory

    return Memory.open(folder, embedder=EMBEDDER, index=index, synchronous="NORMAL")  # type: ignore[arg-type]  # a name


def fill(memory: Memory, *, each: int = 5) -> list[list[Record]]:
    """So many shared records a topic."""
    texts = [
        [f"the {answer} note {number} says {_words(topic, number)}" for number in range(each)]
        for topic, (_, answer) in enumerate(TOPICS)
    ]
    return [memory.remember(some) for some in texts]


def ask_all(
    memory: Memory,
    records: Sequence[Sequence[Record]],
    *,
    times: int,
    choose: Choose = right,
    user_id: str | None = None,
    seed: int = 0,
) -> None:
    """So many questions a topic, each recalled and answered with feedback; the topics in turn."""
    rng = np.random.default_rng(seed)
    for _ in range(times):
        for topic, (asked, _) in enumerate(TOPICS):
            query = _query(asked, rng)
            recall = memory.recall(query, user_id=user_id, kinds=["memory"], k=5)
            used = choose(rng, recall, records[topic])
            if used:
                memory.feedback(recall, score=1.0, used=[record.id for record in used])


def held_out_recall(
    memory: Memory, records: Sequence[Sequence[Record]], *, times: int = 3, seed: int = 99
) -> float:
    """The truth that no gate sees: how often one of a new question's five hits is of its topic, 0 to 1."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(times):
        for topic, (asked, _) in enumerate(TOPICS):
            hits = {hit.id for hit in memory.recall(_query(asked, rng), kinds=["memory"], k=5)}
            found.append(len(hits & {record.id for record in records[topic]}) / 5)
    return float(np.mean(found))


def _query(asked: str, rng: np.random.Generator) -> str:
    return " ".join(["my", asked, *rng.choice(FILLERS, 2, replace=False)])


def _words(topic: int, number: int) -> str:
    """Two made-up words that no other text has."""
    rng = np.random.default_rng([topic, number])
    return " ".join("".join(chr(97 + letter) for letter in rng.integers(0, 26, 6)) for _ in range(2))
