"""Every architecture that transformers knows, by torch: on CPU or GPU, in float32 or bfloat16, pooled in float32."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import nn

from memsdk.embedding.folder import ModelFolder
from memsdk.embedding.pooling import pool
from memsdk.embedding.runtime import Runtime
from memsdk.embedding.weights import choose_device, load_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PretrainedConfig

    Vectors = NDArray[np.float32]


class TorchEngine:
    """A model on its device. Thread-safe; the weights are loaded once a process, however many engines use them."""

    def __init__(self, folder: ModelFolder, *, runtime: Runtime) -> None:
        """Load the model. Raises EmbedderError where it can't be loaded, or where the device is not there."""
        self.device = choose_device(runtime)
        if runtime.threads is not None:
            torch.set_num_threads(runtime.threads)
        self.model: nn.Module = load_weights(folder, device=self.device, dtype=runtime.precision)
        config = cast("PretrainedConfig", self.model.config)
        self.hidden = int(config.hidden_size)
        self.pad_id = int(getattr(config, "pad_token_id", None) or 0)

    def encode(self, ids: Sequence[Sequence[int]], *, modes: Sequence[str]) -> Vectors:
        """Unit vectors [B, hidden x modes] of these texts' token ids, which are padded to the longest."""
        with torch.inference_mode():
            states, mask = self._run(ids)
            pooled = pool(states, mask, modes=modes)
            return cast("Vectors", nn.functional.normalize(pooled, dim=1).cpu().numpy())

    def encode_many(
        self, batches: Sequence[Sequence[Sequence[int]]], *, modes: Sequence[str]
    ) -> list[Vectors]:
        """The vectors of each batch, one after another."""
        return [self.encode(ids, modes=modes) for ids in batches]

    def states(self, ids: Sequence[Sequence[int]]) -> list[Vectors]:
        """The last hidden states of each text, [t, hidden]."""
        with torch.inference_mode():
            found = self._run(ids)[0].cpu().numpy()
        return [states[: len(one)] for states, one in zip(found, ids, strict=True)]

    def _run(self, ids: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """The last hidden states [B, T, hidden] in float32, and the mask [B, T]."""
        width = max(1, *(len(one) for one in ids))
        padded = np.full((len(ids), width), self.pad_id, np.int64)
        mask = np.zeros((len(ids), width), np.int64)
        for row, one in enumerate(ids):
            padded[row, : len(one)] = one
            mask[row, : len(one)] = 1
        on_device = torch.from_numpy(mask).to(self.device)
        output = self.model(input_ids=torch.from_numpy(padded).to(self.device), attention_mask=on_device)
        return output.last_hidden_state.float(), on_device
