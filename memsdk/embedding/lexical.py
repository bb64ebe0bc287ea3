"""BM25 vectors by Qdrant's own encoder: English stems and stopwords; letter pairs in scripts without spaces."""

from __future__ import annotations

import re
from collections.abc import Sequence

from qdrant_edge import Bm25, Bm25Config, TokenizerType

from memsdk.errors import InvalidInputError
from memsdk.models import SparseVector

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
        self._k, self._language = k, language
        self._key_models: dict[tuple[float, float], Bm25] = {}
        self._query_model = self._model(average_length=1.0, b=0.75)  # queries have no lengths: any will do

    def encode_keys(self, texts: Sequence[str], *, average_length: float, b: float) -> list[SparseVector]:
        """Term weights of texts that are found.

        Args:
            texts: each without limit of length.
            average_length: BM25's avgdl, in words.
            b: how much long texts are discounted, 0 to 1.

        Raises:
            InvalidInputError: a parameter is out of its range.
        """
        model = self._key_models.get((average_length, b))
        if model is None:
            model = self._key_models[average_length, b] = self._model(average_length=average_length, b=b)
        vectors = []
        for text in texts:
            if not text.isascii():
                _check(text)
                text = _UNSPACED.sub(_pairs_and_words, text)  # noqa: PLW2901 -- as the model shall read it
            vector = model.embed_document(text)
            vectors.append(_once(vector.indices, vector.values))
        return vectors

    def encode_query(self, text: str) -> SparseVector:
        """Term weights of what is asked; empty where the text holds stopwords only."""
        _check(text)
        vector = self._query_model.embed_query(_UNSPACED.sub(_pairs, text))
        return _once(vector.indices, vector.values)

    def _model(self, *, average_length: float, b: float) -> Bm25:
        try:
            return Bm25(
                Bm25Config(
                    k=self._k,
                    b=b,
                    avg_len=average_length,
                    tokenizer=TokenizerType.Word,
                    language=self._language,
                )
            )
        except (ValueError, TypeError) as error:
            raise InvalidInputError(f"BM25 can't be set up with these parameters: {error}") from error


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
