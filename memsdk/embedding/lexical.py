"""BM25 vectors by Qdrant's own encoder: English stems and stopwords, and words found in scripts without spaces."""

from __future__ import annotations

import re
from collections.abc import Sequence

from qdrant_edge import Bm25, Bm25Config, TokenizerType

from memsdk.errors import InvalidInputError
from memsdk.models import SparseVector

# Thai, Lao, Burmese, Khmer, kana, Han: the word tokenizer makes one token of a whole sentence in these. The
# multilingual one cuts them into words but drops numbers, so it is given these stretches only.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]+"
)


class Bm25Encoder:
    """Implements LexicalEncoder. Holds no state but its settings, so threads can share it."""

    def __init__(self, *, k: float = 1.2, b: float = 0.75, language: str = "english") -> None:
        """Take BM25's saturation `k` and length normalisation `b` (0 to 1).

        Raises:
            InvalidInputError: a parameter is out of its range or the language is unknown.
        """
        self._k, self._b, self._language = k, b, language
        self._query_models = self._models(average_length=1.0)

    def encode_keys(self, texts: Sequence[str], *, average_length: float) -> list[SparseVector]:
        """Term weights of texts that are found; `average_length` is BM25's avgdl, in words."""
        models = self._models(average_length=average_length)
        return [self._encode(text, models, is_query=False) for text in texts]

    def encode_query(self, text: str) -> SparseVector:
        """Term weights of what is asked; empty where the text holds stopwords only."""
        return self._encode(text, self._query_models, is_query=True)

    def _models(self, *, average_length: float) -> tuple[Bm25, Bm25]:
        def model(tokenizer: TokenizerType) -> Bm25:
            return Bm25(
                Bm25Config(
                    k=self._k, b=self._b, avg_len=average_length, tokenizer=tokenizer, language=self._language
                )
            )

        try:
            return model(TokenizerType.Word), model(TokenizerType.Multilingual)
        except (ValueError, TypeError) as error:
            raise InvalidInputError(f"BM25 can't be set up with these parameters: {error}") from error

    @staticmethod
    def _encode(text: str, models: tuple[Bm25, Bm25], *, is_query: bool) -> SparseVector:
        words, unspaced = models
        stretches = " ".join(_UNSPACED.findall(text)) if not text.isascii() else ""
        parts = [(words, _UNSPACED.sub(" ", text)), (unspaced, stretches)] if stretches else [(words, text)]
        weights: dict[int, float] = {}
        for model, part in parts:
            try:
                vector = model.embed_query(part) if is_query else model.embed_document(part)
            except UnicodeEncodeError as error:
                raise InvalidInputError(
                    f"the text holds a lone surrogate at {error.start}; clean it first"
                ) from error
            for index, value in zip(vector.indices, vector.values, strict=True):
                weights[index] = max(value, weights.get(index, 0.0))  # two words can share a hash
        indices = sorted(weights)
        return SparseVector(indices, [weights[index] for index in indices])
