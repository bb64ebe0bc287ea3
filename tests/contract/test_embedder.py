"""The Embedder contract, over each adapter."""

from __future__ import annotations

from pathlib import Path

import pytest

from memsdk.embedding.loading import load_embedder
from memsdk.embedding.prefixes import LLM_EMBEDDER
from memsdk.embedding.runtime import Runtime
from memsdk.ports import Embedder
from memsdk.testing.embedder_contract import EmbedderContract
from memsdk.testing.embedders import HashingEmbedder
from memsdk.testing.tiny_models import save_tiny_bert


class TestHashing(EmbedderContract):
    """The model-free double that most tests use."""

    @pytest.fixture
    def embedder(self) -> Embedder:
        """One without prefixes."""
        return HashingEmbedder()


class TestHashingWithPrefixes(EmbedderContract):
    """The double in LLM-Embedder's clothes."""

    @pytest.fixture
    def embedder(self) -> Embedder:
        """One with six different pairs."""
        return HashingEmbedder(dims=32, prefixes=LLM_EMBEDDER)


class TestPackaged(EmbedderContract):
    """The default model."""

    @pytest.fixture(scope="class")
    @classmethod
    def embedder(cls) -> Embedder:
        """On one thread, for shared machines."""
        return load_embedder(runtime=Runtime(threads=1))


class TestPackagedInTorch(EmbedderContract):
    """The default model as the trainer computes it."""

    @pytest.fixture(scope="class")
    @classmethod
    def embedder(cls) -> Embedder:
        """The same vectors by the slower engine."""
        return load_embedder(runtime=Runtime(threads=1, engine="torch"))


class TestTinyBert(EmbedderContract):
    """A sentence-transformers folder with CLS pooling and prompts of its own, by each engine."""

    @pytest.fixture(scope="class", params=["onnx", "torch"])
    @classmethod
    def embedder(cls, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Embedder:
        """Random weights: enough to tell right plumbing from wrong."""
        folder: Path = tmp_path_factory.mktemp("tiny")
        save_tiny_bert(
            folder, pooling="cls", prompts={"query": "ask ", "document": "found ", "tool.key": "tool "}
        )
        return load_embedder(folder, runtime=Runtime(engine=request.param))
