"""An encoder that can be trained: a model folder's weights with gradients, its tokenizer and its pooling."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn

from memsdk.embedding.folder import POOLINGS, ModelFolder, read_folder
from memsdk.embedding.pooling import pool
from memsdk.embedding.tokenizing import load_tokenizer
from memsdk.embedding.weights import load_weights
from memsdk.errors import InvalidInputError

TokenIds = Sequence[int]


class TrainableEncoder(nn.Module):
    """Token ids in, unit vectors out, with gradients. The folder's own files are never changed.

    Vectors are the same as memsdk's embedder and sentence-transformers give from the same folder.
    """

    def __init__(
        self,
        folder: Path,
        *,
        device: str = "cpu",
        bf16: bool = False,
        pooling: str | None = None,
        model: nn.Module | None = None,
    ) -> None:
        """Load a sentence-transformers or transformers folder.

        Args:
            bf16: compute in bfloat16 where autocast finds it safe; the weights and the optimizer stay in float32.
            pooling: for folders that do not say, and instead of what they say.
            model: trained instead of a copy of the folder's weights: the same architecture, such as one with LoRA.

        Raises:
            EmbedderError: the folder can't be loaded.
            InvalidInputError: an unknown pooling.
        """
        super().__init__()
        self.folder: ModelFolder = read_folder(folder)
        modes = (pooling or self.folder.pooling or "mean").split("+")
        if any(mode not in POOLINGS for mode in modes):
            raise InvalidInputError(f"unknown pooling {'+'.join(modes)!r}; there are {', '.join(POOLINGS)}")
        self.pooling = "+".join(modes)
        self.device = torch.device(device)
        self.bf16 = bf16
        if model is None:
            shared = load_weights(self.folder, device=torch.device("cpu"), dtype="float32")
            model = copy.deepcopy(shared).requires_grad_(True)
        self.model: nn.Module = model.to(self.device)
        self._tokenizer = load_tokenizer(self.folder)
        self._pad = int(getattr(self.model.config, "pad_token_id", None) or 0)

    def lighten(self, *, layers: int) -> None:
        """For a CPU: train the layers above so many alone, and without dropout; no gradient goes further down."""
        for module in self.model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        stack = next(module for module in self.model.modules() if isinstance(module, nn.ModuleList))
        self.model.requires_grad_(False)
        stack[layers:].requires_grad_(True)

    def token_ids(self, texts: Sequence[str], *, prefix: str = "", max_tokens: int) -> list[list[int]]:
        """Each text's ids with its prefix, special tokens included, cut on the right to `max_tokens`."""
        self._tokenizer.enable_truncation(min(max_tokens, self.folder.positions or max_tokens))
        lower = self.folder.lowercase
        whole = [(prefix + text).lower() if lower else prefix + text for text in texts]
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(whole)]

    def forward(self, ids: Sequence[TokenIds]) -> Tensor:
        """[n, d] float32 unit vectors of n texts, padded to the longest."""
        width = max(len(one) for one in ids)
        padded = torch.full((len(ids), width), self._pad, dtype=torch.int64)
        mask = torch.zeros(len(ids), width, dtype=torch.int64)
        for row, one in enumerate(ids):
            padded[row, : len(one)] = torch.tensor(one)
            mask[row, : len(one)] = 1
        padded, mask = self._to_device(padded), self._to_device(mask)
        with self._precision():
            states: Tensor = self.model(input_ids=padded, attention_mask=mask).last_hidden_state
        pooled = pool(states.float(), mask, modes=self.pooling.split("+"))
        return nn.functional.normalize(pooled, dim=1)

    def embed(self, ids: Sequence[TokenIds], *, batch_tokens: int) -> Tensor:
        """[n, d] vectors without gradients and without dropout, on the CPU; texts of like length go together."""
        was_training = self.training
        self.eval()
        found: list[Tensor] = []
        order: list[int] = []
        with torch.inference_mode():
            for places in by_length(ids, batch_tokens=batch_tokens):
                found.append(self([ids[place] for place in places]))
                order += places
        self.train(was_training)
        vectors = torch.empty(len(ids), found[0].shape[1] if found else 0)
        if found:
            vectors[order] = torch.cat(found).cpu()
        return vectors

    def state(self) -> dict[str, Tensor]:
        """A copy of the weights, on the CPU."""
        return {name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take these weights."""
        self.model.load_state_dict(dict(state))

    def _to_device(self, tensor: Tensor) -> Tensor:
        if self.device.type == "cpu":
            return tensor
        return tensor.pin_memory().to(self.device, non_blocking=True)

    def _precision(self) -> AbstractContextManager[object]:
        return torch.autocast(self.device.type, torch.bfloat16) if self.bf16 else nullcontext()


def by_length(ids: Sequence[TokenIds], *, batch_tokens: int) -> list[list[int]]:
    """Places of texts of like length, longest first, so that no chunk is padded to more than `batch_tokens`.

    >>> by_length([[1, 2], [1] * 9, [1, 2, 3]], batch_tokens=6)
    [[1], [2, 0]]
    """
    order = sorted(range(len(ids)), key=lambda place: -len(ids[place]))
    chunks, start = [], 0
    while start < len(order):
        size = max(1, batch_tokens // max(1, len(ids[order[start]])))
        chunks.append(order[start : start + size])
        start += size
    return chunks
