"""What every Embedder must do. Derive from EmbedderContract, give it an `embedder` fixture, and pytest runs it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from memsdk.embedding.prefixes import prefix_of
from memsdk.errors import InvalidInputError
from memsdk.models import Side, Task
from memsdk.ports import Embedder

TEXTS = (
    "Ana is allergic to peanuts.",
    "Which food must Ana avoid? Peanuts, and anything that was fried in peanut oil.",
    "tea",
    "Der Zug nach Köln fährt um 8:15 Uhr ab; 東京では雨です。 🙂",
    "The quarterly report is due on Friday " * 12,
    "NUL \0 and\ttabs\nand lines",
)


class EmbedderContract:
    """The promises of the Embedder port. The `embedder` fixture is the derived class's to define."""

    def test_rows_have_unit_length(self, embedder: Embedder) -> None:
        """The index compares by dot product; a longer row would win every search."""
        vectors = embedder.embed(TEXTS, task=Task.CHAT, side=Side.KEY)
        assert vectors.shape == (len(TEXTS), embedder.spec.dims)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)

    def test_a_batch_is_what_its_texts_are_one_by_one(self, embedder: Embedder) -> None:
        """Sorting and padding must neither swap the vectors of two memories nor change one."""
        together = embedder.embed(TEXTS, task=Task.QA, side=Side.KEY)
        apart = [embedder.embed([text], task=Task.QA, side=Side.KEY)[0] for text in TEXTS]
        np.testing.assert_allclose(together, np.stack(apart), atol=1e-5)

    def test_no_texts_give_no_rows(self, embedder: Embedder) -> None:
        """An empty batch comes from a drain with deletions only."""
        vectors = embedder.embed([], task=Task.CHAT, side=Side.KEY)
        assert vectors.shape == (0, embedder.spec.dims)
        assert vectors.dtype == np.float32

    @pytest.mark.parametrize("task", Task)
    def test_the_prefix_of_task_and_side_is_what_decides(self, embedder: Embedder, task: Task) -> None:
        """A query embedded as a key, or for another task, is looked for in the wrong place."""
        vectors = {
            (other, side): embedder.embed(TEXTS[:1], task=other, side=side)[0]
            for other in Task
            for side in Side
        }
        for side in Side:
            mine = prefix_of(embedder.spec.prefixes, task=task, side=side)
            for (other, other_side), vector in vectors.items():
                is_same = mine == prefix_of(embedder.spec.prefixes, task=other, side=other_side)
                assert np.allclose(vectors[task, side], vector, atol=1e-6) == is_same

    def test_a_long_text_is_cut(self, embedder: Embedder) -> None:
        """A pasted book must not fail, and what lies beyond the limit must not count."""
        word = "peanut "
        long, longer = (word * (embedder.spec.max_tokens + extra) for extra in (10, 5_000))
        vectors = embedder.embed([long, longer], task=Task.CHAT, side=Side.KEY)
        np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-5)

    def test_an_empty_text_has_a_vector(self, embedder: Embedder) -> None:
        """A text without a single token must not divide by zero."""
        vectors = embedder.embed(["", " \n"], task=Task.CHAT, side=Side.KEY)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)

    def test_threads_give_what_one_gives(self, embedder: Embedder) -> None:
        """An agent server embeds from many threads at once."""
        alone = [embedder.embed([text], task=Task.CHAT, side=Side.KEY)[0] for text in TEXTS]
        with ThreadPoolExecutor(4) as threads:
            shared = threads.map(
                lambda text: embedder.embed([text], task=Task.CHAT, side=Side.KEY)[0], TEXTS * 3
            )
            np.testing.assert_allclose(np.stack(list(shared)), np.stack(alone * 3), atol=1e-5)

    @pytest.mark.parametrize("bad", ["lone \ud800 surrogate", b"bytes", None, 3])
    def test_what_is_no_text_is_refused(self, embedder: Embedder, bad: str) -> None:
        """A bare TypeError from the tokenizer's Rust says nothing to a caller."""
        with pytest.raises(InvalidInputError, match="number 1"):
            embedder.embed(["fine", bad], task=Task.CHAT, side=Side.KEY)

    def test_one_text_in_place_of_a_list_is_refused(self, embedder: Embedder) -> None:
        """A text is a sequence of letters, each of which would be embedded."""
        with pytest.raises(InvalidInputError, match="list"):
            embedder.embed("one text", task=Task.CHAT, side=Side.KEY)

    def test_tokens_are_counted_without_limit_or_extras(self, embedder: Embedder) -> None:
        """Chunks are cut by these counts; special tokens counted in would shorten every chunk."""
        one, none, many = embedder.count_tokens(["peanut", "", "peanut " * 3_000])
        assert (none, many) == (0, 3_000 * one)
        assert embedder.count_tokens([]) == []

    def test_the_spec_stays_what_it_is(self, embedder: Embedder) -> None:
        """A store compares the recorded spec with this one at each open."""
        spec = embedder.spec
        embedder.embed(TEXTS[:1], task=Task.CHAT, side=Side.KEY)
        assert embedder.spec == spec
        assert spec.dims > 0 < spec.max_tokens
        assert all((spec.name, spec.source, spec.weights, spec.tokenizer, spec.pooling))
