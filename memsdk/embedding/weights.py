"""Weights off the disk into torch: quietly, completely, and each once a process."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Sequence
from weakref import WeakValueDictionary

import torch
import transformers
from tokenizers import Tokenizer
from torch import nn

from memsdk.embedding.folder import ModelFolder
from memsdk.embedding.quiet import UNLOADABLE, quiet
from memsdk.embedding.runtime import Runtime
from memsdk.embedding.tokenizing import load_tokenizer
from memsdk.errors import EmbedderError

__all__ = ["choose_device", "convert_tokenizer", "load_tokenizer", "load_weights"]

_weights: WeakValueDictionary[tuple[str, ...], nn.Module] = WeakValueDictionary()
_recent: deque[nn.Module] = deque(
    maxlen=2
)  # stay loaded while no embedder uses them: stores are closed and reopened
_weights_lock = threading.Lock()


def choose_device(runtime: Runtime) -> torch.device:
    """The device that the settings ask for. Raises EmbedderError where there is none."""
    if runtime.device == "cpu" or (runtime.device == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise EmbedderError("device='cuda' was asked for, but torch sees no CUDA device; use device='auto'")
    return torch.device("cuda")


def load_weights(folder: ModelFolder, *, device: torch.device, dtype: str) -> nn.Module:
    """The folder's encoder, ready for inference; the same object for the same weights. Raises EmbedderError."""
    key = (folder.weights, folder.config, str(device), dtype)
    with _weights_lock:
        model = _weights.get(key)
        if model is None:
            with quiet():
                model = (
                    _read_weights(folder, dtype=getattr(torch, dtype)).to(device).eval().requires_grad_(False)
                )
            _weights[key] = model
        if model not in _recent:
            _recent.append(model)
        return model


def _read_weights(folder: ModelFolder, *, dtype: torch.dtype) -> nn.Module:
    """The encoder without the pooling layer on top that some have; nothing may be missing from the file."""

    def load(**options: bool) -> tuple[nn.Module, dict[str, Sequence[str]]]:
        loaded: tuple[nn.Module, dict[str, Sequence[str]]] = transformers.AutoModel.from_pretrained(
            folder.transformer, dtype=dtype, local_files_only=True, trust_remote_code=False,
            output_loading_info=True, **options)  # fmt: skip
        return loaded

    try:
        try:
            model, report = load(add_pooling_layer=False)
        except TypeError:  # an architecture that has no such layer
            model, report = load()
    except UNLOADABLE as error:
        raise EmbedderError(f"{folder.transformer} can't be loaded by transformers: {error}") from error
    missing = [name for name in report["missing_keys"] if "pooler" not in name]
    if missing or report["mismatched_keys"]:
        raise EmbedderError(
            f"the weights in {folder.transformer} do not fit its config.json: {len(missing)} are missing, such as"
            f" {missing[:1]}; fetch the model again"
        )
    return model


def convert_tokenizer(folder: ModelFolder) -> Tokenizer:
    """A fast tokenizer made of an old folder's vocabulary. Raises what transformers raises."""
    with quiet():
        slow = transformers.AutoTokenizer.from_pretrained(folder.transformer, local_files_only=True)
    converted: Tokenizer = slow.backend_tokenizer
    return converted


def _after_fork_in_child() -> None:
    """OpenMP hangs in a forked child that asks for several threads."""
    _weights_lock.release()
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):  # no fork happens halfway through a load: the child would wait for ever
    os.register_at_fork(
        before=_weights_lock.acquire,
        after_in_parent=_weights_lock.release,
        after_in_child=_after_fork_in_child,
    )
