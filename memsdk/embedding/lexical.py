"""BM25 vectors by Qdrant's own encoder: English stems and stopwords; letter pairs in scripts without spaces."""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Sequence
from itertools import chain, pairwise
from typing import TYPE_CHECKING

import numpy as np
from qdrant_edge import Bm25, Bm25Config, TokenizerType

from memsdk.errors import InvalidInputError
from memsdk.models import SparseVector
from memsdk.ports import LexicalText

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]
    Floats = NDArray[np.float64]

UNSATURATED = 1e6
"""A BM25 `k` with which a term weighs almost as often as it occurs."""

# Thai, Lao, Burmese, Khmer, kana, Han. Qdrant's word tokenizer makes one token of a whole sentence in these. Its
# multilingual one drops numbers and cuts a word otherwise alone than in a sentence, so that a query of one word
# misses. Overlapping pairs of letters need no dictionary and are the same everywhere.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]+"
)
_HAN = re.compile(
    "[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)  # one letter can be a word


class Bm25Encoder:
    """Implements LexicalEncoder. Holds no state but its settings and models, so threads can share it."""

    def __init__(self, *, k: float = 1.2, language: str = "english") -> None:
        """Take BM25's saturation `k` and the language of stemmer and stopwords.

        Raises:
            InvalidInputError: a parameter is out of its range or the language is unknown.
        """
        self._k = k
        self._query_model = _model(k=k, language=language)
        self._counter = _model(k=UNSATURATED, language=language)

    def encode_keys(self, keys: Sequence[Sequence[LexicalText]]) -> list[SparseVector]:
        """Term weights of what is found, as the port says. A piece that several texts share is read once.

        In a text, a term that occurs tf times weighs tf (k + 1) / (tf + k (1 - b + b length / average_length)) (Robertson and
        Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009), as Qdrant computes it. All keys at once take
        two thirds of the time of each text by itself, as a turn is part of several others' texts.
        """
        texts = list(chain.from_iterable(keys))
        for text in texts:
            if not (0 < text.average_length < math.inf and 0 <= text.b <= 1):
                raise InvalidInputError(
                    f"BM25 can't be set up with average_length={text.average_length} and b={text.b}"
                )
        text_of, terms, tf = self._count(texts)
        lengths = np.bincount(text_of, tf, len(texts))
        text_of, terms, tf = _summed(text_of, terms, tf)
        average, b, weight = np.array([text[1:] for text in texts]).reshape(-1, 3).T
        full, half = weight * (self._k + 1), self._k * (1 - b + b * lengths / average)
        values = full[text_of] * tf / (tf + half[text_of])
        key_of = np.repeat(np.arange(len(keys)), np.array([len(key) for key in keys], np.int64))
        key_of, terms, values = _summed(key_of[text_of], terms, values)
        indices, weights = array("I", terms.astype("I").tobytes()), array("f", values.astype("f").tobytes())
        bounds = np.searchsorted(key_of, np.arange(len(keys) + 1)).tolist()
        return [SparseVector(indices[start:end], weights[start:end]) for start, end in pairwise(bounds)]

    def encode_query(self, text: str) -> SparseVector:
        """Term weights of what is asked; empty where the text holds stopwords only."""
        _check(text)
        vector = self._query_model.embed_query(_UNSPACED.sub(_pairs, text))
        return _once(vector.indices, vector.values)

    def _count(self, texts: Sequence[LexicalText]) -> tuple[Integers, Integers, Floats]:
        """The terms of each text's pieces in turn: which text, which term, and how often the piece has it."""
        terms: list[int] = []
        weights: list[float] = []
        places: dict[str, slice] = {}
        for piece in dict.fromkeys(chain.from_iterable(text.pieces for text in texts)):
            start, vector = len(terms), self._counter.embed_document(_readable(piece))
            terms += vector.indices
            weights += vector.values
            places[piece] = slice(start, len(terms))
        weighed, named = np.array(weights), np.array(terms, np.int64)
        counts = np.rint(weighed * UNSATURATED / (UNSATURATED + 1 - weighed))  # the formula, solved for tf
        taken = [[places[piece] for piece in text.pieces] for text in texts]
        sizes = [sum([place.stop - place.start for place in some]) for some in taken]
        flat = list(chain.from_iterable(taken))
        return (
            np.repeat(np.arange(len(texts)), np.array(sizes, np.int64)),
            np.concatenate([named[place] for place in flat]) if flat else named,
            np.concatenate([counts[place] for place in flat]) if flat else counts,
        )


def _model(*, k: float, language: str) -> Bm25:
    """Qdrant's encoder for texts whose length says nothing: queries, and terms that are only counted."""
    try:
        return Bm25(Bm25Config(k=k, b=0.0, avg_len=1.0, tokenizer=TokenizerType.Word, language=language))
    except (ValueError, TypeError) as error:
        raise InvalidInputError(f"BM25 can't be set up with these parameters: {error}") from error


def _summed(group_of: Integers, terms: Integers, values: Floats) -> tuple[Integers, Integers, Floats]:
    """By group and term, each once: the sum of its values."""
    both = group_of << 32 | terms
    order = np.argsort(both)
    both = both[order]
    if not len(both):
        return group_of, terms, values
    first = np.flatnonzero(np.concatenate(([True], both[1:] != both[:-1])))
    summed = np.add.reduceat(values[order], first)
    return both[first] >> 32, both[first] & 0xFFFFFFFF, summed


def _readable(text: str) -> str:
    """The text as the model shall read it."""
    if text.isascii():
        return text
    _check(text)
    return _UNSPACED.sub(_pairs_and_words, text)


def _pairs(stretch: re.Match[str]) -> str:
    """Overlapping pairs: `abc` is ` ab bc `; one letter alone stays."""
    letters = stretch.group()
    pairs = [letters[start : start + 2] for start in range(max(1, len(letters) - 1))]
    return f" {' '.join(pairs)} "


def _pairs_and_words(stretch: re.Match[str]) -> str:
    """The pairs and, so that a query of one letter finds it, every letter that can be a word."""
    letters = stretch.group()
    return _pairs(stretch) + (" ".join(_HAN.findall(letters)) + " " if len(letters) > 1 else "")


def _check(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            f"the text holds a lone surrogate at {error.start}; clean it first"
        ) from error


def _once(indices: Sequence[int], values: Sequence[float]) -> SparseVector:
    """Each index once, in the engine's order, which is by index: two words can share a hash."""
    if len(set(indices)) == len(indices):
        return SparseVector(indices, values)
    weights: dict[int, float] = {}
    for index, value in zip(indices, values, strict=True):
        weights[index] = max(value, weights.get(index, value))
    return SparseVector(list(weights), list(weights.values()))
