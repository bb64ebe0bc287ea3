from __future__ import annotations

import numpy as np
import pytest

from memsdk.conversing import MOST_TURN_CHARS, MOST_TURNS, considered, mixed, mixed_terms, weights
from memsdk.models import SparseVector


def test_each_turn_counts_half_of_the_one_after_it() -> None:
    """Old turns that count as much as the last one drown it: the answer is about what was asked before."""
    assert weights(3) == [1.0, 0.5, 0.25, 0.125]
    vectors = np.eye(3, dtype=np.float32)
    total = mixed(vectors)
    assert total == pytest.approx(np.array([1, 0.5, 0.25]) / np.linalg.norm([1, 0.5, 0.25]))
    assert np.linalg.norm(total) == pytest.approx(1)


def test_a_word_counts_by_the_latest_turn_that_says_it() -> None:
    """A word said again in the last turn is what is asked; added up, chatter would outweigh it."""
    terms = [
        SparseVector([2, 5], [1.0, 1.0]),
        SparseVector([1, 5], [1.0, 1.0]),
        SparseVector([1, 9], [1.0, 1.0]),
    ]
    assert mixed_terms(terms) == SparseVector([1, 2, 5, 9], [0.5, 1.0, 1.0, 0.25])


def test_the_end_of_the_latest_turns_is_read() -> None:
    """A pasted log of a megabyte before the question must not be embedded with it."""
    history = [f"turn {number}" for number in range(20)] + ["x" * 5_000 + "end"]
    read = considered(history)
    assert len(read) == MOST_TURNS
    assert read[0] == "x" * (MOST_TURN_CHARS - 3) + "end"
    assert read[1] == "turn 19"
    assert considered(()) == ()
