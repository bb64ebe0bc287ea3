"""Late interaction: each token of the query looks for its like among a text's tokens, by the encoder that is there anyway.

Nothing is stored for it: the texts are encoded when they are asked about.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from memsdk.embedding.inputs import check_texts
from memsdk.errors import RerankerError
from memsdk.ports import TokenEmbedder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]


class LateInteraction:
    """Implements Reranker."""

    def __init__(self, encoder: Callable[[], object]) -> None:
        """Args: `encoder` gives a TokenEmbedder, and is asked each time, as a store may change its embedder."""
        self._encoder = encoder

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """The mean over the query's tokens of the best cosine with a token of the text, -1 to 1.

        Raises:
            InvalidInputError: something is not a text, or holds lone surrogates.
            RerankerError: the encoder shows no tokens.
        """
        check_texts([query], taker="a reranker")
        check_texts(texts, taker="a reranker")
        encoder = self._encoder()
        if not isinstance(encoder, TokenEmbedder):
            raise RerankerError(
                f"late interaction needs an embedder with `embed_tokens`, and {type(encoder).__name__} has none; open the"
                " store with another reranker, or with the folder of a transformer as its embedder"
            )
        asked, *read = encoder.embed_tokens([query, *texts])
        return [max_similarity(asked, one) for one in read]


def max_similarity(query: Vectors, text: Vectors) -> float:
    """MaxSim of ColBERT (Khattab and Zaharia, SIGIR 2020, section 3.3), as a mean: lengths of queries don't matter then.

    Args:
        query: [q, d] unit vectors.
        text: [t, d] unit vectors.

    Returns:
        -1 to 1; the least where either has no token.
    """
    if not len(query) or not len(text):
        return -1.0
    return float((query @ text.T).max(1).mean())
