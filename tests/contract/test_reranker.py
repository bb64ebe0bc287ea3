"""The Reranker contract, over each adapter."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from memsdk.embedding.loading import load_embedder
from memsdk.embedding.runtime import Runtime
from memsdk.ports import Reranker
from memsdk.rerankers import ChatReranker, CrossEncoder, LateInteraction
from memsdk.testing.chat_server import ChatServer
from memsdk.testing.reranker_contract import RerankerContract
from memsdk.testing.tiny_models import save_tiny_bert, save_tiny_cross_encoder


class TestLateInteraction(RerankerContract):
    """A random encoder's tokens, by each engine."""

    @pytest.fixture(scope="class", params=["onnx", "torch"])
    @classmethod
    def reranker(cls, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Reranker:
        """Enough to tell right plumbing from wrong."""
        folder: Path = tmp_path_factory.mktemp("tiny")
        save_tiny_bert(folder)
        encoder = load_embedder(folder, runtime=Runtime(engine=request.param))
        return LateInteraction(lambda: encoder)


class TestCrossEncoder(RerankerContract):
    """A random classifier with one label, as rerankers have, and with two."""

    @pytest.fixture(scope="class", params=[1, 2])
    @classmethod
    def reranker(cls, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Reranker:
        """In its own folder."""
        folder: Path = tmp_path_factory.mktemp("cross")
        save_tiny_cross_encoder(folder, labels=request.param)
        return CrossEncoder(folder)


class TestChatReranker(RerankerContract):
    """A server whose model names the passages from the longest to the shortest."""

    @pytest.fixture(scope="class")
    @classmethod
    def reranker(cls) -> Iterator[Reranker]:
        """It has read the numbers in the prompt, as a model does."""

        def reply(prompt: str) -> str:
            passages = dict(re.findall(r"^\[(\d+)\] ?(.*)$", prompt, re.MULTILINE))
            return " > ".join(f"[{number}]" for number in sorted(passages, key=lambda n: -len(passages[n])))

        with ChatServer(reply) as server:
            yield ChatReranker(server.url)
