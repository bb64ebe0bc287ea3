"""What turns texts into vectors, and what counts their tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from memsdk.models import Side, SparseVector, Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedderSpec:
    """What decides an embedder's vectors. Stored, so that a store can load its embedder again.

    Attributes:
        name: what a person calls it: a preset, a folder or a hub id.
        source: what loads it again: `packaged`, an absolute folder, or a hub id.
        revision: the hub revision, where there is one.
        weights: sha256 of the weight file(s).
        tokenizer: sha256 of the tokenizer file(s).
        pooling: `mean`, `cls`, ...
        normalize: whether vectors are scaled to unit length (memsdk always does; kept for the record).
        prefixes: task -> (query prefix, key prefix); a missing task has none.
    """

    name: str
    source: str
    revision: str | None = None
    weights: str
    tokenizer: str
    pooling: str
    dims: int
    max_tokens: int
    normalize: bool = True
    prefixes: Mapping[Task, tuple[str, str]] = field(default_factory=dict)


class Embedder(Protocol):
    """Texts to unit vectors. Thread-safe."""

    @property
    def spec(self) -> EmbedderSpec:
        """What decides this embedder's vectors."""

    def embed(self, texts: Sequence[str], *, task: Task, side: Side) -> Vectors:
        """Embed with the prefix of task and side: float32 [n, d], rows of unit length, in the order given."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has, without prefix, special tokens or truncation."""


@runtime_checkable
class TokenEmbedder(Protocol):
    """An encoder that shows what it makes of every token of a text. Thread-safe."""

    def embed_tokens(self, texts: Sequence[str]) -> list[Vectors]:
        """One unit vector a token of each text: float32 [t, d], without prefix or special tokens, in the order given.

        A text longer than the encoder takes is cut; one without any token has no rows.
        """


class LexicalText(NamedTuple):
    """A text whose BM25 vector enters a record's, times a weight.

    Attributes:
        pieces: what the text is made of, with a word's end between them: other texts may be made of the same.
        average_length: BM25's avgdl, in words.
        b: how much BM25 discounts long texts, 0 to 1.
    """

    pieces: tuple[str, ...]
    average_length: float
    b: float
    weight: float = 1.0


class LexicalEncoder(Protocol):
    """Texts to BM25 vectors; the index supplies the IDF."""

    def encode_keys(self, keys: Sequence[Sequence[LexicalText]]) -> list[SparseVector]:
        """Term weights of what is found: a vector a key, the weighted sum of those of its texts.

        Raises:
            InvalidInputError: a text has an average length or a `b` that BM25 can't do with, or holds lone surrogates.
        """

    def encode_query(self, text: str) -> SparseVector:
        """Term weights of what is asked; empty where the text holds stopwords only."""


class TokenCounter(Protocol):
    """Counts tokens as the agent's LLM would."""

    def count(self, text: str) -> int:
        """How many tokens the text has."""
