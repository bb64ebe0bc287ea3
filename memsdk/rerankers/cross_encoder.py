"""A cross-encoder: query and text read together by a classifier of transformers (Nogueira and Cho, arXiv 1901.04085)."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from memsdk.embedding.inputs import check_texts
from memsdk.embedding.runtime import Runtime
from memsdk.errors import EmbedderError, RerankerError

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

_BATCH_TOKENS = 1_024
_MOST_TOKENS = 512  # where neither tokenizer nor config has a limit


class CrossEncoder:
    """Implements Reranker. Thread-safe. Loads its weights, and torch, when it first scores."""

    def __init__(self, folder: Path, *, runtime: Runtime | None = None) -> None:
        """Args: `folder` holds a sequence classifier with one label, or with two of which the second says relevant.

        Raises:
            RerankerError: there is no model in the folder.
        """
        if not (folder / "config.json").is_file():
            raise RerankerError(f"{folder} holds no config.json; name a folder of a sequence classifier")
        self._folder = folder
        self._runtime = runtime or Runtime()
        self._lock = threading.Lock()
        self._loaded: tuple[nn.Module, PreTrainedTokenizerBase, int] | None = None

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """The classifier's logit, of two labels their difference: any number. Text and query are cut to what it takes.

        Raises:
            InvalidInputError: something is not a text, or holds lone surrogates.
            RerankerError: the model can't be loaded.
        """
        check_texts([query], taker="a reranker")
        check_texts(texts, taker="a reranker")
        if not texts:
            return []
        import torch

        from memsdk.embedding.transformer import batches_of

        model, tokenizer, limit = self._open()
        pairs = tokenizer([query] * len(texts), list(texts), truncation=True, max_length=limit, padding=False)
        scores = [0.0] * len(texts)
        for batch in batches_of([len(one) for one in pairs["input_ids"]], budget=_BATCH_TOKENS):
            rows = {name: [values[number] for number in batch] for name, values in pairs.items()}
            padded = tokenizer.pad(rows, padding=True, return_tensors="pt")
            with torch.inference_mode():
                device = next(model.parameters()).device
                logits = model(**{name: value.to(device) for name, value in padded.items()}).logits.float()
            values = logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]
            for number, value in zip(batch, values.tolist(), strict=True):
                scores[number] = value
        return scores

    def _open(self) -> tuple[nn.Module, PreTrainedTokenizerBase, int]:
        with self._lock:
            if self._loaded is None:
                self._loaded = self._load()
            return self._loaded

    def _load(self) -> tuple[nn.Module, PreTrainedTokenizerBase, int]:
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        from memsdk.embedding.quiet import UNLOADABLE, quiet
        from memsdk.embedding.weights import choose_device

        try:
            with quiet():
                model, report = AutoModelForSequenceClassification.from_pretrained(
                    self._folder, local_files_only=True, trust_remote_code=False, output_loading_info=True,
                    dtype=getattr(torch, self._runtime.precision),
                )  # fmt: skip
                tokenizer = AutoTokenizer.from_pretrained(self._folder, local_files_only=True)
                model = model.to(choose_device(self._runtime)).eval().requires_grad_(False)
        except (*UNLOADABLE, EmbedderError) as error:
            raise RerankerError(f"{self._folder} can't be loaded by transformers: {error}") from error
        missing, labels = sorted(report["missing_keys"]), model.config.num_labels
        if missing or report["mismatched_keys"]:
            raise RerankerError(
                f"{self._folder} lacks weights such as {missing[:1]}; a cross-encoder has a trained head: name another"
            )
        if labels not in (1, 2):
            raise RerankerError(
                f"{self._folder} has {labels} labels, expected one or two; name another model"
            )
        positions = getattr(model.config, "max_position_embeddings", None) or _MOST_TOKENS
        limit = min(tokenizer.model_max_length, positions)  # the first is astronomical where nothing is said
        return cast("nn.Module", model), tokenizer, int(limit)
