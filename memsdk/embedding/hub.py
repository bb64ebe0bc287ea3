"""Models by hub id: from the hub's cache, and from the network only where the caller allows it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from memsdk.errors import EmbedderError, InvalidInputError

_SMALL = ["*.json", "*.txt", "*.model", "1_Pooling/*"]
_WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")
_ID = re.compile(r"[\w][\w.-]*(/[\w][\w.-]*)?")


def fetch(name: str, *, revision: str | None, allow_download: bool) -> tuple[Path, str | None]:
    """The folder of a hub id's files and the commit they are of.

    Raises:
        EmbedderError: it is neither cached nor to be downloaded; said at once, without retries.
        InvalidInputError: this can't be a hub id.
    """
    if not _ID.fullmatch(name):
        raise InvalidInputError(f"there is no folder {name!r}, and it is no hub id such as BAAI/llm-embedder")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    def snapshot(patterns: list[str], *, local: bool) -> Path:
        return Path(snapshot_download(
            name, revision=revision, allow_patterns=patterns, local_files_only=local, etag_timeout=5))  # fmt: skip

    try:
        folder = snapshot([*_SMALL, *_WEIGHTS], local=True)
        if _has_weights(folder):
            return folder, folder.name
    except LocalEntryNotFoundError:
        pass  # not cached: whether it may be downloaded is decided below
    except HFValidationError as error:
        raise InvalidInputError(f"there is no folder {name!r}, and it is no hub id: {error}") from error
    if not allow_download:
        raise EmbedderError(
            f"{name} is not in the hub's cache, and downloads are not allowed here; {_cure(name)}"
        )
    try:
        for weights in _WEIGHTS:
            folder = snapshot([*_SMALL, weights], local=False)
            if _has_weights(folder):
                return folder, folder.name
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise EmbedderError(f"{name} can't be downloaded ({type(error).__name__}); {_cure(name)}") from error
    raise EmbedderError(f"{name} holds no weights that transformers can read; name another model")


def _has_weights(folder: Path) -> bool:
    return any(any(folder.glob(pattern)) for pattern in _WEIGHTS)


def _cure(name: str) -> str:
    offline = " unset HF_HUB_OFFLINE and" if os.environ.get("HF_HUB_OFFLINE") else ""
    return (
        f"where there is a network,{offline} pass allow_download=True; else run `hf download {name}` where there is one"
        " and copy what it made in ~/.cache/huggingface/hub here, or download with --local-dir and name that folder"
    )
