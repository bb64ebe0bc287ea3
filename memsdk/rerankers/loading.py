"""Finds rerankers by name. Loads no torch until one scores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from memsdk.embedding.hub import fetch
from memsdk.embedding.runtime import Runtime
from memsdk.errors import EmbedderError, InvalidInputError, RerankerError
from memsdk.ports import Reranker
from memsdk.rerankers.chat import ChatReranker
from memsdk.rerankers.cross_encoder import CrossEncoder
from memsdk.rerankers.late import LateInteraction

LATE = "late"


def load_reranker(
    source: str | Path | Reranker,
    *,
    encoder: Callable[[], object],
    runtime: Runtime | None = None,
    allow_download: bool = False,
) -> Reranker:
    """The reranker of that name, or an object as it is.

    Args:
        source: `late`, a folder or hub id of a cross-encoder, the `http(s)://` address of an OpenAI-compatible server,
            or a Reranker.
        encoder: gives the store's embedder, for `late`.
        runtime: how a cross-encoder is run.
        allow_download: may a hub id be fetched from the network? If not, only what the hub's cache holds is found.

    Raises:
        RerankerError: it is not there.
        InvalidInputError: the name can't be used.
    """
    if not isinstance(source, str | Path):
        if not callable(getattr(source, "score", None)):
            raise InvalidInputError(
                f"a reranker is a name, a folder, a URL or a Reranker, not {type(source).__name__}"
            )
        return source
    text = str(source)
    if not text.strip() or "\0" in text:
        raise InvalidInputError(f"a reranker's name can't be {text!r}; leave it out for none")
    if text == LATE:
        return LateInteraction(encoder)
    if text.startswith(("http://", "https://")):
        return ChatReranker(text)
    folder = Path(source).expanduser()
    if not folder.is_dir():
        try:
            folder, _ = fetch(text, revision=None, allow_download=allow_download)
        except EmbedderError as error:
            raise RerankerError(str(error)) from error
    return CrossEncoder(folder.resolve(), runtime=runtime)
