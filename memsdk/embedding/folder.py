"""What a model folder says of itself: sentence-transformers' layout or plain transformers. Reads no weights but to hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path

from pydantic import JsonValue

from memsdk.embedding.prefixes import Prefixes
from memsdk.errors import EmbedderError
from memsdk.models import Task

POOLINGS = ("mean", "cls", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
_TOKENIZER_FILES = ("vocab.txt", "vocab.json", "merges.txt", "spiece.model", "sentencepiece.bpe.model",
                    "tokenizer.model", "tokenizer_config.json")  # fmt: skip
_LEGACY_POOLINGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}

_hashes: dict[tuple[str, int, int], str] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFolder:
    """One model on disk.

    Attributes:
        transformer: where the weights, config and tokenizer lie.
        weights, tokenizer: sha256 of the files.
        config: sha256 of config.json.
        pooling: one of POOLINGS, or several joined with "+"; None where the folder does not say.
        max_tokens: the longest text, special tokens included.
        positions: the longest that the model can take at all; None where it has no such limit.
        lowercase: whether texts are lower-cased before the tokenizer sees them.
    """

    path: Path
    transformer: Path
    weights: str
    tokenizer: str
    config: str
    pooling: str | None
    max_tokens: int
    positions: int | None
    lowercase: bool
    prefixes: Prefixes


def read_folder(path: Path) -> ModelFolder:
    """Read what decides a folder's vectors.

    Raises:
        EmbedderError: something is missing, unreadable, or of a sort that memsdk does not compute.
    """
    if not (path / "config.json").is_file() and not (path / "modules.json").is_file():
        raise EmbedderError(
            f"{path} holds no model: there is neither config.json (transformers) nor modules.json (sentence-transformers)"
        )
    transformer, pooling_at = _modules(path)
    settings = _read_json(transformer / "sentence_bert_config.json")
    lowercase = settings.get("do_lower_case") is True
    positions = _positions(transformer)
    return ModelFolder(
        path=path,
        transformer=transformer,
        weights=_hash_all(_weight_files(transformer)),
        tokenizer=_hash_all(_tokenizer_files(transformer)) + (":lowercase" if lowercase else ""),
        config=_hash(_required(transformer / "config.json")),
        pooling=None if pooling_at is None else _pooling(pooling_at),
        max_tokens=_max_tokens(transformer, settings, positions),
        positions=positions,
        lowercase=lowercase,
        prefixes=_prefixes(_read_json(path / "config_sentence_transformers.json")),
    )


def read_config(folder: ModelFolder) -> dict[str, JsonValue]:
    """Its config.json. Raises EmbedderError."""
    return _read_json(folder.transformer / "config.json")


def _modules(path: Path) -> tuple[Path, Path | None]:
    """The folders of the transformer and of the pooling module."""
    if not (path / "modules.json").is_file():
        return path, None
    modules = _parse(path / "modules.json")
    if not isinstance(modules, list):
        raise EmbedderError(f"{path / 'modules.json'} is not a list of modules; fetch the model again")
    listed = [module for module in modules if isinstance(module, dict)]
    found = [
        (str(module.get("type", "")).rpartition(".")[2], str(module.get("path", ""))) for module in listed
    ]
    names = [name for name, _ in found]
    if names not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise EmbedderError(
            f"{path} is made of the modules {', '.join(names) or '(none)'}; memsdk computes Transformer, Pooling and"
            " Normalize in that order. Wrap other models in an Embedder of your own (entry point memsdk.embedders)"
        )
    return path / found[0][1], path / found[1][1]


def _pooling(folder: Path) -> str:
    config = _read_json(folder / "config.json")
    mode = config.get("pooling_mode")
    if mode is None:
        mode = [name for key, name in _LEGACY_POOLINGS.items() if config.get(key)]
    modes = mode if isinstance(mode, list) else [mode]
    if not modes or any(name not in POOLINGS for name in modes):
        raise EmbedderError(f"{folder} names the pooling {mode!r}; there are {', '.join(POOLINGS)}")
    if config.get("include_prompt") is False:
        raise EmbedderError(f"{folder} leaves the prompt out of the pooling, which memsdk does not compute")
    return "+".join(str(name) for name in modes)


def _positions(transformer: Path) -> int | None:
    config = _read_json(transformer / "config.json")
    positions = config.get("max_position_embeddings")
    if not isinstance(positions, int) or positions < 1:
        return None
    counted_from_padding = config.get("model_type") in ("roberta", "xlm-roberta", "camembert", "mpnet")
    return positions - 2 if counted_from_padding else positions


def _max_tokens(transformer: Path, settings: Mapping[str, JsonValue], positions: int | None) -> int:
    """The limit of sentence-transformers, else the tokenizer's, never above the positions that the model has."""
    limits = [
        settings.get("max_seq_length"),
        _read_json(transformer / "tokenizer_config.json").get("model_max_length"),
        positions,
    ]
    known = [limit for limit in limits if isinstance(limit, int) and 0 < limit < 1_000_000]
    return min(known, default=512)


def _prefixes(config: Mapping[str, JsonValue]) -> Prefixes:
    """The prompts of a folder: `chat.query` and `chat.key` for one task, `query` and `document` for all."""
    prompts = config.get("prompts")
    named = (
        {name: text for name, text in prompts.items() if isinstance(text, str)}
        if isinstance(prompts, dict)
        else {}
    )
    always = named.get(str(config.get("default_prompt_name")), "")

    def first(*names: str) -> str:
        return next((named[name] for name in names if name in named), always)

    pairs = {
        task: (
            first(f"{task}.query", "query"),
            first(f"{task}.key", f"{task}.document", "key", "document", "passage"),
        )
        for task in Task
    }
    return {task: pair for task, pair in pairs.items() if any(pair)}


def _weight_files(transformer: Path) -> Sequence[Path]:
    """The files that transformers would load: safetensors first, whole or in shards."""
    for single, index in (
        ("model.safetensors", "model.safetensors.index.json"),
        ("pytorch_model.bin", "pytorch_model.bin.index.json"),
    ):
        if (transformer / single).is_file():
            return [transformer / single]
        if (transformer / index).is_file():
            shards = _read_json(transformer / index).get("weight_map")
            names = sorted({str(name) for name in shards.values()}) if isinstance(shards, dict) else []
            return [_required(transformer / name) for name in names]
    raise EmbedderError(
        f"{transformer} holds no weights (model.safetensors or pytorch_model.bin); fetch them again"
    )


def _tokenizer_files(transformer: Path) -> Sequence[Path]:
    if (transformer / "tokenizer.json").is_file():
        return [transformer / "tokenizer.json"]
    files = [transformer / name for name in _TOKENIZER_FILES if (transformer / name).is_file()]
    if not files:
        raise EmbedderError(
            f"{transformer} holds no tokenizer (tokenizer.json or a vocabulary); fetch it again"
        )
    return files


def _hash_all(files: Sequence[Path]) -> str:
    """The sha256 of one file, or that of all their names and hashes."""
    if len(files) == 1:
        return _hash(files[0])
    return hashlib.sha256("\n".join(f"{file.name} {_hash(file)}" for file in files).encode()).hexdigest()


def _hash(file: Path) -> str:
    """sha256, remembered while the file's size and time stay: 90 MB take a tenth of a second."""
    try:
        status = file.stat()
        key = (str(file.resolve()), status.st_size, status.st_mtime_ns)
        if key not in _hashes:
            _hashes[key] = _digest(file, size=status.st_size)
        return _hashes[key]
    except OSError as error:
        raise EmbedderError(f"{file} can't be read: {error}") from error


def _digest(file: Path, *, size: int) -> str:
    """In one piece, outside the interpreter's lock: piece by piece it would wait for the other threads at each."""
    with file.open("rb") as opened:
        if not size:  # can't be mapped
            return hashlib.sha256().hexdigest()
        with mmap(opened.fileno(), 0, access=ACCESS_READ) as content:
            return hashlib.sha256(content).hexdigest()


def _required(file: Path) -> Path:
    if not file.is_file():
        raise EmbedderError(f"{file} is missing; fetch the model again")
    return file


def _read_json(file: Path) -> dict[str, JsonValue]:
    """The file's object; empty where there is no such file."""
    content = _parse(file) if file.is_file() else {}
    if not isinstance(content, dict):
        raise EmbedderError(f"{file} does not hold a JSON object; fetch the model again")
    return content


def _parse(file: Path) -> JsonValue:
    try:
        content: JsonValue = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EmbedderError(f"{file} can't be read as JSON: {error}; fetch the model again") from error
    return content
