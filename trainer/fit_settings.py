"""What a person says of a training, in a line of arguments, as settings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from memsdk.embedding.loading import load_embedder
from memsdk.errors import InvalidInputError
from memsdk.trainer.folders import base_folder
from memsdk.trainer.full import FullSettings
from memsdk.trainer.loop import LoopSettings, SelfPaced
from memsdk.trainer.tasks import preset, shortened

LONGEST = 8_192


def full_settings(
    name: str,
    *,
    batch: int,
    group: int | None,
    max_tokens: int | None,
    rate: float,
    anchor: float,
    self_paced: SelfPaced,
    accumulate: int,
    seed: int,
    device: str,
) -> FullSettings:
    """The named preset with these changes. On a CPU gradients are cached, chunk by chunk, to keep memory small.

    Raises:
        InvalidInputError: there is no such preset.
    """
    table = preset(name)
    most = LONGEST if max_tokens is None else max_tokens
    table = shortened(table, query_tokens=most, key_tokens=most, group=LONGEST)
    if group is not None:
        table = {task: replace(config, group=group) for task, config in table.items()}
    on_gpu = device.startswith("cuda")
    return FullSettings(
        loop=LoopSettings(steps=1, learning_rate=rate, self_paced=self_paced, accumulate=accumulate, seed=seed), table=table, batch=batch, anchor=anchor,
        chunk_tokens=32_768 if on_gpu else 1_024, cached=not on_gpu,
    )  # fmt: skip


def chosen_device(name: str) -> str:
    """`cuda` or `cpu` for `auto`. Raises InvalidInputError where there is no such device."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise InvalidInputError(
            "torch sees no CUDA device; leave --device out, or install torch for your GPU"
        )
    return name


def chosen_base(name: str) -> Path:
    """The folder of a model that is on this machine. Raises EmbedderError, InvalidInputError."""
    folder = base_folder(load_embedder(name))
    if folder is None:
        raise InvalidInputError(
            f"{name} is no model with weights; name a folder in sentence-transformers' format"
        )
    return folder
