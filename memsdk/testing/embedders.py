"""An embedder without a model, for tests: deterministic in every process, instant, and similar for similar texts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from memsdk.embedding.inputs import check_texts
from memsdk.embedding.prefixes import NO_PREFIXES, Prefixes, prefix_of
from memsdk.errors import InvalidInputError
from memsdk.models import Side, Task
from memsdk.ports import EmbedderSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

_TOKEN = re.compile(r"\w+|[^\w\s]")
_WORD = re.compile(r"\w+")


class HashingEmbedder:
    """Implements Embedder: words and their letter triples, hashed to signed dimensions and summed.

    The name seeds the hashes: embedders of different names, dimensions or lengths have different specs and
    vectors. `load_embedder("hashing:32:256:other")` makes one from text, as do stores that were made with one.
    """

    def __init__(
        self,
        *,
        dims: int = 64,
        max_tokens: int = 256,
        name: str = "hashing",
        prefixes: Prefixes | None = None,
    ) -> None:
        """Take the length of the vectors, that of a text in words and signs, and the seed."""
        if dims < 1 or max_tokens < 1:
            raise InvalidInputError(f"dims and max_tokens are at least 1, not {dims} and {max_tokens}")
        self._spec = EmbedderSpec(
            name=f"hashing:{dims}:{max_tokens}:{name}",
            source=f"hashing:{dims}:{max_tokens}:{name}",
            weights=hashlib.sha256(f"hashing:{dims}:{name}".encode()).hexdigest(),
            tokenizer=hashlib.sha256(_TOKEN.pattern.encode()).hexdigest(),
            pooling="sum",
            dims=dims,
            max_tokens=max_tokens,
            prefixes=dict(NO_PREFIXES if prefixes is None else prefixes),
        )

    @property
    def spec(self) -> EmbedderSpec:
        """What decides this embedder's vectors."""
        return self._spec

    def embed(self, texts: Sequence[str], *, task: Task, side: Side) -> Vectors:
        """Embed with the prefix of task and side: float32 [n, d], rows of unit length, in the order given."""
        check_texts(texts)
        prefix = prefix_of(self._spec.prefixes, task=task, side=side)
        vectors = np.zeros((len(texts), self._spec.dims), np.float32)
        for number, text in enumerate(texts):
            vectors[number] = self._embed_one(text, prefix)
        return vectors

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many words and signs each text has."""
        return [len(_TOKEN.findall(text)) for text in texts]

    def _embed_one(self, text: str, prefix: str) -> Vectors:
        seed = self._spec.weights
        room = max(0, self._spec.max_tokens - len(_TOKEN.findall(prefix)))
        tokens = [token.lower() for token in _TOKEN.findall(text)[:room]]
        words = [token for token in tokens if _WORD.fullmatch(token)] or tokens
        vector = np.zeros(self._spec.dims, np.float32)
        for word in words:
            vector += _word_vector(seed, self._spec.dims, word)
        if prefix:
            vector += 0.3 * _hashed(seed, self._spec.dims, f"prefix {prefix}")
        length = float(np.linalg.norm(vector))
        if length < 1e-6:  # no words, or they cancel out
            vector = _hashed(seed, self._spec.dims, f"text {prefix}{text}")
            length = float(np.linalg.norm(vector))
        return (vector / length).astype(np.float32)


def hashing(argument: str, *, prefixes: Prefixes | None = None) -> HashingEmbedder:
    """The embedder of a source such as `hashing:64:256:name`, given what follows the first colon.

    Raises:
        InvalidInputError: the parts are not numbers of at least 1.
    """
    dims, max_tokens, name = [*argument.split(":", 2), "", "", ""][:3]
    try:
        return HashingEmbedder(
            dims=int(dims or 64), max_tokens=int(max_tokens or 256), name=name or "hashing", prefixes=prefixes
        )
    except ValueError as error:
        raise InvalidInputError(
            f"a hashing embedder is named hashing:DIMS:MAX_TOKENS:NAME, not 'hashing:{argument}'"
        ) from error


@lru_cache(maxsize=65_536)
def _word_vector(seed: str, dims: int, word: str) -> Vectors:
    """A word and, at a lower weight, its letter triples, so that forms of one word are close."""
    padded = f"<{word}>"
    triples = [padded[start : start + 3] for start in range(max(1, len(padded) - 2))]
    vector = _hashed(seed, dims, f"word {word}")
    for triple in triples:
        vector = vector + _hashed(seed, dims, f"triple {triple}") * np.float32(0.6 / len(triples) ** 0.5)
    return vector


def _hashed(seed: str, dims: int, feature: str) -> Vectors:
    """Four signed ones at places that the feature's hash decides."""
    digest = hashlib.blake2b(feature.encode(), digest_size=16, key=seed[:32].encode()).digest()
    vector = np.zeros(dims, np.float32)
    for start in range(0, 16, 4):
        number = int.from_bytes(digest[start : start + 4], "little")
        vector[(number >> 1) % dims] += 0.5 if number & 1 else -0.5
    return vector
