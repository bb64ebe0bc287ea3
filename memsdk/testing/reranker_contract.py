"""What every Reranker must do. Derive from RerankerContract, give it a `reranker` fixture, and pytest runs it."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import pytest

from memsdk.errors import InvalidInputError
from memsdk.ports import Reranker

QUERY = "Which food must Ana avoid?"
TEXTS = (
    "Ana (8 May 2023): I am allergic to peanuts.",
    "tea",
    "Der Zug nach Köln fährt um 8:15 Uhr ab; 東京では雨です。 🙂",
    "The quarterly report is due on Friday " * 12,
    "NUL \0 and\ttabs\nand lines",
)


class RerankerContract:
    """The promises of the Reranker port. The `reranker` fixture is the derived class's to define."""

    def test_each_text_has_a_finite_score(self, reranker: Reranker) -> None:
        """One score too few, or one that is no number, and the whole second stage is dropped."""
        scores = reranker.score(QUERY, TEXTS)
        assert len(scores) == len(TEXTS)
        assert all(math.isfinite(score) for score in scores)

    def test_not_all_texts_are_alike(self, reranker: Reranker) -> None:
        """A reranker that finds all texts alike costs its time and orders nothing."""
        assert len(set(reranker.score(QUERY, TEXTS))) > 1

    def test_equal_arguments_give_equal_scores(self, reranker: Reranker) -> None:
        """The same question must not find another order a moment later."""
        assert list(reranker.score(QUERY, TEXTS)) == list(reranker.score(QUERY, TEXTS))

    def test_one_text_alone_is_scored(self, reranker: Reranker) -> None:
        """A new store has one record."""
        assert len(reranker.score(QUERY, TEXTS[:1])) == 1

    def test_no_texts_give_no_scores(self, reranker: Reranker) -> None:
        """Nothing found is no failure."""
        assert list(reranker.score(QUERY, [])) == []

    def test_long_and_empty_texts_are_scored(self, reranker: Reranker) -> None:
        """A pasted book, or a text without a single token, must not cost the others their scores."""
        scores = reranker.score("why " * 2_000, ["peanut " * 5_000, "", " \n", "tea"])
        assert len(scores) == 4
        assert all(math.isfinite(score) for score in scores)

    def test_threads_give_what_one_gives(self, reranker: Reranker) -> None:
        """An agent server recalls from many threads at once."""
        alone = list(reranker.score(QUERY, TEXTS))
        with ThreadPoolExecutor(4) as threads:
            for scores in threads.map(lambda _: reranker.score(QUERY, TEXTS), range(8)):
                assert list(scores) == pytest.approx(alone, abs=1e-5)

    @pytest.mark.parametrize("bad", ["lone \ud800 surrogate", b"bytes", None, 3])
    def test_what_is_no_text_is_refused(self, reranker: Reranker, bad: str) -> None:
        """A bare TypeError from a tokenizer says nothing to a caller."""
        with pytest.raises(InvalidInputError, match="number 1"):
            reranker.score(QUERY, ["fine", bad])
        with pytest.raises(InvalidInputError):
            reranker.score(bad, ["fine"])

    def test_one_text_in_place_of_a_list_is_refused(self, reranker: Reranker) -> None:
        """A text is a sequence of letters, each of which would be scored."""
        with pytest.raises(InvalidInputError, match="list"):
            reranker.score(QUERY, "one text")
