"""What every embedder and reranker refuses."""

from __future__ import annotations

from collections.abc import Sequence

from memsdk.errors import InvalidInputError


def check_texts(texts: Sequence[str], *, taker: str = "an embedder") -> None:
    """Raise InvalidInputError unless each is a text that can be written as UTF-8."""
    if isinstance(texts, str):
        raise InvalidInputError(f"{taker} takes a list of texts, not one text; put it in a list")
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise InvalidInputError(f"{taker} takes texts; number {number} is of type {type(text).__name__}")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InvalidInputError(
                f"text number {number} holds a lone surrogate at {error.start}; clean it, for example with"
                " text.encode('utf-8', 'replace').decode()"
            ) from error
