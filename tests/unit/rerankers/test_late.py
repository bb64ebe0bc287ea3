"""Late interaction: the formula, and that both engines show the same tokens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from memsdk.embedding.loading import load_embedder
from memsdk.embedding.runtime import Runtime
from memsdk.embedding.transformer import TransformerEmbedder
from memsdk.errors import RerankerError
from memsdk.models import Side, Task
from memsdk.rerankers.late import LateInteraction, max_similarity
from memsdk.testing.embedders import HashingEmbedder
from memsdk.testing.tiny_models import save_tiny_bert

TEXTS = ["tea", "the report is food", "a train " * 40, "", "peanut " * 9]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random encoder that pools by the mean."""
    folder = tmp_path_factory.mktemp("tiny")
    save_tiny_bert(folder)
    return folder


def test_each_token_of_the_query_counts_by_its_best_match() -> None:
    """A sum over all pairs would prefer long texts; a maximum over the query would forget most of it."""
    query = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    text = np.array([[0.6, 0.8], [1.0, 0.0], [-1.0, 0.0]], np.float32)
    assert max_similarity(query, text) == pytest.approx((1.0 + 0.8) / 2)
    assert max_similarity(query, text[:0]) == -1.0
    assert max_similarity(query[:0], text) == -1.0


def test_tokens_are_unit_vectors_without_the_special_ones(tiny: Path) -> None:
    """[CLS] and [SEP] are in every text, and would match each other."""
    encoder = load_embedder(tiny)
    assert isinstance(encoder, TransformerEmbedder)
    found = encoder.embed_tokens(TEXTS)
    assert [len(one) for one in found] == [1, 4, 62, 0, 9]  # cut at 64, two of which are special
    for vectors in found:
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert encoder.embed_tokens([]) == []


def test_both_engines_show_the_same_tokens(tiny: Path) -> None:
    """The engine is chosen for speed, and must not choose the order."""
    scores = [
        LateInteraction(lambda: load_embedder(tiny, runtime=Runtime(engine=engine))).score("tea", TEXTS)  # noqa: B023 -- called at once
        for engine in ("onnx", "torch")
    ]
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)
    assert scores[0][0] == pytest.approx(1.0, abs=1e-5)


def test_showing_tokens_changes_no_vector(tiny: Path) -> None:
    """Both use one tokenizer."""
    encoder = load_embedder(tiny)
    assert isinstance(encoder, TransformerEmbedder)
    before = encoder.embed(TEXTS, task=Task.CHAT, side=Side.KEY)
    encoder.embed_tokens(TEXTS)
    np.testing.assert_array_equal(before, encoder.embed(TEXTS, task=Task.CHAT, side=Side.KEY))


def test_an_embedder_without_tokens_is_named() -> None:
    """A plug-in embedder may be a service that gives one vector a text."""
    with pytest.raises(RerankerError, match="HashingEmbedder has none"):
        LateInteraction(HashingEmbedder).score("tea", ["tea"])
