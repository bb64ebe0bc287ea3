"""A folder's tokenizer, by the tokenizers package alone where the folder has a tokenizer.json."""

from __future__ import annotations

from tokenizers import Tokenizer

from memsdk.embedding.folder import ModelFolder
from memsdk.errors import EmbedderError


def load_tokenizer(folder: ModelFolder) -> Tokenizer:
    """The folder's tokenizer, without the truncation and padding that some have baked in. Raises EmbedderError."""
    file = folder.transformer / "tokenizer.json"
    try:
        if file.is_file():
            tokenizer = Tokenizer.from_buffer(file.read_bytes())
        else:
            from memsdk.embedding.weights import convert_tokenizer  # transformers: only for old folders

            tokenizer = convert_tokenizer(folder)
    except (OSError, ValueError, RuntimeError, KeyError, AttributeError, ImportError) as error:
        raise EmbedderError(f"the tokenizer in {folder.transformer} can't be loaded: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
