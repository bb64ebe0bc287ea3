"""Trained query encoders over an embedder whose stored vectors stay as they are: T0's residual map, T1's own weights.

A version's folder is in sentence-transformers' format; beside it lie `version.json`, which says what it is and what its
files' hashes are, and for T0 `adapter.safetensors`, the two small matrices.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import JsonValue

from memsdk.embedding.loading import load_embedder
from memsdk.embedding.runtime import Runtime
from memsdk.errors import EmbedderError, QueryVersionError
from memsdk.models import QueryVersion, Side, Task
from memsdk.ports import Embedder, EmbedderSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

DESCRIPTION = "version.json"
ADAPTER = "adapter.safetensors"
FORMAT = 1


class ResidualEmbedder:
    """Implements Embedder: q' = norm(q + U V q) for queries; keys are the base embedder's."""

    def __init__(self, base: Embedder, *, down: Vectors, up: Vectors, name: str) -> None:
        """Take the map in its two factors.

        Args:
            down: V, [r, d].
            up: U, [d, r].

        Raises:
            QueryVersionError: the shapes do not fit the base embedder.
        """
        rank, dims = down.shape
        if up.shape != (dims, rank) or dims != base.spec.dims:
            raise QueryVersionError(
                f"the residual map of {name} has shapes {up.shape} and {down.shape}, and the embedder gives"
                f" {base.spec.dims} numbers; train it again with `memsdk retrain`"
            )
        self._base, self._down, self._up = base, down, up
        self._spec = replace(base.spec, name=f"{base.spec.name}+{name}")

    @property
    def spec(self) -> EmbedderSpec:
        """The base embedder's: it decides the key vectors."""
        return self._spec

    def embed(self, texts: Sequence[str], *, task: Task, side: Side) -> Vectors:
        """Embed with the prefix of task and side: float32 [n, d], rows of unit length, in the order given."""
        vectors = self._base.embed(texts, task=task, side=side)
        return self.map(vectors) if side is Side.QUERY else vectors

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """As the base embedder does."""
        return self._base.count_tokens(texts)

    def map(self, queries: Vectors) -> Vectors:
        """The map itself: [n, d] unit vectors to [n, d] unit vectors."""
        moved = queries + (queries @ self._down.T) @ self._up.T
        mapped: Vectors = (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float32)
        return mapped


def load_query_version(
    folder: Path, version: QueryVersion, base: Embedder, *, runtime: Runtime | None = None
) -> Embedder:
    """The encoder of a version's folder, for queries beside the base embedder's stored vectors.

    Raises:
        QueryVersionError: the folder is gone, half there or changed, or is another version's.
    """
    described = read_description(folder)
    if described.get("id") != version.id or described.get("fingerprint") != version.fingerprint:
        raise QueryVersionError(
            f"{folder} holds the version {described.get('id')} for the vectors {described.get('fingerprint')}, not"
            f" {version.id} for {version.fingerprint}; {_cure(version.id)}"
        )
    if version.tier == "t0":
        from safetensors.numpy import load_file

        tensors = load_file(folder / ADAPTER)
        return ResidualEmbedder(base, down=tensors["down"], up=tensors["up"], name=version.id)
    try:
        loaded = load_embedder(folder, prefixes=base.spec.prefixes, runtime=runtime)
    except EmbedderError as error:
        raise QueryVersionError(f"the query version {version.id} can't be loaded: {error}") from error
    if loaded.spec.dims != base.spec.dims:
        raise QueryVersionError(
            f"the query version {version.id} gives {loaded.spec.dims} numbers, and the stored vectors have"
            f" {base.spec.dims}; {_cure(version.id)}"
        )
    return loaded


def read_description(folder: Path) -> dict[str, JsonValue]:
    """What `version.json` says, once every file that it names is there as it was written.

    Raises:
        QueryVersionError: something is missing or changed.
    """
    try:
        described = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        files = described["files"]
        for name, wanted in files.items():
            if file_hash(folder / name) != wanted:
                raise QueryVersionError(f"{folder / name} is not as it was published; {_cure(folder.name)}")
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise QueryVersionError(
            f"{folder} is no whole query version ({error}); {_cure(folder.name)}"
        ) from error
    return dict(described)


def file_hash(file: Path) -> str:
    """Its sha256."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _cure(version: str) -> str:
    return f"put its files back, or run `memsdk models rollback`, and then `memsdk models retire {version}`"
