"""A GGUF file made, once, into a folder that loads in a second: dequantised to bfloat16 safetensors, by the file's hash."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import shutil
import tempfile
from contextlib import redirect_stderr
from importlib.util import find_spec
from pathlib import Path

import torch
import transformers

from memsdk.embedding.quiet import UNLOADABLE, quiet
from memsdk.errors import RewardModelError

logger = logging.getLogger(__name__)

FORMAT = 1  # of what is in the folder; raise it with anything below that changes that
DONE = "memsdk_gguf.json"  # written last: a folder without it was never finished


def converted(file: Path, *, cache: Path | None = None) -> Path:
    """The folder of the model in a GGUF file, made now if this is the first time (some 20 CPU seconds for 135M).

    Args:
        file: the GGUF file.
        cache: where such folders are kept; `default_cache()` by default.

    Raises:
        RewardModelError: a package is missing, or the file can't be read as a model.
    """
    missing = [name for name in ("gguf", "accelerate") if find_spec(name) is None]
    if missing:
        raise RewardModelError(
            f"reading {file.name} needs the packages {' and '.join(missing)}; run `pip install 'memsdk[gguf]'`"
        )
    digest = _sha256(file)
    folder = (cache or default_cache()) / f"{digest[:32]}-{FORMAT}"
    if (folder / DONE).is_file():
        return folder
    logger.info("converting %s, once, to %s", file, folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="making-") as made:
            _convert(file, Path(made))
            (Path(made) / DONE).write_text(
                json.dumps({"sha256": digest, "file": file.name}), encoding="utf-8"
            )
            _settle(Path(made), folder)
    except OSError as error:
        raise RewardModelError(
            f"{file} can't be converted into {folder} ({error.strerror or error}); free some space, or name another"
            " cache folder with MEMSDK_CACHE"
        ) from error
    return folder


def default_cache() -> Path:
    """`$MEMSDK_CACHE/models`, else `models` in the user's cache folder for memsdk."""
    named = os.environ.get("MEMSDK_CACHE")
    if named:
        return Path(named) / "models"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "memsdk" / "models"


def _convert(file: Path, folder: Path) -> None:
    with quiet(), redirect_stderr(io.StringIO()):  # transformers draws a bar of its own
        try:
            model = transformers.AutoModelForCausalLM.from_pretrained(
                str(file.parent), gguf_file=file.name, dtype=torch.bfloat16, local_files_only=True
            )
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                str(file.parent), gguf_file=file.name, local_files_only=True
            )
        except UNLOADABLE as error:
            raise RewardModelError(
                f"{file} can't be read as a language model in GGUF: {error}; transformers reads llama, qwen2,"
                " mistral and some other architectures"
            ) from error
        model.hf_quantizer = None  # type: ignore[assignment]  # an attribute that transformers types as a module; it is quantised no more, and would refuse to be saved
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.bfloat16().save_pretrained(str(folder))
        tokenizer.save_pretrained(str(folder))


def _settle(made: Path, folder: Path) -> None:
    """Put the finished folder in place; another process may have been faster, which is as well."""
    staged = folder.with_name(f"{folder.name}.{os.getpid()}")
    shutil.copytree(made, staged)
    try:
        staged.replace(folder)
    except OSError:
        if not (folder / DONE).is_file():
            shutil.rmtree(folder, ignore_errors=True)
            staged.replace(folder)
        shutil.rmtree(staged, ignore_errors=True)


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
