"""Embeddings by torch and transformers: sorted by length, batched by tokens, pooled and normalised in float32."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor, nn

from memsdk.embedding.folder import POOLINGS, ModelFolder
from memsdk.embedding.inputs import check_texts
from memsdk.embedding.prefixes import Prefixes, prefix_of
from memsdk.embedding.runtime import Runtime
from memsdk.embedding.weights import choose_device, load_tokenizer, load_weights
from memsdk.errors import EmbedderError, InvalidInputError
from memsdk.models import Side, Task
from memsdk.ports import EmbedderSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tokenizers import Tokenizer
    from transformers import PretrainedConfig

    Vectors = NDArray[np.float32]

_CPU_BATCH_TOKENS = 1_024  # more gains nothing on a CPU
_GPU_BATCH_TOKENS = 32_768


class TransformerEmbedder:
    """Implements Embedder. Thread-safe; the weights are loaded once a process, however many embedders use them."""

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
        runtime = runtime or Runtime()
        self._device = choose_device(runtime)
        self._modes = _modes(pooling or folder.pooling or "mean")
        if runtime.threads is not None:
            torch.set_num_threads(runtime.threads)
        self._model = load_weights(folder, device=self._device, dtype=runtime.dtype)
        config = cast("PretrainedConfig", self._model.config)
        self._folder = folder
        self._batch_tokens = runtime.batch_tokens or (
            _CPU_BATCH_TOKENS if self._device.type == "cpu" else _GPU_BATCH_TOKENS
        )
        self._tokenizer = load_tokenizer(folder)
        limit = folder.max_tokens if max_tokens is None else max_tokens
        least = self._tokenizer.num_special_tokens_to_add(False) + 1
        if limit < least or (folder.positions is not None and limit > folder.positions):
            raise InvalidInputError(
                f"max_tokens={limit} does not suit {name}: it takes from {least} to {folder.positions or 'any number'}"
            )
        self._tokenizer.enable_truncation(limit)
        self._pad_id = int(getattr(config, "pad_token_id", None) or 0)
        self._spec = EmbedderSpec(
            name=name,
            source=source,
            revision=revision,
            weights=folder.weights,
            tokenizer=folder.tokenizer,
            pooling="+".join(self._modes),
            dims=int(config.hidden_size) * len(self._modes),
            max_tokens=limit,
            prefixes=dict(folder.prefixes if prefixes is None else prefixes),
        )

    @property
    def spec(self) -> EmbedderSpec:
        """What decides this embedder's vectors."""
        return self._spec

    @property
    def model(self) -> nn.Module:
        """The encoder; shared by all embedders of these weights, so copy it before changing it."""
        return self._model

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
        for batch in _batches([len(one) for one in ids], budget=self._batch_tokens):
            vectors[batch] = self._embed_batch([ids[number] for number in batch])
        if not np.isfinite(vectors).all():
            raise EmbedderError(
                f"{self._spec.name} gave vectors that are not finite; load it with dtype='float32', or fetch it again"
            )
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
        return self._pad_id

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

    def _embed_batch(self, ids: Sequence[Sequence[int]]) -> Vectors:
        width = max(1, *(len(one) for one in ids))
        padded = np.full((len(ids), width), self._pad_id, np.int64)
        mask = np.zeros((len(ids), width), np.int64)
        for row, one in enumerate(ids):
            padded[row, : len(one)] = one
            mask[row, : len(one)] = 1
        with torch.inference_mode():
            on_device = torch.from_numpy(mask).to(self._device)
            output = self._model(
                input_ids=torch.from_numpy(padded).to(self._device), attention_mask=on_device
            )
            pooled = pool(output.last_hidden_state.float(), on_device, modes=self._modes)
            return cast("Vectors", nn.functional.normalize(pooled, dim=1).cpu().numpy())


def pool(states: Tensor, mask: Tensor, *, modes: Sequence[str]) -> Tensor:
    """One vector a text from one a token, as sentence-transformers does it; several modes are put side by side.

    Args:
        states: [B, T, d] float32, the last hidden states.
        mask: [B, T], 1 where a token is and 0 where padding is, which is on the right.
        modes: any of POOLINGS.
    """
    weights = mask.unsqueeze(-1).to(states.dtype)
    count = weights.sum(1).clamp(min=1e-9)
    pooled = []
    for mode in modes:
        match mode:
            case "cls":
                pooled.append(states[:, 0])
            case "lasttoken":
                last = (mask.sum(1) - 1).clamp(min=0)
                pooled.append(states[torch.arange(len(states), device=states.device), last])
            case "max":
                pooled.append(states.masked_fill(weights == 0, -1e9).amax(1))
            case "weightedmean":
                places = weights * torch.arange(1, states.shape[1] + 1, device=states.device)[None, :, None]
                pooled.append((states * places).sum(1) / places.sum(1).clamp(min=1e-9))
            case "mean_sqrt_len_tokens":
                pooled.append((states * weights).sum(1) / count.sqrt())
            case _:
                pooled.append((states * weights).sum(1) / count)
    return torch.cat(pooled, dim=1)


def _batches(lengths: Sequence[int], *, budget: int) -> Iterator[list[int]]:
    """Numbers of texts of like length, longest first, so that no batch is padded to more than `budget` tokens.

    >>> list(_batches([2, 9, 3], budget=6))
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
