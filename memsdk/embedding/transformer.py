"""Embeddings of a model folder: tokenised, sorted by length, batched by tokens, computed by onnxruntime or torch.

BERT encoders (MiniLM, bge, LLM-Embedder) run in onnxruntime on a CPU, which is faster there and needs no torch; all others,
GPUs and bfloat16 are torch's, and so are very many texts on a CPU that computes in bfloat16 (`memsdk.embedding.bulk`). All
give the same vectors, so that one may embed what the other is asked about.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from memsdk.embedding.bulk import BATCH_TOKENS, Bulk
from memsdk.embedding.folder import POOLINGS, ModelFolder
from memsdk.embedding.inputs import check_texts
from memsdk.embedding.onnx import OnnxBert, open_bert
from memsdk.embedding.pooling import pool
from memsdk.embedding.prefixes import Prefixes, prefix_of
from memsdk.embedding.runtime import Runtime, check_runtime
from memsdk.embedding.tokenizing import load_tokenizer
from memsdk.errors import EmbedderError, InvalidInputError
from memsdk.models import Side, Task
from memsdk.ports import EmbedderSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tokenizers import Tokenizer
    from torch import nn

    Vectors = NDArray[np.float32]

__all__ = ["TransformerEmbedder", "pool"]

CPU_BATCH_TOKENS = 512  # more gains nothing on a CPU, and is padded more
_GPU_BATCH_TOKENS = 32_768
_TINY = np.float32(1e-12)  # instead of dividing by zero


class Engine(Protocol):
    """What computes the vectors of token ids."""

    hidden: int
    pad_id: int

    def encode(self, ids: Sequence[Sequence[int]], *, modes: Sequence[str]) -> Vectors:
        """Unit vectors [B, hidden x modes], float32."""

    def encode_many(
        self, batches: Sequence[Sequence[Sequence[int]]], *, modes: Sequence[str]
    ) -> list[Vectors]:
        """The vectors of each batch."""

    def states(self, ids: Sequence[Sequence[int]]) -> list[Vectors]:
        """The last hidden states of each text, [t, hidden], float32."""


class TransformerEmbedder:
    """Implements Embedder and TokenEmbedder. Thread-safe; the weights are loaded once a process, however many embedders use them."""

    def __init__(
        self,
        folder: ModelFolder,
        *,
        name: str,
        source: str,
        revision: str | None = None,
        pooling: str | None = None,
        max_tokens: int | None = None,
        prefixes: Prefixes | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        """Load the model. What is given here wins over what the folder says.

        Raises:
            EmbedderError: the weights or the tokenizer can't be loaded.
            InvalidInputError: an unknown pooling or setting.
        """
        self._runtime = runtime or Runtime()
        check_runtime(self._runtime)
        self._modes = _modes(pooling or folder.pooling or "mean")
        self._engine, is_cpu = _choose_engine(folder, self._runtime)
        self._bulk = _bulk_of(self._engine, folder, self._runtime)
        self._folder = folder
        self._batch_tokens = self._runtime.batch_tokens or (CPU_BATCH_TOKENS if is_cpu else _GPU_BATCH_TOKENS)
        self._tokenizer = load_tokenizer(folder)
        limit = folder.max_tokens if max_tokens is None else max_tokens
        least = self._tokenizer.num_special_tokens_to_add(False) + 1
        if limit < least or (folder.positions is not None and limit > folder.positions):
            raise InvalidInputError(
                f"max_tokens={limit} does not suit {name}: it takes from {least} to {folder.positions or 'any number'}"
            )
        self._tokenizer.enable_truncation(limit)
        self._spec = EmbedderSpec(
            name=name,
            source=source,
            revision=revision,
            weights=folder.weights,
            tokenizer=folder.tokenizer,
            pooling="+".join(self._modes),
            dims=self._engine.hidden * len(self._modes),
            max_tokens=limit,
            prefixes=dict(folder.prefixes if prefixes is None else prefixes),
        )

    @property
    def spec(self) -> EmbedderSpec:
        """What decides this embedder's vectors."""
        return self._spec

    @property
    def model(self) -> nn.Module:
        """The encoder in torch; shared by all embedders of these weights, so copy it before changing it."""
        from memsdk.embedding.torch_engine import TorchEngine

        if isinstance(self._engine, TorchEngine):
            return self._engine.model
        return TorchEngine(self._folder, runtime=self._runtime).model

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        return self._folder.path

    def embed(self, texts: Sequence[str], *, task: Task, side: Side) -> Vectors:
        """Embed with the prefix of task and side: float32 [n, d], rows of unit length, in the order given.

        Prefix and special tokens count toward `max_tokens`; what is longer is cut off.

        Raises:
            InvalidInputError: something is not a text, or holds lone surrogates.
            EmbedderError: the model's output is not finite.
        """
        ids = self.token_ids(texts, task=task, side=side)
        vectors = np.empty((len(texts), self._spec.dims), np.float32)
        bulk = None if self._bulk is None else self._bulk.engine_for(len(texts))
        budget = self._batch_tokens if bulk is None else self._runtime.batch_tokens or BATCH_TOKENS
        batches = list(batches_of([len(one) for one in ids], budget=budget))
        found = (bulk or self._engine).encode_many(
            [[ids[number] for number in batch] for batch in batches], modes=self._modes
        )
        for batch, some in zip(batches, found, strict=True):
            vectors[batch] = some
        if not np.isfinite(vectors).all():
            raise EmbedderError(
                f"{self._spec.name} gave vectors that are not finite; load it with dtype='float32', or fetch it again"
            )
        return vectors

    def embed_tokens(self, texts: Sequence[str]) -> list[Vectors]:
        """One unit vector a token of each text: float32 [t, d], without prefix or special tokens, in the order given.

        What ColBERT (Khattab and Zaharia, SIGIR 2020) compares, without its linear layer on top.

        Raises:
            InvalidInputError: something is not a text, or holds lone surrogates.
        """
        check_texts(texts)
        encodings = self._tokenizer.encode_batch([self._cased(text) for text in texts])
        vectors: list[Vectors] = [np.empty((0, self._engine.hidden), np.float32)] * len(texts)
        for batch in batches_of([len(one) for one in encodings], budget=self._batch_tokens):
            found = self._engine.states([encodings[number].ids for number in batch])
            for number, states in zip(batch, found, strict=True):
                words = states[np.array(encodings[number].special_tokens_mask) == 0]
                vectors[number] = words / np.maximum(np.linalg.norm(words, axis=1, keepdims=True), _TINY)
        return vectors

    def token_ids(self, texts: Sequence[str], *, task: Task, side: Side) -> list[list[int]]:
        """What the encoder is given of each text: prefix and special tokens included, cut to `max_tokens`."""
        check_texts(texts)
        prefix = prefix_of(self._spec.prefixes, task=task, side=side)
        return self.plain_ids([prefix + text for text in texts])

    def plain_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The same of texts that have their prefix already."""
        encodings = self._tokenizer.encode_batch_fast([self._cased(text) for text in texts])
        return [encoding.ids for encoding in encodings]

    @property
    def pad_id(self) -> int:
        """The token that fills a batch up."""
        return self._engine.pad_id

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has, without prefix, special tokens or truncation."""
        check_texts(texts)
        cased = [self._cased(text) for text in texts]
        return [
            len(encoding) for encoding in self._counter.encode_batch_fast(cased, add_special_tokens=False)
        ]

    @cached_property
    def _counter(self) -> Tokenizer:
        return load_tokenizer(self._folder)

    def _cased(self, text: str) -> str:
        return text.lower() if self._folder.lowercase else text


def _choose_engine(folder: ModelFolder, runtime: Runtime) -> tuple[Engine, bool]:
    """The fastest engine that computes this folder as the settings say, and whether it runs on a CPU."""
    is_plain = runtime.device == "cpu" and runtime.precision == "float32"
    if is_plain and runtime.engine != "torch":
        found = open_bert(folder, threads=runtime.threads)
        if found is not None:
            return found, True
    if runtime.engine == "onnx":
        raise EmbedderError(
            f"{folder.path} can't run in onnxruntime: that takes a BERT in float32, in one safetensors file, on the CPU;"
            " leave `engine` out"
        )
    from memsdk.embedding.torch_engine import TorchEngine  # seconds, and only for who needs it

    engine = TorchEngine(folder, runtime=runtime)
    return engine, engine.device.type == "cpu"


def _bulk_of(engine: Engine, folder: ModelFolder, runtime: Runtime) -> Bulk | None:
    """What may compute very many texts instead of the engine; None where the settings leave no choice."""
    is_free = runtime.dtype == "auto" and runtime.engine == "auto" and isinstance(engine, OnnxBert)
    return Bulk(folder, threads=runtime.threads) if is_free else None


def batches_of(lengths: Sequence[int], *, budget: int) -> Iterator[list[int]]:
    """Numbers of texts of like length, longest first, so that no batch is padded to more than `budget` tokens.

    >>> list(batches_of([2, 9, 3], budget=6))
    [[1], [2, 0]]
    """
    order = sorted(range(len(lengths)), key=lambda number: -lengths[number])
    start = 0
    while start < len(order):
        size = max(1, budget // max(1, lengths[order[start]]))
        yield order[start : start + size]
        start += size


def _modes(pooling: str) -> tuple[str, ...]:
    modes = tuple(pooling.split("+"))
    if any(mode not in POOLINGS for mode in modes):
        raise InvalidInputError(f"unknown pooling {pooling!r}; there are {', '.join(POOLINGS)}")
    return modes
